//! The stored blobs, and which of them are verified.

use std::sync::Arc;

use oci::Digest;
use storage::{OpenBlob, StoreError, VerifiedSpool};
use tracing::warn;

use crate::flight::Flights;
use crate::shared::Shared;
use crate::verified::Verified;

/// The stored blobs of one registry.
#[derive(Debug)]
pub(crate) struct StoredBlobs {
    shared: Arc<Shared>,
    /// Files with verified bytes.
    verified: Verified,
    hash_flights: Flights<Digest, bool>,
}

impl StoredBlobs {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { verified: Verified::new(), hash_flights: shared.flights(), shared }
    }

    /// The stored blob, whose bytes may not be verified yet. A failure of the store counts as a missing blob.
    pub(crate) async fn open(&self, digest: &Digest) -> Option<OpenBlob> {
        self.shared.blobs.open(digest).await.unwrap_or_else(|error| {
            self.shared.store_failed(&error);
            None
        })
    }

    /// Whether the blob's bytes are known to be right; does not read them.
    pub(crate) fn is_known(&self, digest: &Digest, blob: &OpenBlob) -> bool {
        self.verified.is_known(digest, blob)
    }

    /// Whether the blob has its digest. It is hashed once for all callers.
    pub(crate) async fn is_right(self: &Arc<Self>, digest: &Digest, blob: &OpenBlob) -> bool {
        if self.is_known(digest, blob) {
            return true;
        }
        let check = || {
            let (stored, digest, blob) = (Arc::clone(self), digest.clone(), blob.clone());
            async move { Ok(stored.check(&digest, &blob).await) }
        };
        self.hash_flights.join_or_start(digest.clone(), check).await.0.unwrap_or(false)
    }

    /// Whether the blob has its digest; hashes it if necessary. A damaged one is quarantined.
    pub(crate) async fn check(&self, digest: &Digest, blob: &OpenBlob) -> bool {
        match self.verified.check(digest, blob).await {
            Ok(true) => return true,
            Ok(false) => {
                warn!(registry = %self.shared.name, %digest, "a stored blob is damaged; quarantining it");
                match self.shared.blobs.set_aside(digest).await {
                    Ok(()) => self.shared.inventory.blob_removed(digest),
                    Err(error) => self.shared.store_failed(&error),
                }
            }
            // The file may be readable later, so it stays.
            Err(error) => self.shared.read_failed("blob", digest, &error),
        }
        false
    }

    /// Publishes a verified blob.
    ///
    /// # Errors
    /// Store errors.
    pub(crate) async fn admit(&self, digest: &Digest, verified: VerifiedSpool) -> Result<(), StoreError> {
        if let Some(validator) = self.shared.blobs.admit(verified).await? {
            self.verified.note_stored(digest, validator);
        }
        self.shared.inventory.blob_stored(digest);
        Ok(())
    }
}
