//! A circuit breaker for one thing that keeps failing.
//!
//! While it is closed, every request passes. A run of failures opens it; then one request at a time, at most
//! one per interval, passes as a probe. A failed probe doubles the interval, and any answer closes the
//! breaker.

use std::time::{Duration, Instant};

/// The default number of failures in a row that opens a breaker.
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

/// The decision about one request. A request that passes reports back with exactly one of
/// [`Breaker::succeed`], [`Breaker::fail`] and [`Breaker::abandon`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Send the request.
    Pass,
    /// Send the request, alone: its end decides the state.
    Probe,
    /// Do not send it. A probe is due after this time, or one is in flight.
    Refuse(Duration),
}

/// The state, as the metric shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Requests pass.
    Closed,
    /// A probe is in flight.
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
    /// Decides whether a request may be sent now.
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

    /// Notes an answer. A request that was admitted before the breaker opened counts too.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// Notes a failure: no answer, or one that reports a failure. `enough` failures in a row open the
    /// breaker.
    ///
    /// While the breaker is open, only the probe's failure counts. Requests that were admitted before tell
    /// nothing new.
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

    /// Admits no request for `pause`, as the upstream asked. A longer pause that is running stays.
    pub fn pause(&mut self, pause: Duration, now: Instant) {
        let probe_at = now + pause;
        let open =
            self.open.get_or_insert(Open { probe_at, interval: PROBE_INTERVAL_MIN, is_probing: false });
        open.probe_at = open.probe_at.max(probe_at);
        open.is_probing = false;
    }

    /// Notes a request that ended without a result, such as when its client disconnected. The next request
    /// may be the probe at once, so that a client that disconnects cannot block others.
    pub fn abandon(&mut self, admission: Admission) {
        if let (Some(open), Admission::Probe) = (&mut self.open, admission) {
            open.is_probing = false;
        }
    }

    /// Returns the state.
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
