//! The seam between the cache and where blobs are kept.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use oci::Digest;

use crate::error::StoreError;
use crate::open_blob::{OpenBlob, Signature};
use crate::spool::{Spool, VerifiedSpool};

/// Verified content by digest, and the spools through which it gets in.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync + 'static {
    /// Opens a blob; none: it is not there, or was found damaged and set aside.
    ///
    /// # Errors
    /// Those of the disk, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn open(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError>;

    /// The spool for a digest. It has what an earlier one left behind, as far as that can be trusted; that
    /// part is hashed anew before this returns.
    ///
    /// Callers see to it that there is one spool at a time for a digest. Should there be another one, it can
    /// no longer write, and neither harms this one.
    ///
    /// # Errors
    /// Those of the disk, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn spool(&self, digest: &Digest) -> Result<Arc<Spool>, StoreError>;

    /// Publishes a verified blob under its digest. When this returns, it outlives a power loss. Readers of
    /// the spool go on undisturbed. Gives the signature of the file that now stands under the digest, if its bytes
    /// certainly are those that were verified.
    ///
    /// # Errors
    /// Those of the disk, after which the spool is gone; [`Closed`](crate::StoreErrorKind::Closed) when
    /// another spool for the digest was made meanwhile.
    async fn admit(&self, blob: VerifiedSpool) -> Result<Option<Signature>, StoreError>;

    /// Takes a blob that was found damaged out of the store. Fine when it is gone already.
    ///
    /// # Errors
    /// When it could be neither set aside nor removed.
    async fn set_aside(&self, digest: &Digest) -> Result<(), StoreError>;

    /// Removes a blob. Those who have it open can finish. Fine when it is gone already.
    ///
    /// # Errors
    /// Those of the disk.
    async fn remove(&self, digest: &Digest) -> Result<(), StoreError>;

    /// All blobs, in no order. An error is about a part of the store; others may follow.
    fn entries(&self) -> BoxStream<'_, Result<BlobEntry, StoreError>>;
}

/// A stored blob, as far as its name and its file's attributes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When its content was last written.
    pub modified_at: SystemTime,
}
