//! Grants: through which repository the upstream lets something be read, and how long its word on that holds.
//!
//! Only registries with credentials have them: there one repository's grant proves nothing for another, and access
//! that was taken away must end here too. What was granted is on disk; that it was granted lately is in memory, so
//! that neither a restart nor a clock that was set back makes a grant live longer.

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

/// Grants that are known at a time. A further one costs the oldest another HEAD.
const GRANT_COUNT_MAX: usize = 32 * 1024;

/// The object of a grant. The same digest can be both, and each is asked for in its own way.
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
    /// Blobs that the registry has refused a moment ago, stored or not: the time of an answer must not tell which of the
    /// two a blob is.
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

    /// Proves that the repository may have what is stored: the upstream must have granted it through that one, and
    /// again within each `auth_ttl`. No body is fetched for that. An upstream that cannot be asked takes nothing away.
    ///
    /// # Errors
    /// The upstream's refusal. Whatever keeps wharf from asking, where nothing was granted before.
    pub(crate) async fn prove(
        &self,
        content: Content,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), PullError> {
        if !self.must_ask(repository, digest) {
            return Ok(());
        }
        Box::pin(self.prove_anew(content, repository, digest)).await
    }

    async fn prove_anew(
        &self,
        content: Content,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), PullError> {
        let was_granted = match content {
            // It was stored for the repository because it was granted through it.
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
            Err(error) if self.takes_away(error) => {
                self.recent.take(&key);
                info!(registry = %self.shared.name, %repository, %digest, %error, "access was taken away");
            }
            Err(_) => {}
        }
        if content == Content::Blob {
            self.refused_blobs.remember(key, &answer);
        }
        if let Err(error) = self.record(content, repository, digest, was_granted, &answer).await {
            self.shared.store_failed(&error);
        }
        self.excuse(was_granted, answer)
    }

    /// Asks once for all who want to know at the same time.
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
            // It may be a whole document that is fetched.
            Content::Manifest => self.asker.within_deadline(async { flight.await.0 }).await,
        }
    }

    /// Keeps what was granted or taken away over a restart.
    async fn record(
        &self,
        content: Content,
        repository: &Repository,
        digest: &Digest,
        was_granted: bool,
        answer: &Result<(), PullError>,
    ) -> Result<(), StoreError> {
        let records = &self.shared.records;
        match (content, answer) {
            (Content::Blob, Ok(())) if !was_granted => records.put_link(repository, digest).await,
            (Content::Blob, Err(error)) if was_granted && self.takes_away(error) => {
                records.remove_link(repository, digest).await
            }
            (Content::Manifest, Err(error)) if self.takes_away(error) => {
                records.remove_manifest(repository, digest).await
            }
            _ => Ok(()),
        }
    }

    /// Notes that the upstream has just let this be read.
    pub(crate) fn note(&self, repository: &Repository, digest: &Digest) {
        if self.shared.settings.links {
            self.recent.insert((repository.clone(), digest.clone()), ());
        }
    }

    /// As [`note`](Self::note), for a blob that is about to be stored. The grant is stored before the blob, so that a
    /// stored blob never lacks it.
    ///
    /// # Errors
    /// Store errors: then the blob must not be stored.
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

    /// Whether nothing that the upstream said lately lets the repository have this.
    pub(crate) fn must_ask(&self, repository: &Repository, digest: &Digest) -> bool {
        self.shared.settings.links && self.recent.get(&(repository.clone(), digest.clone())).is_none()
    }

    /// The blobs that the registry has refused a moment ago.
    pub(crate) fn refused_blobs(&self) -> &Refusals<(Repository, Digest)> {
        &self.refused_blobs
    }

    async fn is_linked(&self, repository: &Repository, digest: &Digest) -> bool {
        self.shared.records.has_link(repository, digest).await.unwrap_or_else(|error| {
            self.shared.store_failed(&error);
            false
        })
    }

    /// Whether the upstream has said no, as opposed to nothing.
    fn takes_away(&self, error: &PullError) -> bool {
        match error {
            PullError::Denied { .. } => true,
            PullError::NotFound { .. } => self.shared.settings.tags.on_upstream_404 == Upstream404::NotFound,
            _ => false,
        }
    }

    /// An earlier grant holds until the upstream takes it away.
    fn excuse(&self, was_granted: bool, answer: Result<(), PullError>) -> Result<(), PullError> {
        match answer {
            Err(error) if !was_granted => Err(error),
            Err(PullError::NotFound { .. })
                if self.shared.settings.tags.on_upstream_404 == Upstream404::Serve =>
            {
                Ok(())
            }
            Err(PullError::Offline) => Ok(()),
            // The upstream was not asked, and a client that lost access could bring a lack of permits about.
            Err(error) if error.is_outage() && error != PullError::Overloaded => {
                self.shared.metrics.stale(error.reason());
                Ok(())
            }
            answer => answer,
        }
    }
}

async fn ask_for_blob(asking: &Asking, repository: &Repository, digest: &Digest) -> Result<(), PullError> {
    asking.head_blob(repository, digest, Stakes::Held).await.map(|_| ())
}

async fn ask_for_manifest(
    asking: &Asking,
    repository: &Repository,
    digest: &Digest,
) -> Result<(), PullError> {
    let reference = Reference::Digest(digest.clone());
    let is_proof = match asking.head_manifest(repository, &reference, Stakes::Held).await? {
        Described::Head(ManifestHead { digest: Some(named), .. }) => named == *digest,
        // Any page has a head like that. The bytes tell.
        Described::Head(ManifestHead { digest: None, .. }) => {
            digest.is_of_manifest(&asking.get_manifest(repository, &reference).await?.bytes)
        }
        Described::Whole(body) => digest.is_of_manifest(&body.bytes),
    };
    let other = || PullError::unavailable(format!("the upstream answers for {digest} with something else"));
    if is_proof { Ok(()) } else { Err(other()) }
}
