//! Remembers why a host failed last, so that a client which is told that the host is left alone learns the
//! reason too.

use std::sync::Arc;

use policy::host_health::{Refusal, Target, TargetGroup};
use policy::lru::LruMap;
use policy::throttling::THROTTLE_PAUSE_MIN;

use crate::error::{Error, ErrorKind};

/// The last failure of each repository that is remembered, by kind of content, and of the host.
#[derive(Debug)]
pub(super) struct Failures {
    by_scope: LruMap<Arc<TargetGroup>, Error>,
    of_host: Option<Error>,
}

impl Failures {
    /// None yet; of `remembered_max` repositories at most.
    pub(super) fn new(remembered_max: usize) -> Self {
        Self { by_scope: LruMap::new(remembered_max), of_host: None }
    }

    /// Remembers why a request for this path failed.
    pub(super) fn note(&mut self, target: &Target, error: &Error) {
        *self.by_scope.get_or_insert_with(&target.group, || error.clone()) = error.clone();
        self.note_of_host(error);
    }

    /// Remembers why a request for nothing in particular failed.
    pub(super) fn note_of_host(&mut self, error: &Error) {
        self.of_host = Some(error.clone());
    }

    /// The error of a request for this path that was not sent to `host`.
    pub(super) fn describe(&mut self, host: &str, target: &Target, refusal: Refusal) -> Error {
        let of_scope = self.by_scope.get_mut(&*target.group).cloned();
        let (pause, what, last) = match refusal {
            Refusal::Host(pause) => {
                let what = "failed several times in a row and is left alone for a moment";
                (pause, what, self.of_host.clone())
            }
            // While there is doubt about the host, this holds for repositories that have not failed
            // themselves.
            Refusal::Repository(pause) => {
                let what =
                    "keeps failing here, and has as many requests under way as it gets until it answers";
                (pause, what, of_scope.or_else(|| self.of_host.clone()))
            }
            Refusal::Target(pause) => {
                let what =
                    "failed at this several times in a row, and is not asked for it again for a moment";
                (pause, what, of_scope)
            }
        };
        let last = last.map_or_else(String::new, |error| format!(" (last error: it {})", error.detail()));
        Error::new(ErrorKind::Resting, host, format!("{what}{last}"))
            .with_retry_after(pause.max(THROTTLE_PAUSE_MIN))
    }
}
