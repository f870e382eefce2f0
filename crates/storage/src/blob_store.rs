//! The interface through which the cache stores blobs.

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

/// Verified content by digest, and the spools through which it enters.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync + 'static {
    /// Opens a blob; `None`: it is not stored, or was found damaged and quarantined.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn open(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError>;

    /// The sizes of blobs in bytes, in the order of `digests`; `None`: the blob is not stored. It opens no
    /// file.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn sizes(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>, StoreError> {
        let mut sizes = Vec::with_capacity(digests.len());
        for digest in digests {
            sizes.push(self.open(digest).await?.map(|blob| blob.size()));
        }
        Ok(sizes)
    }

    /// Opens the spool for a digest. It resumes the bytes of an earlier spool as far as they can be trusted,
    /// and hashes them again before this returns.
    ///
    /// Opening a second spool for a digest revokes the first one: its writes fail with
    /// [`Closed`](crate::StoreErrorKind::Closed). Callers avoid that.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn spool(&self, digest: &Digest) -> Result<Arc<Spool>, StoreError>;

    /// Publishes a verified blob under its digest. When this returns, the blob survives a power loss. Readers
    /// of the spool are not disturbed. Returns the validator of the published content, if its bytes certainly
    /// are the verified ones.
    ///
    /// # Errors
    /// I/O errors, after which the spool is gone; [`Closed`](crate::StoreErrorKind::Closed) when
    /// another spool for the digest was made meanwhile.
    async fn admit(&self, blob: VerifiedSpool) -> Result<Option<Validator>, StoreError>;

    /// Moves a damaged blob out of the store. It is no error if the blob is gone already.
    ///
    /// # Errors
    /// The blob could be neither quarantined nor removed.
    async fn set_aside(&self, digest: &Digest) -> Result<(), StoreError>;

    /// Removes a blob. Readers that have it open can finish; its space is freed after the last of them. A
    /// spool for the digest is not affected. Returns the blob's size in bytes;
    /// 0 if the blob is gone already.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove(&self, digest: &Digest) -> Result<u64, StoreError>;

    /// Lists all blobs, in no order, a batch at a time. Blobs that are added or removed meanwhile may or may
    /// not be listed. An error concerns a part of the store; more entries may follow.
    fn entries(&self) -> BoxStream<'_, Result<BlobEntry, StoreError>>;
}

/// A stored blob, as described by its name and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When its content was last written.
    pub modified_at: SystemTime,
    /// When it was last read, if that is recorded; otherwise when it was written. File systems mounted with
    /// `relatime`, as most are, record it to the day, and those with `noatime` not at all.
    pub used_at: SystemTime,
}
