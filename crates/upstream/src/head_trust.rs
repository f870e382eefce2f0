//! Remembers for each repository how far to believe the upstream's answers to HEAD.

use oci::Repository;
use parking_lot::Mutex;
use policy::docker_hub;
use policy::head_trust::{HeadTrust, Negative, Proof, Stakes};
use policy::lru::LruMap;
use tokio::time::Instant;
use url::Url;

use crate::error::{Error, ErrorKind};
use crate::negative_answer::negative_of;

/// The most repositories to remember. The least recently used one costs another GET.
const REPOSITORY_COUNT_MAX: usize = 1024;

/// The state for one kind of content of one upstream, by repository: one host may front copies of several
/// registries, served by different programs.
#[derive(Debug)]
pub(crate) struct RepositoryHeadTrust {
    at_first: HeadTrust,
    repositories: Mutex<LruMap<Repository, HeadTrust>>,
}

/// The next step after a failed HEAD.
pub(crate) enum Next {
    /// End with this error.
    End(Error),
    /// Send a GET, which decides. The HEAD gave this negative answer, or none.
    Get(Option<Negative>),
}

impl RepositoryHeadTrust {
    pub(crate) fn of(upstream: &Url) -> Self {
        // Docker Hub answers HEAD as it answers GET, and counts only GETs against its rate limit.
        let is_docker_hub = upstream.host_str() == Some(docker_hub::REGISTRY_HOST);
        let at_first = if is_docker_hub { HeadTrust::known() } else { HeadTrust::default() };
        Self { at_first, repositories: Mutex::new(LruMap::new(REPOSITORY_COUNT_MAX)) }
    }

    /// Decides after a HEAD that ended in `error`.
    pub(crate) fn after_head(&self, repository: &Repository, error: Error, stakes: Stakes) -> Next {
        match error.kind() {
            // The token service refused, and would refuse a GET too.
            ErrorKind::Denied | ErrorKind::Unconfirmed if error.is_of_token_service() => Next::End(error),
            ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Unconfirmed => {
                self.evaluate(repository, error, stakes)
            }
            ErrorKind::Invalid => Next::Get(None),
            // A server that fails at HEAD may still answer GET.
            ErrorKind::Unreachable if error.status().is_some() && error.retryable() => Next::Get(None),
            ErrorKind::Unreachable
            | ErrorKind::Throttled
            | ErrorKind::TimedOut
            | ErrorKind::Resting
            | ErrorKind::Interrupted
            | ErrorKind::Overloaded
            | ErrorKind::Offline => Next::End(error),
        }
    }

    fn evaluate(&self, repository: &Repository, error: Error, stakes: Stakes) -> Next {
        let Some(no) = error.status().and_then(negative_of) else { return Next::End(error) };
        let proof = self.change(repository, |trust, now| trust.evaluate(no, stakes, now));
        match (proof, no) {
            (Proof::None, _) => Next::Get(Some(no)),
            (Proof::AsGet { is_authoritative: true }, Negative::Absent) => {
                Next::End(error.with_kind(ErrorKind::NotFound))
            }
            (Proof::AsGet { is_authoritative: true }, Negative::Refused) => {
                Next::End(error.with_kind(ErrorKind::Denied))
            }
            (Proof::AsGet { is_authoritative: false }, _) => Next::End(error),
        }
    }

    /// Notes the result of a GET after a HEAD gave `no`.
    pub(crate) fn note<T>(&self, repository: &Repository, no: Option<Negative>, got: &Result<T, Error>) {
        let Some(no) = no else { return };
        match got {
            Ok(_) => self.change(repository, HeadTrust::note_contradiction),
            Err(error) => {
                let is_authoritative = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied);
                let said = error.status().and_then(negative_of);
                if said == Some(no) && (is_authoritative || error.kind() == ErrorKind::Unconfirmed) {
                    self.change(repository, |trust, now| trust.note_agreement(no, is_authoritative, now));
                }
            }
        }
    }

    fn change<T>(
        &self,
        repository: &Repository,
        change: impl FnOnce(&mut HeadTrust, std::time::Instant) -> T,
    ) -> T {
        // What is behind this lock is changed in single steps, so a panic elsewhere does not spoil it.
        let mut repositories = self.repositories.lock();
        let trust = repositories.get_or_insert_with(repository, || self.at_first);
        change(trust, Instant::now().into_std())
    }
}
