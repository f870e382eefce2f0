//! Fetching a manifest whose bytes have the digest that it was asked by, or that the upstream claims.

use std::sync::Arc;

use oci::{MediaType, Reference, Repository};
use storage::VerifiedManifest;
use telemetry::RegistryMetrics;
use upstream::Upstream;

use crate::error::PullError;
use crate::pull_manifest::{accept, media_type_of};
use crate::recent::Recent;

/// What fetching a manifest takes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ManifestFetch {
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) metrics: Arc<RegistryMetrics>,
    /// What came with wrong bytes twice in a row lately, and how they were wrong.
    pub(crate) suspects: Arc<Recent<(Repository, Reference), String>>,
}

impl ManifestFetch {
    /// The manifest and its media type. Wrong bytes are asked for afresh once, and then left alone for a while.
    ///
    /// # Errors
    /// [`PullError::DigestMismatch`]; [`PullError::UpstreamUnavailable`] when it is no manifest at all; those of
    /// the upstream.
    pub(crate) async fn fetch(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        let key = (repository.clone(), reference.clone());
        if let Some(detail) = self.suspects.get(&key) {
            return Err(PullError::DigestMismatch { detail });
        }
        let first = self.fetch_once(repository, reference).await;
        let Err(PullError::DigestMismatch { .. }) = first else { return first };
        let second = self.fetch_once(repository, reference).await;
        if let Err(PullError::DigestMismatch { detail }) = &second {
            self.suspects.insert(key, detail.clone());
        }
        second
    }

    async fn fetch_once(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        let body = self.upstream.get_manifest(repository, reference).await;
        let body = body.map_err(|error| PullError::from(&error))?;
        self.metrics.fetched_bytes(body.bytes.len() as u64);
        let wanted = match reference {
            Reference::Digest(digest) => Some(digest),
            // A header that claims another digest than the bytes have means that somebody lies.
            Reference::Tag(_) => body.digest.as_ref(),
        };
        let verified = VerifiedManifest::check(body.bytes, wanted).map_err(|error| {
            self.metrics.verify_failed();
            PullError::DigestMismatch { detail: format!("manifest {reference}: {error}") }
        })?;
        let media_type = accept(&verified, media_type_of(&verified, body.media_type))?;
        Ok((media_type, verified))
    }
}
