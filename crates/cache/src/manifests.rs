//! Manifests by digest, which are stored once and stay valid for ever.

pub(crate) mod fetch;
pub(crate) mod stored;

use std::sync::Arc;

use oci::{Digest, MediaType, Reference, Repository, Tag};
use policy::head_trust::Stakes;
use storage::HeldManifest;
use upstream::{Described, ManifestHead};

use crate::answer::{ManifestAnswer, Want};
use crate::asker::Asker;
use crate::error::PullError;
use crate::flight::Flights;
use crate::grants::{Content, Grants};
use crate::named_blobs::NamedBlobs;
use crate::outcome::Outcome;
use crate::refusals::Refusals;
use crate::shared::Shared;
use fetch::ManifestFetcher;
use stored::StoredManifests;

/// The manifests of one registry.
#[derive(Debug)]
pub(crate) struct Manifests {
    asker: Arc<Asker>,
    grants: Arc<Grants>,
    stored: Arc<StoredManifests>,
    fetcher: Arc<ManifestFetcher>,
    fetch_flights: Arc<Flights<(Repository, Digest), HeldManifest>>,
    describe_flights: Flights<(Repository, Digest), Description>,
    refused: Refusals<(Repository, Digest)>,
    /// Clients with logins of their own share the fetches in progress.
    joins_other_logins: bool,
}

impl Manifests {
    pub(crate) fn new(
        shared: Arc<Shared>,
        asker: Arc<Asker>,
        grants: Arc<Grants>,
        named: Arc<NamedBlobs>,
        stored: Arc<StoredManifests>,
    ) -> Self {
        Self {
            asker,
            grants,
            stored,
            fetch_flights: Arc::new(shared.flights()),
            describe_flights: shared.flights(),
            refused: Refusals::new(shared.settings.negative_ttl),
            joins_other_logins: shared.settings.passthrough,
            fetcher: Arc::new(ManifestFetcher::new(shared, named)),
        }
    }

    /// The same manifests for one client, who joins the requests of the others.
    pub(crate) fn for_client(&self, shared: &Shared, asker: Arc<Asker>, grants: Arc<Grants>) -> Self {
        Self {
            asker,
            grants,
            stored: Arc::clone(&self.stored),
            fetcher: Arc::clone(&self.fetcher),
            fetch_flights: Arc::clone(&self.fetch_flights),
            describe_flights: shared.flights_of_client(),
            refused: Refusals::of_client(shared.settings.negative_ttl),
            joins_other_logins: true,
        }
    }

    /// The stored manifests.
    pub(crate) fn stored(&self) -> &Arc<StoredManifests> {
        &self.stored
    }

    /// The fetcher of missing manifests.
    pub(crate) fn fetcher(&self) -> &Arc<ManifestFetcher> {
        &self.fetcher
    }

    /// Answers from the store; `None`: the manifest is not stored.
    ///
    /// # Errors
    /// Those of [`Grants::prove`].
    pub(crate) async fn pull_stored(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        let Some(stored) = self.stored.find(repository, digest).await else { return Ok(None) };
        self.grants.prove(Content::Manifest, repository, digest).await?;
        Ok(Some(ManifestAnswer::of_stored(digest, stored, Outcome::Hit, None)))
    }

    /// Pulls a manifest that is not stored from the upstream. `promised` is the tag whose HEAD has just named
    /// it: some upstreams do not serve it by digest.
    ///
    /// # Errors
    /// See [`PullError`].
    pub(crate) async fn pull_missing(
        &self,
        repository: &Repository,
        digest: &Digest,
        want: Want,
        promised: Option<&Tag>,
    ) -> Result<ManifestAnswer, PullError> {
        let key = (repository.clone(), digest.clone());
        self.refused.check(&key)?;
        let _client = self.asker.admit()?;
        let pull = async {
            if want == Want::Head
                && promised.is_none()
                && let Some(described) = self.describe(repository, digest).await?
            {
                return Ok(described);
            }
            let (stored, joined) = self.fetch(repository, digest, promised).await?;
            let outcome = if joined { Outcome::Join } else { Outcome::Miss };
            Ok(ManifestAnswer::of_stored(digest, stored, outcome, None))
        };
        let pulled = self.asker.within_deadline(pull).await;
        self.refused.remember(key, &pulled);
        pulled
    }

    /// Fetches by digest, once for all concurrent callers, and stores a verified manifest. If the upstream
    /// does not serve it by digest, asks for `promised`, the tag that named it. Returns whether the caller
    /// joined another one's request.
    ///
    /// # Errors
    /// See [`PullError`].
    pub(crate) async fn fetch(
        &self,
        repository: &Repository,
        digest: &Digest,
        promised: Option<&Tag>,
    ) -> Result<(HeldManifest, bool), PullError> {
        let fetch = || {
            let (fetcher, stored, asking) = (self.fetcher.clone(), self.stored.clone(), self.asker.ask());
            let (repository, digest, promised) = (repository.clone(), digest.clone(), promised.cloned());
            async move {
                let asking = asking?;
                let reference = Reference::Digest(digest.clone());
                let fetched = fetcher.fetch(&asking, &repository, &reference).await;
                let (media_type, verified) = match (fetched, promised) {
                    (Err(error), Some(tag)) if may_know_by_tag(&error) => {
                        let by_tag = fetcher.fetch_promised(&asking, &repository, &tag, &digest).await;
                        by_tag.map_err(|_| error)?
                    }
                    (fetched, _) => fetched?,
                };
                Ok(stored.keep(&repository, &media_type, &verified).await)
            }
        };
        let key = (repository.clone(), digest.clone());
        let (mut fetched, mut joined) = self.fetch_flights.join_or_start(key.clone(), &fetch).await;
        let mut refused_count = 0;
        // A refusal of another client's login says nothing about this one, nor does its rate limit.
        while joined && refused_count < REFUSED_JOIN_COUNT_MAX && self.is_refusal(&fetched) {
            refused_count += 1;
            (fetched, joined) = self.fetch_flights.join_or_start(key.clone(), &fetch).await;
        }
        let stored = fetched?;
        self.grants.note(repository, digest);
        Ok((stored, joined))
    }

    fn is_refusal<T>(&self, fetched: &Result<T, PullError>) -> bool {
        match fetched {
            Err(PullError::Unconfirmed { .. }) => true,
            Err(PullError::Throttled { .. }) => self.joins_other_logins,
            Err(error) => error.is_definite_no(),
            Ok(_) => false,
        }
    }

    /// Asks the upstream for a description of a digest. `None`: the description is incomplete or wrong.
    async fn describe(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<ManifestAnswer>, PullError> {
        let ask = || {
            let (fetcher, stored, asking) = (self.fetcher.clone(), self.stored.clone(), self.asker.ask());
            let (repository, reference) = (repository.clone(), Reference::Digest(digest.clone()));
            async move {
                let asking = asking?;
                match asking.upstream().head_manifest(&repository, &reference, Stakes::Nothing).await? {
                    Described::Head(head) => Ok(Description::Head(head)),
                    Described::Whole(body) => {
                        let (media_type, verified) =
                            fetcher.take(&asking, &repository, &reference, body).await?;
                        Ok(Description::Stored(stored.keep(&repository, &media_type, &verified).await))
                    }
                }
            }
        };
        let key = (repository.clone(), digest.clone());
        let head = match self.describe_flights.join_or_start(key, ask).await.0? {
            Description::Head(head) => head,
            Description::Stored(stored) => {
                self.grants.note(repository, digest);
                return Ok(Some(ManifestAnswer::of_stored(digest, stored, Outcome::Miss, None)));
            }
        };
        if head.digest.is_some_and(|claimed| claimed != *digest) {
            return Ok(None);
        }
        let described = describe(head.media_type, head.size);
        Ok(described.map(|(media_type, size)| ManifestAnswer::described(digest, media_type, size)))
    }
}

/// After a caller has joined this number of requests that were refused, it returns their refusal.
const REFUSED_JOIN_COUNT_MAX: u32 = 8;

/// The answer to a request for a description.
#[derive(Clone, Debug)]
enum Description {
    Head(ManifestHead),
    /// The upstream sent the whole manifest, which is stored now.
    Stored(HeldManifest),
}

/// The media type and size of a HEAD's response, if it has both. A type for arbitrary files does not count.
pub(crate) fn describe(media_type: Option<MediaType>, size: Option<u64>) -> Option<(MediaType, u64)> {
    media_type.filter(MediaType::is_specific).zip(size)
}

/// Whether an upstream that names a digest and then does not serve it may serve it by the tag.
fn may_know_by_tag(error: &PullError) -> bool {
    error.is_definite_no()
        || matches!(
            error,
            PullError::Unconfirmed { .. } | PullError::UpstreamUnavailable { timed_out: false, .. }
        )
}
