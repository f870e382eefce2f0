//! Remembers a host's last failures, so that an error about an open breaker can name the reason.

use std::sync::Arc;

use policy::host_health::{Refusal, Target, TargetGroup};
use policy::lru::LruMap;
use policy::throttling::THROTTLE_PAUSE_MIN;

use crate::error::{Error, ErrorKind};

/// The last failure of the host, and of each remembered group of targets.
#[derive(Debug)]
pub(super) struct Failures {
    by_scope: LruMap<Arc<TargetGroup>, Error>,
    of_host: Option<Error>,
}

impl Failures {
    /// Starts empty, for at most `remembered_max` groups.
    pub(super) fn new(remembered_max: usize) -> Self {
        Self { by_scope: LruMap::new(remembered_max), of_host: None }
    }

    /// Remembers why a request for this target failed.
    pub(super) fn note(&mut self, target: &Target, error: &Error) {
        *self.by_scope.get_or_insert_with(&target.group, || error.clone()) = error.clone();
        self.note_of_host(error);
    }

    /// Remembers why a probe failed.
    pub(super) fn note_of_host(&mut self, error: &Error) {
        self.of_host = Some(error.clone());
    }

    /// Returns the error of a request for this target that was not sent to `host`.
    pub(super) fn describe(&mut self, host: &str, target: &Target, refusal: Refusal) -> Error {
        let of_scope = self.by_scope.get_mut(&*target.group).cloned();
        let (pause, what, last) = match refusal {
            Refusal::Host(pause) => {
                let what = "failed several times in a row and gets no requests for a moment";
                (pause, what, self.of_host.clone())
            }
            // While there is doubt about the host, this holds for repositories that have not failed
            // themselves.
            Refusal::Repository(pause) => {
                let what = "keeps failing here, and gets no further requests until one is answered";
                (pause, what, of_scope.or_else(|| self.of_host.clone()))
            }
            Refusal::Target(pause) => {
                let what = "failed at this several times in a row, and gets no requests for it for a moment";
                (pause, what, of_scope)
            }
        };
        let last = last.map_or_else(String::new, |error| format!(" (last error: it {})", error.detail()));
        Error::new(ErrorKind::Resting, host, format!("{what}{last}"))
            .with_retry_after(pause.max(THROTTLE_PAUSE_MIN))
    }
}
