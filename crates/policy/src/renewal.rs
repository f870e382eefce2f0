//! Decides when a login from a source is used, renewed, and given up.
//!
//! A source gives a login for a time, or without a stated end. wharf asks again shortly before the end, and
//! uses the old login meanwhile. A source that fails takes nothing away: the last login counts until it ends.
//! After a refusal by the registry, the source is asked at once, but at most once per [`REFUSAL_INTERVAL`]:
//! a wrong login must not start a program for each request.

use std::time::{Duration, Instant};

/// The pause after the first failure of a source; it doubles with each further one.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The shortest time between two questions that refusals cause; less for a source that is cheap to ask.
pub const REFUSAL_INTERVAL: Duration = Duration::from_secs(30);
/// A login is renewed at most this long before it ends.
const MARGIN_MAX: Duration = Duration::from_secs(15 * 60);
/// A login is not used any more this long before it ends, so that it does not end on its way.
const SAFETY_MAX: Duration = Duration::from_secs(10);
/// The shortest time between two questions about a login that has no end.
const RECHECK_MIN: Duration = Duration::from_secs(1);

/// The lifetime of a login, according to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The time until it ends; `None` if the source states no end.
    pub expires_in: Option<Duration>,
    /// The longest time until the source is asked again.
    pub recheck_after: Duration,
}

/// The state of a source and of its last login.
#[derive(Clone, Copy, Debug, Default)]
pub struct RenewalState {
    term: Option<Term>,
    failure_count: u32,
    /// The end of the pause after a failure.
    paused_until: Option<Instant>,
    refused_at: Option<Instant>,
    /// The shortest time between two questions to the source without a refusal.
    recheck_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    renew_at: Instant,
    ends_at: Option<Instant>,
}

/// The decision for a request that needs the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Use the login.
    Use,
    /// Use the login, and ask the source in the background.
    UseAndRenew,
    /// Wait for the source.
    Ask,
    /// There is no login, and the source has just failed.
    Fail,
}

impl RenewalState {
    /// Decides at `now`.
    pub fn advise(&self, now: Instant) -> Advice {
        let is_paused = self.is_paused(now);
        match self.term {
            Some(term) if term.ends_at.is_none_or(|end| now < end) => {
                if now >= term.renew_at && !is_paused {
                    Advice::UseAndRenew
                } else {
                    Advice::Use
                }
            }
            _ if is_paused => Advice::Fail,
            _ => Advice::Ask,
        }
    }

    /// Notes that the source gave a login at `now`. `draw` is a random number, so that many processes do not
    /// renew at the same moment.
    pub fn grant(&mut self, now: Instant, validity: Validity, draw: u64) {
        let recheck = validity.recheck_after.max(RECHECK_MIN);
        let term = match validity.expires_in {
            None => Term { renew_at: now + recheck, ends_at: None },
            Some(lifetime) => {
                let margin = (lifetime / 5).min(MARGIN_MAX);
                // From one margin to one and a half.
                let percent = u32::try_from(draw % 51).unwrap_or_default();
                let margin = margin + margin * percent / 100;
                let safety = (lifetime / 10).min(SAFETY_MAX);
                let renew_at = now + lifetime.saturating_sub(margin).min(recheck);
                Term { renew_at, ends_at: Some(now + lifetime.saturating_sub(safety)) }
            }
        };
        let (refused_at, recheck_after) = (self.refused_at, Some(recheck));
        *self = Self { term: Some(term), refused_at, recheck_after, ..Self::default() };
    }

    /// Notes that the source failed at `now`. Returns true if the question before had succeeded, or this was
    /// the first.
    pub fn fail(&mut self, now: Instant, draw: u64) -> bool {
        let doublings = self.failure_count.min(6);
        let pause = (PAUSE_MIN * (1 << doublings)).min(PAUSE_MAX);
        let percent = u32::try_from(draw % 26).unwrap_or_default();
        self.paused_until = Some(now + pause + pause * percent / 100);
        self.failure_count = self.failure_count.saturating_add(1);
        self.failure_count == 1
    }

    /// Notes that a registry refused the login at `now`. Returns true if the source may be asked for another:
    /// not while it is left alone after a failure.
    pub fn refuse(&mut self, now: Instant) -> bool {
        if self.is_paused(now) {
            return false;
        }
        let interval = self.recheck_after.map_or(REFUSAL_INTERVAL, |recheck| recheck.min(REFUSAL_INTERVAL));
        let is_due = self.refused_at.is_none_or(|at| now.saturating_duration_since(at) >= interval);
        if is_due {
            self.refused_at = Some(now);
        }
        is_due
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Tells whether the last question failed.
    pub fn is_failing(&self) -> bool {
        self.failure_count > 0
    }
}

#[cfg(test)]
mod tests;
