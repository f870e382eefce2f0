//! Pauses after a 429. A registry limits each login apart, so the pause of a client that pulls with its own
//! login holds for this login alone.

use std::time::Duration;

use parking_lot::Mutex;
use policy::host_health::{Target, TargetKind};
use policy::lru::LruMap;
use policy::throttling::{LimitedKind, Throttling};
use tokio::time::Instant;

/// The most hosts that may pause the requests of one login: the registry and its token service.
const HOST_COUNT_MAX: usize = 4;

/// The pauses of one client's login, by host.
#[derive(Debug)]
pub(crate) struct ClientPauses(Mutex<LruMap<String, Throttling>>);

impl Default for ClientPauses {
    fn default() -> Self {
        Self(Mutex::new(LruMap::new(HOST_COUNT_MAX)))
    }
}

impl ClientPauses {
    pub(super) fn begin(&self, host: &str, target: &Target, pause: Duration, now: Instant) -> bool {
        let mut hosts = self.0.lock();
        begin(hosts.get_or_insert_with(&host.to_owned(), Throttling::of_client), target, pause, now)
    }

    /// Makes no entry for a host that never answered 429: the others would lose theirs.
    pub(super) fn left(&self, host: &str, target: &Target, now: Instant) -> Option<Duration> {
        left(self.0.lock().get_mut(host)?, target, now)
    }
}

/// Notes that a request for `target` was told to wait for `pause`. Returns true if that extends the present
/// pause.
pub(super) fn begin(throttling: &mut Throttling, target: &Target, pause: Duration, now: Instant) -> bool {
    throttling.begin(&target.group.repository, limit_of(target.group.kind), pause, now.into_std())
}

/// The rest of the pause of requests for `target`, if there is one.
pub(super) fn left(throttling: &mut Throttling, target: &Target, now: Instant) -> Option<Duration> {
    throttling.left(&target.group.repository, limit_of(target.group.kind), now.into_std())
}

/// Returns the requests that a 429 for this kind of target covers.
pub(super) fn limit_of(kind: TargetKind) -> LimitedKind {
    match kind {
        TargetKind::Manifests => LimitedKind::Manifests,
        TargetKind::Tags | TargetKind::Referrers => LimitedKind::Lists,
        TargetKind::Blobs | TargetKind::Token => LimitedKind::Everything,
    }
}
