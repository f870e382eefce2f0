//! Fetches manifests and verifies that they have the requested digest, or the one that the upstream claims.

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Manifest, MediaType, Reference, Repository, Tag};
use storage::VerifiedManifest;
use upstream::{ManifestBody, Senders};

use crate::asker::Asking;
use crate::detail::Detail;
use crate::error::PullError;
use crate::named_blobs::NamedBlobs;
use crate::recent::Recent;
use crate::shared::Shared;

/// A manifest that was wrong twice in a row is not requested for this time.
const SUSPECT_TTL: Duration = Duration::from_secs(60);

/// The most suspects that are remembered.
const SUSPECT_COUNT_MAX: usize = 4096;

/// The most requests after wrong bytes.
const ATTEMPT_COUNT_MAX: u32 = 8;

/// Fetches manifests and verifies them.
#[derive(Debug)]
pub(crate) struct ManifestFetcher {
    shared: Arc<Shared>,
    /// References whose bytes were recently wrong twice in a row, with the detail.
    suspects: Recent<(Repository, Reference), Detail>,
    /// Learns which blobs each manifest names.
    named: Arc<NamedBlobs>,
}

impl ManifestFetcher {
    pub(crate) fn new(shared: Arc<Shared>, named: Arc<NamedBlobs>) -> Self {
        Self { shared, suspects: Recent::new(SUSPECT_TTL, SUSPECT_COUNT_MAX), named }
    }

    /// The manifest and its media type. After wrong bytes it is requested from each other address of the
    /// upstream and once more, and then not again for a while.
    ///
    /// # Errors
    /// [`PullError::DigestMismatch`]; [`PullError::UpstreamUnavailable`] when it is no manifest at all; those
    /// of the upstream.
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

    /// As [`fetch`](Self::fetch), for a manifest that the upstream has sent already.
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
        let first = self.check(asking, repository, reference, None, body);
        self.try_again(asking, repository, reference, first).await
    }

    /// # Errors
    /// [`PullError::DigestMismatch`] if the bytes were recently wrong twice in a row.
    pub(crate) fn refuse_suspect(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<(), PullError> {
        match self.suspects.get(&(repository.clone(), reference.clone())) {
            Some(detail) => Err(PullError::mismatch(detail)),
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
        let (mut last, mut is_repeated) = (first, false);
        for _ in 0..ATTEMPT_COUNT_MAX {
            match &last {
                Err(PullError::DigestMismatch { has_other_address: true, .. }) => {}
                Err(PullError::DigestMismatch { .. }) if !is_repeated => is_repeated = true,
                _ => break,
            }
            last = self.fetch_once(asking, repository, reference, None).await;
        }
        if let Err(PullError::DigestMismatch { detail, .. }) = &last {
            self.suspects.insert((repository.clone(), reference.clone()), detail.clone());
        }
        last
    }

    /// Fetches by `tag` the manifest that a HEAD of the tag named: some upstreams serve manifests by tag
    /// only.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch); also [`PullError::DigestMismatch`] when the tag names another manifest
    /// by now.
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
        let body = asking.upstream().get_manifest(repository, reference).await?;
        self.check(asking, repository, reference, promised, body)
    }

    fn check(
        &self,
        asking: &Asking,
        repository: &Repository,
        reference: &Reference,
        promised: Option<&Digest>,
        body: ManifestBody,
    ) -> Result<(MediaType, VerifiedManifest), PullError> {
        self.shared.metrics.fetched_bytes(body.bytes.len() as u64);
        // A small document does not wait itself: transfers wait for it.
        self.shared.bandwidths.upstream.take(body.bytes.len() as u64);
        let wanted = match reference {
            Reference::Digest(digest) => Some(digest),
            // A header with another digest than the bytes' shows that one of the two is wrong.
            Reference::Tag(_) => promised.or(body.digest.as_ref()),
        };
        let verified = VerifiedManifest::check(body.bytes, wanted).map_err(|error| {
            self.shared.metrics.verify_failed();
            let has_other_address = match reference {
                Reference::Digest(digest) => {
                    asking.upstream().note_wrong(digest, &Senders::only(body.sent_by))
                }
                Reference::Tag(_) => false,
            };
            let detail = Detail::quoting(format!("manifest {reference}: {error}"), error);
            PullError::DigestMismatch { detail, has_other_address }
        })?;
        // A right digest does not make the bytes a manifest.
        let manifest = Manifest::parse(verified.bytes(), body.media_type.as_ref()).map_err(|error| {
            let text = format!("the upstream sent no manifest for {reference}: {error}");
            PullError::unavailable(Detail::quoting(text, error))
        })?;
        self.named.note(repository, &manifest);
        Ok((manifest.media_type, verified))
    }
}
