//! Grants: the upstream's permissions for repositories to read blobs and manifests, and how long each is
//! valid.
//!
//! Only registries with credentials have them: there one repository's grant proves nothing for another, and
//! access that the registry revokes must end here too. The grants are on disk; the times of the recent ones
//! are in memory, so that neither a restart nor a clock that was set back makes a grant live longer.

use std::sync::Arc;

use oci::{Digest, Reference, Repository};
use policy::freshness::Upstream404;
use policy::head_trust::Stakes;
use storage::StoreError;
use tracing::info;
use upstream::{Described, ManifestHead};

use crate::asker::{Asker, Asking};
use crate::error::PullError;
use crate::flight::Flights;
use crate::recent::Recent;
use crate::refusals::Refusals;
use crate::shared::Shared;

/// Recent grants that are remembered. A further one replaces the oldest, which then needs another HEAD.
const GRANT_COUNT_MAX: usize = 32 * 1024;

/// The same for one client that pulls with its own login: some images.
const GRANT_COUNT_OF_CLIENT_MAX: usize = 512;

/// The object of a grant. One digest can be both, with a different request for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Content {
    Blob,
    Manifest,
}

/// The grants of one registry.
#[derive(Debug)]
pub(crate) struct Grants {
    shared: Arc<Shared>,
    asker: Arc<Asker>,
    /// Grants that the upstream gave within the last `auth_ttl`.
    recent: Recent<(Repository, Digest), ()>,
    flights: Flights<(Content, Repository, Digest), ()>,
    /// Blobs that the registry has just refused, stored or not: the response time must not reveal which of
    /// them are stored.
    refused_blobs: Refusals<(Repository, Digest)>,
}

impl Grants {
    pub(crate) fn new(shared: Arc<Shared>, asker: Arc<Asker>) -> Self {
        Self {
            recent: Recent::new(shared.settings.auth_ttl, GRANT_COUNT_MAX),
            flights: shared.flights(),
            refused_blobs: Refusals::new(shared.settings.negative_ttl),
            shared,
            asker,
        }
    }

    /// The grants of one client.
    pub(crate) fn of_client(shared: Arc<Shared>, asker: Arc<Asker>) -> Self {
        Self {
            recent: Recent::new(shared.settings.auth_ttl, GRANT_COUNT_OF_CLIENT_MAX),
            flights: shared.flights_of_client(),
            refused_blobs: Refusals::of_client(shared.settings.negative_ttl),
            shared,
            asker,
        }
    }

    /// Proves that the repository may read stored content: the upstream must have granted it to the
    /// repository, and again within each `auth_ttl`. That costs a HEAD and no body. An upstream that cannot
    /// be asked revokes nothing.
    ///
    /// # Errors
    /// The upstream's refusal. Without an earlier grant, also any error that keeps wharf from asking.
    pub(crate) async fn prove(
        &self,
        content: Content,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), PullError> {
        if !self.must_ask(repository, digest) {
            return Ok(());
        }
        Box::pin(self.prove_upstream(content, repository, digest)).await
    }

    async fn prove_upstream(
        &self,
        content: Content,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), PullError> {
        let was_granted = match content {
            // A manifest is stored for a repository only after a grant.
            Content::Manifest => true,
            Content::Blob => self.is_linked(repository, digest).await,
        };
        let key = (repository.clone(), digest.clone());
        if !was_granted {
            self.refused_blobs.check(&key)?;
        }
        let answer = self.ask(content, repository, digest).await;
        match &answer {
            Ok(()) => self.note(repository, digest),
            Err(error) if self.revokes(error) => {
                self.recent.take(&key);
                info!(
                    registry = %self.shared.name,
                    %repository,
                    %digest,
                    error = telemetry::error_chain(error),
                    "the registry revoked access"
                );
            }
            Err(_) => {}
        }
        if content == Content::Blob {
            self.refused_blobs.remember(key, &answer);
        }
        if let Err(error) = self.record(content, repository, digest, was_granted, &answer).await {
            self.shared.store_failed(&error);
        }
        self.tolerate(was_granted, answer)
    }

    /// Asks the upstream, once for all concurrent callers.
    async fn ask(&self, content: Content, repository: &Repository, digest: &Digest) -> Result<(), PullError> {
        let _client = self.asker.admit()?;
        let start = || {
            let asking = self.asker.ask();
            let (repository, digest) = (repository.clone(), digest.clone());
            async move {
                match content {
                    Content::Blob => ask_for_blob(&asking?, &repository, &digest).await,
                    Content::Manifest => ask_for_manifest(&asking?, &repository, &digest).await,
                }
            }
        };
        let flight = self.flights.join_or_start((content, repository.clone(), digest.clone()), start);
        match content {
            Content::Blob => flight.await.0,
            // It may fetch a whole document.
            Content::Manifest => self.asker.within_deadline(async { flight.await.0 }).await,
        }
    }

    /// Stores a new or revoked grant.
    async fn record(
        &self,
        content: Content,
        repository: &Repository,
        digest: &Digest,
        was_granted: bool,
        answer: &Result<(), PullError>,
    ) -> Result<(), StoreError> {
        let records = &self.shared.records;
        if answer.is_err() && self.shared.settings.passthrough {
            return Ok(());
        }
        match (content, answer) {
            (Content::Blob, Ok(())) if !was_granted => records.put_link(repository, digest).await,
            (Content::Blob, Err(error)) if was_granted && self.revokes(error) => {
                records.remove_link(repository, digest).await
            }
            (Content::Manifest, Err(error)) if self.revokes(error) => {
                let leaving = self.shared.inventory.leaving(repository, digest).await;
                records.remove_manifest(repository, digest).await?;
                self.shared.inventory.manifest_forgotten(leaving);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Notes that the upstream has just granted this.
    pub(crate) fn note(&self, repository: &Repository, digest: &Digest) {
        if self.shared.settings.links {
            self.recent.insert((repository.clone(), digest.clone()), ());
        }
    }

    /// As [`note`](Self::note), for a blob that is about to be stored. The grant is stored before the blob,
    /// so that no stored blob lacks it.
    ///
    /// # Errors
    /// Store errors; then the caller must not store the blob.
    pub(crate) async fn note_stored(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        if !self.shared.settings.links {
            return Ok(());
        }
        self.note(repository, digest);
        self.shared.records.put_link(repository, digest).await
    }

    /// Whether the repository has no recent grant for this.
    pub(crate) fn must_ask(&self, repository: &Repository, digest: &Digest) -> bool {
        self.shared.settings.links && self.recent.get(&(repository.clone(), digest.clone())).is_none()
    }

    /// The blobs that the registry has just refused.
    pub(crate) fn refused_blobs(&self) -> &Refusals<(Repository, Digest)> {
        &self.refused_blobs
    }

    async fn is_linked(&self, repository: &Repository, digest: &Digest) -> bool {
        self.shared.records.has_link(repository, digest).await.unwrap_or_else(|error| {
            self.shared.store_failed(&error);
            false
        })
    }

    /// Whether the upstream refused, as opposed to not answering.
    fn revokes(&self, error: &PullError) -> bool {
        match error {
            PullError::Denied { .. } => true,
            PullError::NotFound { .. } => self.shared.settings.tags.on_upstream_404 == Upstream404::NotFound,
            _ => false,
        }
    }

    /// Applies the rule that an earlier grant is valid until the upstream revokes it.
    fn tolerate(&self, was_granted: bool, answer: Result<(), PullError>) -> Result<(), PullError> {
        match answer {
            Err(error) if !was_granted => Err(error),
            Err(PullError::NotFound { .. })
                if self.shared.settings.tags.on_upstream_404 == Upstream404::Serve =>
            {
                Ok(())
            }
            Err(PullError::Offline) => Ok(()),
            // The upstream was not asked, and a client that has lost access could cause a lack of permits.
            Err(error) if error.is_outage() && error != PullError::Overloaded => {
                self.shared.metrics.stale(error.reason());
                Ok(())
            }
            answer => answer,
        }
    }
}

async fn ask_for_blob(asking: &Asking, repository: &Repository, digest: &Digest) -> Result<(), PullError> {
    asking.upstream().head_blob(repository, digest, Stakes::Held).await?;
    Ok(())
}

async fn ask_for_manifest(
    asking: &Asking,
    repository: &Repository,
    digest: &Digest,
) -> Result<(), PullError> {
    let reference = Reference::Digest(digest.clone());
    let is_proof = match asking.upstream().head_manifest(repository, &reference, Stakes::Held).await? {
        Described::Head(ManifestHead { digest: Some(named), .. }) => named == *digest,
        // Any web page has such a head. The bytes decide.
        Described::Head(ManifestHead { digest: None, .. }) => {
            digest.is_of_manifest(&asking.upstream().get_manifest(repository, &reference).await?.bytes)
        }
        Described::Whole(body) => digest.is_of_manifest(&body.bytes),
    };
    let other = || PullError::unavailable(format!("the upstream returned other content for {digest}"));
    if is_proof { Ok(()) } else { Err(other()) }
}
