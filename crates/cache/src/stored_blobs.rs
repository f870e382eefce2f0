//! The stored blobs, and which of them are verified.

use std::sync::Arc;

use inventory::Inventory;
use oci::Digest;
use storage::{BlobStore, OpenBlob, StoreError, VerifiedSpool};
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
        match self.shared.blobs.open(digest).await {
            Ok(Some(blob)) => return Some(blob),
            // The store quarantines some damaged files by itself, and an operator may remove others.
            Ok(None) if self.shared.inventory.has_blob(digest) => {
                report_removed(&*self.shared.blobs, &self.shared.inventory, digest).await;
            }
            Ok(None) => {}
            Err(error) => self.shared.store_failed(&error),
        }
        None
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
                if let Err(error) = set_aside(&*self.shared.blobs, &self.shared.inventory, digest).await {
                    self.shared.store_failed(&error);
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

/// Moves a damaged blob out of the store, and takes it off the inventory.
///
/// # Errors
/// Store errors: the blob may still be there.
pub(crate) async fn set_aside(
    blobs: &dyn BlobStore,
    inventory: &Inventory,
    digest: &Digest,
) -> Result<(), StoreError> {
    blobs.set_aside(digest).await?;
    report_removed(blobs, inventory, digest).await;
    Ok(())
}

/// Takes a blob that is gone off the inventory. If it has just come back, this report may be the later one,
/// so the store has the last word.
async fn report_removed(blobs: &dyn BlobStore, inventory: &Inventory, digest: &Digest) {
    inventory.blob_removed(digest);
    if blobs.open(digest).await.is_ok_and(|found| found.is_some()) {
        inventory.blob_stored(digest);
    }
}
