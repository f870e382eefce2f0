//! Fetching a manifest whose bytes have the digest that it was asked by, or that the upstream claims.

use std::sync::Arc;

use oci::{Digest, Manifest, MediaType, Reference, Repository, Tag};
use storage::VerifiedManifest;
use telemetry::RegistryMetrics;
use upstream::{ManifestBody, Upstream};

use crate::error::PullError;
use crate::recent::Recent;

/// The sizes of blobs, as manifests of the repository name them. They are claims.
pub(crate) type Sizes = Recent<(Repository, Digest), u64>;

/// The most sizes that one manifest adds. Images have some dozens of layers.
const SIZE_COUNT_MAX: usize = 256;

/// What fetching a manifest takes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ManifestFetch {
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) metrics: Arc<RegistryMetrics>,
    /// What came with wrong bytes twice in a row lately, and how they were wrong.
    pub(crate) suspects: Arc<Recent<(Repository, Reference), String>>,
    /// For blobs that come without one.
    pub(crate) sizes: Arc<Sizes>,
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
        self.refuse_suspect(repository, reference)?;
        let first = self.fetch_once(repository, reference, None).await;
        self.try_again(repository, reference, first).await
    }

    /// As [`fetch`](Self::fetch), where the upstream has sent the manifest already.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn take(
        &self,
        repository: &Repository,
        reference: &Reference,
        body: ManifestBody,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        self.try_again(repository, reference, self.check(repository, reference, None, body)).await
    }

    /// # Errors
    /// [`PullError::DigestMismatch`] for what came with wrong bytes twice in a row a moment ago.
    pub(crate) fn refuse_suspect(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<(), PullError> {
        match self.suspects.get(&(repository.clone(), reference.clone())) {
            Some(detail) => Err(PullError::DigestMismatch { detail }),
            None => Ok(()),
        }
    }

    async fn try_again(
        &self,
        repository: &Repository,
        reference: &Reference,
        first: Result<(MediaType, VerifiedManifest), PullError>,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        let Err(PullError::DigestMismatch { .. }) = first else { return first };
        let second = self.fetch_once(repository, reference, None).await;
        if let Err(PullError::DigestMismatch { detail }) = &second {
            self.suspects.insert((repository.clone(), reference.clone()), detail.clone());
        }
        second
    }

    /// The manifest that the upstream promised under `tag`, asked for by the tag: there are upstreams that know
    /// manifests by their tags only.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch); [`PullError::DigestMismatch`] also when the tag names another one by now.
    pub(crate) async fn fetch_promised(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        self.fetch_once(repository, &Reference::Tag(tag.clone()), Some(digest)).await
    }

    async fn fetch_once(
        &self,
        repository: &Repository,
        reference: &Reference,
        promised: Option<&Digest>,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        let body = self.upstream.get_manifest(repository, reference).await;
        self.check(repository, reference, promised, body.map_err(|error| PullError::from(&error))?)
    }

    fn check(
        &self,
        repository: &Repository,
        reference: &Reference,
        promised: Option<&Digest>,
        body: ManifestBody,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        self.metrics.fetched_bytes(body.bytes.len() as u64);
        let wanted = match reference {
            Reference::Digest(digest) => Some(digest),
            // A header that claims another digest than the bytes have means that somebody lies.
            Reference::Tag(_) => promised.or(body.digest.as_ref()),
        };
        let verified = VerifiedManifest::check(body.bytes, wanted).map_err(|error| {
            self.metrics.verify_failed();
            PullError::DigestMismatch { detail: format!("manifest {reference}: {error}") }
        })?;
        // The right digest of something else does not make it a manifest.
        let manifest = Manifest::parse(verified.bytes(), body.media_type.as_ref()).map_err(|error| {
            PullError::unavailable(format!("the upstream sent no manifest for {reference}: {error}"))
        })?;
        for named in manifest.config.into_iter().chain(manifest.layers).take(SIZE_COUNT_MAX) {
            if let Some(size) = named.size {
                self.sizes.insert((repository.clone(), named.digest), size);
            }
        }
        Ok((manifest.media_type, verified))
    }
}
