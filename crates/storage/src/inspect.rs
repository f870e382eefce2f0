//! Looks at stored content past all caches, and at whether the store can be written.

use std::fmt;

use async_trait::async_trait;
use oci::Digest;

use crate::content::OpenBlob;
use crate::error::StoreError;

/// The parts of a store that hold content by digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Verified blobs.
    Blobs,
    /// Verified manifests.
    Manifests,
}

/// The inspection of a store.
#[async_trait]
pub trait Inspect: fmt::Debug + Send + Sync + 'static {
    /// The digests of stored content in their order: at most `count_max` of those after `after`. Fewer than
    /// `count_max` are the last ones.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn digests(
        &self,
        part: Part,
        after: Option<&Digest>,
        count_max: usize,
    ) -> Result<Vec<Digest>, StoreError>;

    /// Opens content past all caches, in order to hash it; `None`: it is gone. Nothing is quarantined. If the
    /// engine can, hashing it leaves no bytes in the page cache that were not there before.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn open_to_hash(&self, part: Part, digest: &Digest) -> Result<Option<OpenBlob>, StoreError>;

    /// Writes a few bytes and removes them, to find out whether content can be stored.
    ///
    /// # Errors
    /// The failure that storing content would meet.
    async fn try_write(&self) -> Result<(), StoreError>;
}
