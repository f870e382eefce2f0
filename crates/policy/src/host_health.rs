//! Circuit breaking at one host, by target: only what failed gets no further requests.
//!
//! A status from 502 on, silence, and a broken connection show a failure behind the host, perhaps of one
//! target only. So they count for that target and for its repository:
//!
//! - A **target** that fails several times in a row gets no requests except a probe.
//! - A **repository** whose requests keep failing gets few at a time, until one is answered.
//! - The **host** gets no requests if connecting fails. Several repositories that fail in a row only raise
//!   doubt. A probe by wharf itself then decides, because no client can choose or delay it.
//!
//! While there is doubt, one failure of a target is enough, and repositories that have served nothing lately
//! share few requests. Repositories that do serve go on as before, however often clients ask for the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::breaker::{Admission, Breaker, FAILURE_COUNT_MAX, PROBE_INTERVAL_MAX, PROBE_INTERVAL_MIN, State};
use crate::lru::LruMap;

/// The number of repositories that must fail in a row to raise doubt about the host.
pub const DOUBT_REPOSITORY_COUNT: usize = 3;
/// The most requests in flight for one repository that keeps failing.
pub const FAILING_REPOSITORY_COUNT_MAX: u32 = 4;
/// The most requests in flight, while there is doubt, for all repositories together that have served nothing
/// lately.
pub const DOUBTFUL_COUNT_MAX: u32 = 32;
/// The pause to report if only room for one more request is missing.
pub const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// The kind of thing that a request is for. Within a repository, one kind may fail alone: its tags may be too
/// many to list, or its blobs on a lost disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// Manifests, by tag or digest.
    Manifests,
    /// Blobs.
    Blobs,
    /// The list of tags.
    Tags,
    /// Lists of referrers.
    Referrers,
    /// A token for the repository.
    Token,
}

/// The targets of one kind in one repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetGroup {
    /// The repository's name.
    pub repository: String,
    /// The kind of target.
    pub kind: TargetKind,
}

/// The thing that one request is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its repository and kind.
    pub group: Arc<TargetGroup>,
    /// Whether the request is a `HEAD`: some registries answer that worse than `GET`, or not at all.
    pub is_head: bool,
    /// The tag or digest; empty for a kind without references.
    pub reference: String,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The host served the target, or redirected to it.
    Served,
    /// The head of the target arrived. The end of its body is reported by [`HostHealth::complete_body`] or
    /// [`HostHealth::fail_body`].
    HeadReceived,
    /// The host gave another answer: a refusal, an absence, a challenge.
    Answered,
    /// The host failed at this target: a 500, a body that broke off.
    TargetFailed,
    /// A status from 502 on, silence, or a broken connection.
    Failed,
    /// Connecting failed: name resolution, TCP or TLS.
    NotConnected,
    /// The request ended without a result, such as when its client disconnected.
    Abandoned,
}

/// An admitted request. The caller returns it to [`HostHealth::settle`].
#[derive(Debug)]
#[must_use]
pub struct InFlight {
    target: Admission,
    counts_for_group: bool,
    is_doubtful: bool,
}

/// The reason not to send a request, with the time until the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The host gets no requests.
    Host(Duration),
    /// The repository keeps failing and has its few requests in flight; or all doubtful repositories together
    /// have theirs.
    Repository(Duration),
    /// The target gets no requests.
    Target(Duration),
}

/// The state of one host and its targets. The caller owns the clock and keeps this behind its lock.
#[derive(Clone, Debug)]
pub struct HostHealth {
    host: Host,
    /// The targets that fail.
    targets: LruMap<Arc<Target>, Breaker>,
    failing: LruMap<Arc<TargetGroup>, Failing>,
    /// The groups that served a target and have not kept failing since. A 404 does not count: a client can
    /// invent names.
    serving: LruMap<Arc<TargetGroup>, ()>,
    doubtful_in_flight: u32,
}

#[derive(Clone, Debug, Default)]
struct Host {
    is_open: bool,
    is_probing: bool,
    /// The earliest time of the next probe.
    probe_at: Option<Instant>,
    interval: Duration,
    unconnected_in_a_row: u32,
    failures_in_a_row: u32,
    /// The repositories of those failures, at most [`DOUBT_REPOSITORY_COUNT`].
    repositories: Vec<Arc<TargetGroup>>,
    /// Whether one request may pass although the host gets none: the probe connected and got a bad answer,
    /// which may be true of its path only.
    may_try: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failing {
    failures_in_a_row: u32,
    in_flight: u32,
}

impl HostHealth {
    /// Makes the state of an unknown host. It remembers at most this many targets, and this many groups of
    /// each sort.
    pub fn new(target_count_max: usize, group_count_max: usize) -> Self {
        Self {
            host: Host::default(),
            targets: LruMap::new(target_count_max),
            failing: LruMap::new(group_count_max),
            serving: LruMap::new(group_count_max),
            doubtful_in_flight: 0,
        }
    }

    /// Decides whether a request may be sent now.
    ///
    /// # Errors
    /// [`Refusal`] if it may not.
    pub fn admit(&mut self, target: &Arc<Target>, now: Instant) -> Result<InFlight, Refusal> {
        self.check_host_and_group(&target.group, now)?;
        let admission = self.targets.get_mut(&**target).map_or(Admission::Pass, |breaker| breaker.admit(now));
        if let Admission::Refuse(pause) = admission {
            return Err(Refusal::Target(pause));
        }
        self.host.may_try = false;
        let failing = self.failing.get_mut(&*target.group);
        let counts_for_group = failing.map(|failing| failing.in_flight += 1).is_some();
        let is_doubtful = self.is_doubtful(&target.group);
        self.doubtful_in_flight += u32::from(is_doubtful);
        Ok(InFlight { target: admission, counts_for_group, is_doubtful })
    }

    /// Decides whether a request may be sent now whose result is not recorded.
    ///
    /// # Errors
    /// [`Refusal`] if it may not. Such a request is never a probe.
    pub fn admit_unseen(&mut self, target: &Arc<Target>, now: Instant) -> Result<(), Refusal> {
        self.check_host_and_group(&target.group, now)?;
        match self.targets.get_mut(&**target).map(|breaker| breaker.state()) {
            None | Some(State::Closed) => Ok(()),
            Some(State::HalfOpen | State::Open) => Err(Refusal::Target(ROOM_PAUSE)),
        }
    }

    fn check_host_and_group(&mut self, group: &Arc<TargetGroup>, now: Instant) -> Result<(), Refusal> {
        if self.host.is_open && !self.host.may_try {
            let probe_at = self.host.probe_at.unwrap_or(now);
            return Err(Refusal::Host(probe_at.saturating_duration_since(now)));
        }
        let enough = self.enough();
        let is_full = self.failing.get_mut(&**group).is_some_and(|failing| {
            failing.failures_in_a_row >= enough && failing.in_flight >= FAILING_REPOSITORY_COUNT_MAX
        });
        let doubt_is_full = self.is_doubtful(group) && self.doubtful_in_flight >= DOUBTFUL_COUNT_MAX;
        if is_full || doubt_is_full { Err(Refusal::Repository(ROOM_PAUSE)) } else { Ok(()) }
    }

    /// Settles a request that ended in `outcome`. Returns true if the target gets no requests from now on and
    /// did before.
    pub fn settle(
        &mut self,
        target: &Arc<Target>,
        in_flight: InFlight,
        outcome: RequestOutcome,
        now: Instant,
    ) -> bool {
        let mut is_left_alone = false;
        self.doubtful_in_flight -= u32::from(in_flight.is_doubtful);
        if in_flight.counts_for_group
            && let Some(failing) = self.failing.get_mut(&*target.group)
        {
            // The entry may have been replaced since the request was counted.
            failing.in_flight = failing.in_flight.saturating_sub(1);
        }
        match outcome {
            RequestOutcome::Served => {
                self.targets.remove(&**target);
                self.answered(&target.group);
                self.serving.get_or_insert_with(&target.group, || ());
            }
            RequestOutcome::HeadReceived => {
                self.abandon_target(target, in_flight.target);
                self.answered(&target.group);
            }
            RequestOutcome::Answered => {
                self.targets.remove(&**target);
                self.answered(&target.group);
            }
            RequestOutcome::TargetFailed => {
                is_left_alone = self.fail_target(target, in_flight.target, now);
                self.answered(&target.group);
            }
            RequestOutcome::Failed => {
                self.host.note_failure(&target.group);
                is_left_alone = self.fail_target(target, in_flight.target, now);
                self.fail_group(&target.group);
            }
            RequestOutcome::NotConnected => {
                self.host.note_unconnected(now);
                self.abandon_target(target, in_flight.target);
            }
            RequestOutcome::Abandoned => self.abandon_target(target, in_flight.target),
        }
        self.forget_idle(&target.group);
        is_left_alone
    }

    /// Notes that a body arrived complete.
    pub fn complete_body(&mut self, target: &Arc<Target>) {
        self.targets.remove(&**target);
        self.serving.get_or_insert_with(&target.group, || ());
    }

    /// Notes that a body broke off, or did not end in time.
    pub fn fail_body(&mut self, target: &Arc<Target>, now: Instant) {
        self.fail_target(target, Admission::Probe, now);
    }

    /// Notes that the answer for this target asked for a pause.
    pub fn pause_target(&mut self, target: &Arc<Target>, pause: Duration, now: Instant) {
        self.targets.get_or_insert_with(target, Breaker::default).pause(pause, now);
    }

    /// Tells whether to probe the host now. A caller that gets true reports back to [`probed`](Self::probed).
    pub fn take_probe(&mut self, now: Instant) -> bool {
        let is_wanted = self.host.is_open || self.is_in_doubt();
        let is_due = self.host.probe_at.is_none_or(|probe_at| now >= probe_at);
        if !is_wanted || !is_due || self.host.is_probing {
            return false;
        }
        self.host.is_probing = true;
        true
    }

    /// Settles the probe of the host.
    pub fn probed(&mut self, outcome: RequestOutcome, now: Instant) {
        self.host.is_probing = false;
        let is_there = matches!(
            outcome,
            RequestOutcome::Served
                | RequestOutcome::HeadReceived
                | RequestOutcome::Answered
                | RequestOutcome::TargetFailed
        );
        let is_gone = matches!(outcome, RequestOutcome::Failed | RequestOutcome::NotConnected);
        self.host.may_try = self.host.is_open && outcome == RequestOutcome::Failed;
        if self.host.is_open && is_there {
            self.host = Host { probe_at: Some(now + PROBE_INTERVAL_MIN), ..Host::default() };
        } else if !self.host.is_open && self.is_in_doubt() && is_gone {
            self.host.open(now);
        } else {
            // The host is closed and still down, or in doubt and up: probe at growing intervals.
            self.host.interval = self.host.next_interval();
            self.host.probe_at = Some(now + self.host.interval);
        }
    }

    /// Tells whether a failure of the target may be transient, so that a retry may help: it has not failed
    /// lately, and its repository is not in doubt.
    pub fn may_retry(&self, target: &Arc<Target>) -> bool {
        !self.targets.contains(&**target) && !self.is_doubtful(&target.group)
    }

    /// Tells whether the repository served a target lately.
    pub fn serves(&self, group: &TargetGroup) -> bool {
        self.serving.contains(group)
    }

    /// Returns the host's breaker state.
    pub fn state(&self) -> State {
        match (self.host.is_open, self.host.is_probing) {
            (false, _) => State::Closed,
            (true, true) => State::HalfOpen,
            (true, false) => State::Open,
        }
    }

    /// Tells whether so many requests failed in a row that the host itself may be down.
    pub fn is_in_doubt(&self) -> bool {
        self.host.failures_in_a_row >= FAILURE_COUNT_MAX
            && self.host.repositories.len() >= DOUBT_REPOSITORY_COUNT
    }

    fn is_doubtful(&self, group: &TargetGroup) -> bool {
        self.is_in_doubt() && !self.serving.contains(group)
    }

    /// Returns the failures in a row that open a breaker.
    fn enough(&self) -> u32 {
        if self.is_in_doubt() { 1 } else { FAILURE_COUNT_MAX }
    }

    fn answered(&mut self, group: &Arc<TargetGroup>) {
        self.host.answered();
        if let Some(failing) = self.failing.get_mut(&**group) {
            failing.failures_in_a_row = 0;
        }
    }

    fn fail_target(&mut self, target: &Arc<Target>, admission: Admission, now: Instant) -> bool {
        let enough = self.enough();
        let breaker = self.targets.get_or_insert_with(target, Breaker::default);
        let before = breaker.state();
        breaker.fail(admission, enough, now);
        (before, breaker.state()) == (State::Closed, State::Open)
    }

    fn abandon_target(&mut self, target: &Arc<Target>, admission: Admission) {
        if let Some(breaker) = self.targets.get_mut(&**target) {
            breaker.abandon(admission);
        }
    }

    fn fail_group(&mut self, group: &Arc<TargetGroup>) {
        let enough = self.enough();
        let failing = self.failing.get_or_insert_with(group, Failing::default);
        failing.failures_in_a_row = failing.failures_in_a_row.saturating_add(1);
        if failing.failures_in_a_row >= enough {
            self.serving.remove(&**group);
        }
    }

    /// Removes an entry without failures and without counted requests in flight.
    fn forget_idle(&mut self, group: &Arc<TargetGroup>) {
        let is_idle = |failing: &mut Failing| failing.failures_in_a_row == 0 && failing.in_flight == 0;
        if self.failing.get_mut(&**group).is_some_and(is_idle) {
            self.failing.remove(&**group);
        }
    }
}

impl Host {
    fn answered(&mut self) {
        // A probe in flight still reports back, and the next one keeps its interval.
        let kept = Self { is_probing: self.is_probing, probe_at: self.probe_at, ..Self::default() };
        *self = kept;
    }

    fn note_failure(&mut self, group: &Arc<TargetGroup>) {
        self.unconnected_in_a_row = 0;
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let is_known = self.repositories.iter().any(|known| known.repository == group.repository);
        if !is_known && self.repositories.len() < DOUBT_REPOSITORY_COUNT {
            self.repositories.push(Arc::clone(group));
        }
    }

    fn note_unconnected(&mut self, now: Instant) {
        self.unconnected_in_a_row = self.unconnected_in_a_row.saturating_add(1);
        if self.unconnected_in_a_row >= FAILURE_COUNT_MAX && !self.is_open {
            self.open(now);
        }
    }

    fn open(&mut self, now: Instant) {
        self.is_open = true;
        self.interval = PROBE_INTERVAL_MIN;
        self.probe_at = Some(now + self.interval);
    }

    fn next_interval(&self) -> Duration {
        (self.interval * 2).clamp(PROBE_INTERVAL_MIN, PROBE_INTERVAL_MAX)
    }
}

#[cfg(test)]
mod tests;
