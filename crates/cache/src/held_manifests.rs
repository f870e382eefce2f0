//! The manifests that a store has: those that it gives in memory, and those that go out as files.

use std::sync::Arc;

use oci::{Digest, MediaType, Repository};
use storage::{
    HeldManifest, MANIFEST_IN_MEMORY_BYTES_MAX, OpenBlob, RecordStore, StoredManifest, VerifiedManifest,
};
use telemetry::RegistryMetrics;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::flight::Flights;
use crate::verified::Verified;

/// The manifests of one registry. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct HeldManifests {
    registry: Arc<str>,
    records: Arc<dyn RecordStore>,
    metrics: Arc<RegistryMetrics>,
    /// Files whose bytes are known to be right. Blobs have a table of their own: one digest can be both, in two files.
    verified: Arc<Verified>,
    hash_flights: Arc<Flights<Digest, bool>>,
}

impl HeldManifests {
    pub(crate) fn new(
        registry: Arc<str>,
        records: Arc<dyn RecordStore>,
        metrics: Arc<RegistryMetrics>,
        tasks: TaskTracker,
    ) -> Self {
        let hash_flights = Arc::new(Flights::new(tasks));
        Self { registry, records, metrics, verified: Arc::new(Verified::new()), hash_flights }
    }

    /// The manifest as stored, its bytes known to be right. A store that fails counts as one that does not have it.
    pub(crate) async fn find(&self, repository: &Repository, digest: &Digest) -> Option<HeldManifest> {
        let found = self.records.manifest(repository, digest).await.unwrap_or_else(|error| {
            self.metrics.store_failed(error.call());
            warn!(registry = %self.registry, %error, "store failed");
            None
        })?;
        match &found {
            HeldManifest::File { file, .. } if !self.is_right(digest, file).await => None,
            HeldManifest::File { .. } | HeldManifest::Whole(_) => Some(found),
        }
    }

    /// Stores a manifest; returns what is to be served from now on, which for a large one is its file, so that its
    /// bytes need not stay in memory. Where the store fails, they do.
    pub(crate) async fn keep(
        &self,
        repository: &Repository,
        media_type: &MediaType,
        manifest: &VerifiedManifest,
    ) -> HeldManifest {
        let bytes = manifest.bytes().clone();
        let is_large = bytes.len() as u64 > MANIFEST_IN_MEMORY_BYTES_MAX;
        let whole = HeldManifest::Whole(StoredManifest { media_type: media_type.clone(), bytes });
        if let Err(error) = self.records.put_manifest(repository, media_type, manifest).await {
            self.metrics.store_failed(error.call());
            warn!(registry = %self.registry, %repository, digest = %manifest.digest(), %error, "store failed; passing through");
            return whole;
        }
        let file = if is_large { self.find(repository, manifest.digest()).await } else { None };
        file.unwrap_or(whole)
    }

    /// Whether a file has the digest. It is hashed once for all who ask, and again only when it has changed.
    async fn is_right(&self, digest: &Digest, file: &OpenBlob) -> bool {
        if self.verified.is_known(digest, file) {
            return true;
        }
        let check = || {
            let (held, digest, file) = (self.clone(), digest.clone(), file.clone());
            async move { Ok(held.check(&digest, &file).await) }
        };
        self.hash_flights.join_or_start(digest.clone(), check).await.0.unwrap_or(false)
    }

    /// Whether a file is a manifest of the first schema, whose digest is not that of all its bytes.
    async fn is_signed(&self, digest: &Digest, file: &OpenBlob) -> bool {
        let Some(signature) = file.signature() else { return false };
        let size = usize::try_from(file.size()).unwrap_or(usize::MAX);
        let is_right = file.read(0, size).await.is_ok_and(|bytes| digest.is_of_manifest(&bytes));
        if is_right {
            self.verified.note(digest, file, &signature);
        }
        is_right
    }

    async fn check(&self, digest: &Digest, file: &OpenBlob) -> bool {
        match self.verified.check(digest, file).await {
            Ok(true) => return true,
            Ok(false) if self.is_signed(digest, file).await => return true,
            Ok(false) => {
                warn!(registry = %self.registry, %digest, "a stored manifest is damaged and set aside");
                if let Err(error) = self.records.set_aside_manifest(digest).await {
                    self.metrics.store_failed(error.call());
                    warn!(registry = %self.registry, %error, "store failed");
                }
            }
            // Unreadable for the moment is not wrong: the file stays where it is.
            Err(error) => {
                self.metrics.store_failed("pread");
                warn!(registry = %self.registry, %digest, %error, "a stored manifest cannot be read");
            }
        }
        false
    }
}
