//! Fetching a manifest whose bytes have the digest that it was asked by, or that the upstream claims.

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Manifest, MediaType, Reference, Repository, Tag};
use storage::VerifiedManifest;
use upstream::ManifestBody;

use crate::asker::Asking;
use crate::error::PullError;
use crate::named_blobs::NamedBlobs;
use crate::recent::Recent;
use crate::shared::Shared;

/// A manifest that came wrong twice in a row is left alone for this time.
const SUSPECT_TTL: Duration = Duration::from_secs(60);

/// Suspects that are remembered at a time.
const SUSPECT_COUNT_MAX: usize = 4096;

/// Fetches manifests and verifies them.
#[derive(Debug)]
pub(crate) struct ManifestFetcher {
    shared: Arc<Shared>,
    /// References whose bytes were wrong twice in a row lately, and how.
    suspects: Recent<(Repository, Reference), String>,
    /// Learns which blobs each manifest names.
    named: Arc<NamedBlobs>,
}

impl ManifestFetcher {
    pub(crate) fn new(shared: Arc<Shared>, named: Arc<NamedBlobs>) -> Self {
        Self { shared, suspects: Recent::new(SUSPECT_TTL, SUSPECT_COUNT_MAX), named }
    }

    /// The manifest and its media type. Wrong bytes are asked for afresh once, and then left alone for a while.
    ///
    /// # Errors
    /// [`PullError::DigestMismatch`]; [`PullError::UpstreamUnavailable`] when it is no manifest at all; those of
    /// the upstream.
    pub(crate) async fn fetch(
        &self,
        asking: &Asking,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        self.refuse_suspect(repository, reference)?;
        let first = self.fetch_once(asking, repository, reference, None).await;
        self.try_again(asking, repository, reference, first).await
    }

    /// As [`fetch`](Self::fetch), where the upstream has sent the manifest already.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn take(
        &self,
        asking: &Asking,
        repository: &Repository,
        reference: &Reference,
        body: ManifestBody,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        let first = self.check(repository, reference, None, body);
        self.try_again(asking, repository, reference, first).await
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
        asking: &Asking,
        repository: &Repository,
        reference: &Reference,
        first: Result<(MediaType, VerifiedManifest), PullError>,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        let Err(PullError::DigestMismatch { .. }) = first else { return first };
        let second = self.fetch_once(asking, repository, reference, None).await;
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
        asking: &Asking,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        self.fetch_once(asking, repository, &Reference::Tag(tag.clone()), Some(digest)).await
    }

    async fn fetch_once(
        &self,
        asking: &Asking,
        repository: &Repository,
        reference: &Reference,
        promised: Option<&Digest>,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        let body = asking.get_manifest(repository, reference).await?;
        self.check(repository, reference, promised, body)
    }

    fn check(
        &self,
        repository: &Repository,
        reference: &Reference,
        promised: Option<&Digest>,
        body: ManifestBody,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        self.shared.metrics.fetched_bytes(body.bytes.len() as u64);
        let wanted = match reference {
            Reference::Digest(digest) => Some(digest),
            // A header that claims another digest than the bytes have means that somebody lies.
            Reference::Tag(_) => promised.or(body.digest.as_ref()),
        };
        let verified = VerifiedManifest::check(body.bytes, wanted).map_err(|error| {
            self.shared.metrics.verify_failed();
            PullError::DigestMismatch { detail: format!("manifest {reference}: {error}") }
        })?;
        // The right digest of something else does not make it a manifest.
        let manifest = Manifest::parse(verified.bytes(), body.media_type.as_ref()).map_err(|error| {
            PullError::unavailable(format!("the upstream sent no manifest for {reference}: {error}"))
        })?;
        self.named.note(repository, &manifest);
        Ok((manifest.media_type, verified))
    }
}
