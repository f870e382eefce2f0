//! The seam between the cache and where blobs are kept.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use oci::Digest;

use crate::content::{OpenBlob, Validator};
use crate::error::StoreError;
use crate::spool::Spool;
use crate::spool::finish::VerifiedSpool;

/// Verified content by digest, and the spools through which it gets in.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync + 'static {
    /// Opens a blob; `None`: it is not there, or was found damaged and set aside.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn open(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError>;

    /// The spool for a digest. It has what an earlier one left behind, as far as that can be trusted; that
    /// part is hashed anew before this returns.
    ///
    /// Opening a second spool for a digest revokes the first one: its writes fail with
    /// [`Closed`](crate::StoreErrorKind::Closed). Callers see to it that this does not happen.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn spool(&self, digest: &Digest) -> Result<Arc<Spool>, StoreError>;

    /// Publishes a verified blob under its digest. When this returns, it outlives a power loss. Readers of
    /// the spool go on undisturbed. Returns the validator of the content that now stands under the digest,
    /// if its bytes certainly are those that were verified.
    ///
    /// # Errors
    /// I/O errors, after which the spool is gone; [`Closed`](crate::StoreErrorKind::Closed) when
    /// another spool for the digest was made meanwhile.
    async fn admit(&self, blob: VerifiedSpool) -> Result<Option<Validator>, StoreError>;

    /// Takes a blob that was found damaged out of the store. Fine when it is gone already.
    ///
    /// # Errors
    /// When it could be neither set aside nor removed.
    async fn set_aside(&self, digest: &Digest) -> Result<(), StoreError>;

    /// Removes a blob. Those who have it open can finish, and its room is free when the last one has. A spool for the
    /// digest is another matter and goes on. Fine when the blob is gone already.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove(&self, digest: &Digest) -> Result<(), StoreError>;

    /// All blobs, in no order, with few of them in memory at a time. What comes or goes meanwhile may be among them or
    /// not. An error is about a part of the store; others may follow.
    fn entries(&self) -> BoxStream<'_, Result<BlobEntry, StoreError>>;
}

/// A stored blob, as far as its name and its attributes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When its content was last written.
    pub modified_at: SystemTime,
    /// When it was last read, as far as that is noted; else when it was written. Of files that are mounted with
    /// `relatime`, as most are, that is right to the day, and with `noatime` it is the time of writing.
    pub used_at: SystemTime,
}
