//! Leaves one thing alone that keeps failing.
//!
//! Closed, every request passes. A run of failures opens the breaker; from then on one request at a time, and
//! at most one per interval, passes as a probe. A probe that fails doubles the interval; any answer closes.

use std::time::{Duration, Instant};

/// Failures in a row that open a breaker, where nothing else is known.
pub const FAILURE_COUNT_MAX: u32 = 5;
/// The pause before the first probe.
pub const PROBE_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest pause between probes.
pub const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(30);

/// A breaker; the caller owns the clock and keeps it behind its own lock.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures_in_a_row: u32,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    probe_at: Instant,
    interval: Duration,
    is_probing: bool,
}

/// What a request may do. One that passes reports back by exactly one of [`Breaker::succeed`],
/// [`Breaker::fail`] and [`Breaker::abandon`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go ahead.
    Pass,
    /// Go ahead, alone: the state depends on how it ends.
    Probe,
    /// Do not ask; a probe is due after this time, or one is under way.
    Refuse(Duration),
}

/// The state as the metric prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Closed,
    /// A probe is under way.
    HalfOpen,
    /// Requests are refused.
    Open,
}

impl State {
    /// 0 closed, 1 half open, 2 open.
    pub fn as_number(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

impl Breaker {
    /// Tells whether a request may be sent now.
    pub fn admit(&mut self, now: Instant) -> Admission {
        match &mut self.open {
            None => Admission::Pass,
            Some(open) if !open.is_probing && now >= open.probe_at => {
                open.is_probing = true;
                Admission::Probe
            }
            Some(open) => Admission::Refuse(open.probe_at.saturating_duration_since(now)),
        }
    }

    /// There was an answer. A request admitted before the breaker opened proves that too.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// There was none, or one that says that it cannot be given. `enough` failures in a row open the breaker.
    ///
    /// While the breaker is open only the probe's own failure counts: the requests that were admitted before
    /// it opened tell nothing new.
    pub fn fail(&mut self, admission: Admission, enough: u32, now: Instant) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        match (&mut self.open, admission) {
            (Some(open), Admission::Probe) => {
                open.interval = (open.interval * 2).min(PROBE_INTERVAL_MAX);
                open.probe_at = now + open.interval;
                open.is_probing = false;
            }
            (None, _) if self.failures_in_a_row >= enough => {
                let interval = PROBE_INTERVAL_MIN;
                self.open = Some(Open { probe_at: now + interval, interval, is_probing: false });
            }
            _ => {}
        }
    }

    /// Leaves the thing alone for `pause`, as it asked. A longer pause that runs already stays.
    pub fn rest(&mut self, pause: Duration, now: Instant) {
        let probe_at = now + pause;
        let open =
            self.open.get_or_insert(Open { probe_at, interval: PROBE_INTERVAL_MIN, is_probing: false });
        open.probe_at = open.probe_at.max(probe_at);
        open.is_probing = false;
    }

    /// The request ended without telling anything, such as when its caller went away. The next one may be the
    /// probe at once: whoever leaves must not be able to keep others out.
    pub fn abandon(&mut self, admission: Admission) {
        if let (Some(open), Admission::Probe) = (&mut self.open, admission) {
            open.is_probing = false;
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        match &self.open {
            None => State::Closed,
            Some(open) if open.is_probing => State::HalfOpen,
            Some(_) => State::Open,
        }
    }
}

#[cfg(test)]
mod tests;
