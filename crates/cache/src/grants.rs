//! Grants: through which repository the upstream lets something be read, and how long its word on that holds.
//!
//! Only registries with credentials have them: there one repository's grant proves nothing for another, and access
//! that was taken away must end here too. What was granted is on disk; that it was granted lately is in memory, so
//! that neither a restart nor a clock that was set back makes a grant live longer.

use oci::{Digest, Reference, Repository};
use policy::freshness::Upstream404;
use policy::head_trust::Stakes;
use upstream::{Described, ManifestHead};

use crate::backend::{Asked, Backend};
use crate::error::PullError;
use crate::recent::Recent;
use crate::waiting::Place;

/// Grants that the upstream gave within the last `auth_ttl`.
pub(crate) type Grants = Recent<(Repository, Digest), ()>;

/// How many of them are known at a time. A further one costs the oldest another HEAD.
pub(crate) const GRANT_COUNT_MAX: usize = 32 * 1024;

impl Backend {
    /// A stored blob is served through a repository only after the upstream has granted it through that one, and
    /// again each `auth_ttl`. No body is fetched for that. An upstream that cannot be asked takes nothing away.
    pub(crate) async fn prove_link(&self, repository: &Repository, digest: &Digest) -> Result<(), PullError> {
        if !self.must_ask(repository, digest) {
            return Ok(());
        }
        let is_linked = self.records.has_link(repository, digest).await.unwrap_or_else(|error| {
            self.store_failed(&error);
            false
        });
        if self.settings.tags.offline {
            return if is_linked { Ok(()) } else { Err(self.offline()) };
        }
        // As for a blob that is not held: whoever asks again and again learns nothing from the time it takes.
        let asked = Asked::Blob(repository.clone(), digest.clone());
        if !is_linked && let Some(no) = self.refused.get(&asked) {
            return Err(no);
        }
        let key = (repository.clone(), digest.clone());
        let (upstream, (repository_asked, digest_asked)) = (self.upstream.clone(), key.clone());
        let ask = |place| async move {
            let _place: Place = place?;
            let asked = upstream.head_blob(&repository_asked, &digest_asked, Stakes::Held).await;
            asked.map(|_| ()).map_err(|error| PullError::from(&error))
        };
        let answer = match self.wait() {
            Ok(_waiting) => Box::pin(self.link_flights.join_or_start(key, || ask(self.take_place()))).await.0,
            Err(error) => Err(error),
        };
        self.judge(repository, digest, &answer);
        self.remember_no(asked, &answer);
        let recorded = match &answer {
            Ok(()) if !is_linked => self.records.put_link(repository, digest).await,
            Err(error) if is_linked && self.takes_away(error) => {
                self.records.remove_link(repository, digest).await
            }
            _ => Ok(()),
        };
        if let Err(error) = recorded {
            self.store_failed(&error);
        }
        self.excuse(is_linked, answer)
    }

    /// As [`Self::prove_link`], for a stored manifest: that it is stored for the repository means that it was
    /// granted through it.
    pub(crate) async fn prove_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), PullError> {
        if self.settings.tags.offline || !self.must_ask(repository, digest) {
            return Ok(());
        }
        let key = (repository.clone(), digest.clone());
        let (upstream, (repository_asked, digest_asked)) = (self.upstream.clone(), key.clone());
        let ask = |place| async move {
            let _place: Place = place?;
            let reference = Reference::Digest(digest_asked.clone());
            let described = upstream.head_manifest(&repository_asked, &reference, Stakes::Held).await;
            let proof = match described.map_err(|error| PullError::from(&error))? {
                Described::Head(ManifestHead { digest: Some(named), .. }) => named == digest_asked,
                // Any page has a head like that. The bytes tell.
                Described::Head(ManifestHead { digest: None, .. }) => {
                    let got = upstream.get_manifest(&repository_asked, &reference).await;
                    digest_asked.is_of_manifest(&got.map_err(|error| PullError::from(&error))?.bytes)
                }
                Described::Whole(body) => digest_asked.is_of_manifest(&body.bytes),
            };
            let other = || {
                PullError::unavailable(format!("the upstream answers for {digest_asked} with something else"))
            };
            if proof { Ok(()) } else { Err(other()) }
        };
        let answer = match self.wait() {
            Ok(_waiting) => {
                let flight = self.grant_flights.join_or_start(key, || ask(self.take_place()));
                Box::pin(self.within_deadline(async { flight.await.0 })).await
            }
            Err(error) => Err(error),
        };
        self.judge(repository, digest, &answer);
        if answer.as_ref().is_err_and(|error| self.takes_away(error))
            && let Err(error) = self.records.remove_manifest(repository, digest).await
        {
            self.store_failed(&error);
        }
        self.excuse(true, answer)
    }

    /// Notes that the upstream has just let this be read.
    pub(crate) fn note_grant(&self, repository: &Repository, digest: &Digest) {
        if self.settings.links {
            self.grants.insert((repository.clone(), digest.clone()), ());
        }
    }

    /// Whether nothing that the upstream said lately lets the repository have this.
    pub(crate) fn must_ask(&self, repository: &Repository, digest: &Digest) -> bool {
        self.settings.links && self.grants.get(&(repository.clone(), digest.clone())).is_none()
    }

    fn judge(&self, repository: &Repository, digest: &Digest, answer: &Result<(), PullError>) {
        match answer {
            Ok(()) => self.note_grant(repository, digest),
            Err(error) if self.takes_away(error) => {
                self.grants.take(&(repository.clone(), digest.clone()));
                tracing::info!(registry = %self.name, %repository, %digest, %error, "access was taken away");
            }
            Err(_) => {}
        }
    }

    /// Whether the upstream has said no, as opposed to nothing.
    fn takes_away(&self, error: &PullError) -> bool {
        match error {
            PullError::Denied { .. } => true,
            PullError::NotFound { .. } => self.settings.tags.on_upstream_404 == Upstream404::NotFound,
            _ => false,
        }
    }

    /// What was granted before stays granted as long as nobody takes it away.
    fn excuse(&self, was_granted: bool, answer: Result<(), PullError>) -> Result<(), PullError> {
        match answer {
            Err(PullError::NotFound { .. })
                if was_granted && self.settings.tags.on_upstream_404 == Upstream404::Serve =>
            {
                Ok(())
            }
            // A lack of places is no word of the upstream's, and whoever lost access could bring it about.
            Err(error) if was_granted && error.is_outage() && error != PullError::Overloaded => {
                self.metrics.stale(error.reason());
                Ok(())
            }
            answer => answer,
        }
    }
}
