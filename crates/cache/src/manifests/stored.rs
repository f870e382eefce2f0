//! Stored manifests: small ones are returned in memory, large ones as files.

use std::sync::Arc;

use inventory::Inventory;
use oci::{Digest, MediaType, Repository};
use storage::{
    HeldManifest, MANIFEST_IN_MEMORY_BYTES_MAX, OpenBlob, RecordStore, StoreError, StoredManifest,
    VerifiedManifest,
};
use tracing::{info, warn};

use crate::flight::Flights;
use crate::shared::Shared;
use crate::verified::Verified;

/// The stored manifests of one registry.
#[derive(Debug)]
pub(crate) struct StoredManifests {
    shared: Arc<Shared>,
    /// Files with verified bytes. Blobs have another table: one digest can be both, in two files.
    verified: Verified,
    hash_flights: Flights<Digest, bool>,
}

impl StoredManifests {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { verified: Verified::new(), hash_flights: shared.flights(), shared }
    }

    /// The stored manifest, with verified bytes. A failure of the store counts as a missing manifest.
    pub(crate) async fn find(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
    ) -> Option<HeldManifest> {
        let found = match self.shared.records.manifest(repository, digest).await {
            Ok(Some(found)) => found,
            Ok(None) if self.shared.inventory.has_manifest(repository, digest) => {
                self.report_removed(repository, digest).await;
                return None;
            }
            Ok(None) => return None,
            Err(error) => {
                self.shared.store_failed(&error);
                return None;
            }
        };
        match &found {
            HeldManifest::File { file, .. } if !self.is_right(digest, file).await => None,
            HeldManifest::File { .. } | HeldManifest::Whole(_) => Some(found),
        }
    }

    /// Stores a manifest, and returns it for serving: a large one as a file, so that its bytes need not stay
    /// in memory, unless the store fails or has no room.
    pub(crate) async fn keep(
        self: &Arc<Self>,
        repository: &Repository,
        media_type: &MediaType,
        manifest: &VerifiedManifest,
    ) -> HeldManifest {
        let bytes = manifest.bytes().clone();
        let size = bytes.len() as u64;
        let is_large = size > MANIFEST_IN_MEMORY_BYTES_MAX;
        let whole = HeldManifest::Whole(StoredManifest { media_type: media_type.clone(), bytes });
        let (inventory, digest) = (&self.shared.inventory, manifest.digest());
        if !inventory.has_manifest(repository, digest) && !inventory.fits_manifest(size) {
            let registry = &self.shared.name;
            info!(%registry, %digest, size, "no room in the store for this manifest; passing it through");
            return whole;
        }
        // It counts from now on, so that others that come at the same time do not take the same room.
        let _announced = inventory.announce(size);
        let storing = inventory.storing().await;
        if let Err(error) = self.shared.records.put_manifest(repository, media_type, manifest).await {
            self.shared.store_failed(&error);
            return whole;
        }
        inventory.manifest_stored(&storing, repository, digest, manifest.bytes());
        drop(storing);
        let file = if is_large { self.find(repository, digest).await } else { None };
        file.unwrap_or(whole)
    }

    /// Whether a file has the digest. It is hashed once for all callers, and again only after a change.
    async fn is_right(self: &Arc<Self>, digest: &Digest, file: &OpenBlob) -> bool {
        if self.verified.is_known(digest, file) {
            return true;
        }
        let check = || {
            let (manifests, digest, file) = (Arc::clone(self), digest.clone(), file.clone());
            async move { Ok(manifests.check(&digest, &file).await) }
        };
        self.hash_flights.join_or_start(digest.clone(), check).await.0.unwrap_or(false)
    }

    /// Whether a file is a signed manifest of schema 1, whose digest does not cover all its bytes.
    async fn is_signed(&self, digest: &Digest, file: &OpenBlob) -> bool {
        let Some(validator) = file.validator() else { return false };
        let size = usize::try_from(file.size()).unwrap_or(usize::MAX);
        let is_right = file.read(0, size).await.is_ok_and(|bytes| digest.is_of_manifest(&bytes));
        if is_right {
            self.verified.note(digest, file, &validator);
        }
        is_right
    }

    async fn check(&self, digest: &Digest, file: &OpenBlob) -> bool {
        match self.verified.check(digest, file).await {
            Ok(true) => return true,
            Ok(false) if self.is_signed(digest, file).await => return true,
            Ok(false) => {
                warn!(registry = %self.shared.name, %digest, "a stored manifest is damaged; quarantining it");
                let set_aside = set_aside(&*self.shared.records, &self.shared.inventory, digest).await;
                if let Err(error) = set_aside {
                    self.shared.store_failed(&error);
                }
            }
            // The file may be readable later, so it stays.
            Err(error) => self.shared.read_failed("manifest", digest, &error),
        }
        false
    }

    /// Takes a manifest off the inventory, unless it has come back: the store quarantines some damaged files
    /// by itself.
    async fn report_removed(&self, repository: &Repository, digest: &Digest) {
        let removing = self.shared.inventory.removing().await;
        match self.shared.records.manifest(repository, digest).await {
            Ok(Some(_)) => {}
            Ok(None) => self.shared.inventory.manifest_removed(&removing, digest),
            Err(error) => self.shared.store_failed(&error),
        }
    }
}

/// Moves the damaged bytes of a manifest out of the store, and takes it off the inventory.
///
/// # Errors
/// Store errors: the bytes may still be there.
pub(crate) async fn set_aside(
    records: &dyn RecordStore,
    inventory: &Inventory,
    digest: &Digest,
) -> Result<(), StoreError> {
    let removing = inventory.removing().await;
    records.set_aside_manifest(digest).await?;
    inventory.manifest_removed(&removing, digest);
    Ok(())
}
