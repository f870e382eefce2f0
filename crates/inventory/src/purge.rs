//! The removal of images that an operator names.

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Repository};
use policy::eviction::Reason;

use crate::eviction::{Freed, Removal, Why};
use crate::failure::Failure;
use crate::keeper::Keeper;

/// The reason why an image was not purged.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// The store was not walked yet.
    #[error("the stored images are not all known yet; try again in a moment")]
    NotReady,
    /// It is not there.
    #[error("the store does not hold it")]
    NotHeld,
    /// A held index names it.
    #[error("it is a part of another image; purge that one")]
    Part,
    /// An operator pinned it, or a part of it.
    #[error("it is pinned; take the pin back first")]
    Pinned,
    /// One of its blobs is on its way in.
    #[error("it is in use: one of its blobs is being fetched; try again when that is done")]
    Busy,
    /// It was used within the time that the caller named, or is being changed.
    #[error("it was used meanwhile")]
    Used,
    /// The store failed. Part of the image may be gone; the next try removes the rest.
    #[error("the store failed")]
    Store(#[source] Failure),
}

impl Keeper {
    /// Removes one image, unless it is pinned or was used within `unused_for`. Returns what that freed.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub async fn purge(
        &self,
        repository: &Repository,
        digest: &Digest,
        unused_for: Duration,
    ) -> Result<Freed, PurgeError> {
        if !self.inventory().is_complete() {
            return Err(PurgeError::NotReady);
        }
        match self.remove(repository, digest, Reason::Purge, Arc::default(), unused_for).await {
            Ok(Removal::Removed(freed)) => Ok(freed),
            Ok(Removal::Gone) => Err(PurgeError::NotHeld),
            Ok(Removal::Stays(Why::Part)) => Err(PurgeError::Part),
            Ok(Removal::Stays(Why::Pinned)) => Err(PurgeError::Pinned),
            Ok(Removal::Stays(Why::Busy)) => Err(PurgeError::Busy),
            Ok(Removal::Stays(Why::Used | Why::Kept)) => Err(PurgeError::Used),
            Err(failure) => Err(PurgeError::Store(failure)),
        }
    }
}
