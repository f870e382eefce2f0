//! Decides when refused credentials may be sent again.
//!
//! A wrong password sent with every request locks its account and gets our address blocked. But a refusal may
//! have another reason: some token services use the same status for a repository that the account may not
//! read. So a refusal only raises doubt. The next request that needs the credentials first checks them with a
//! token request without a scope. Only if that check fails are they withheld, for a time that doubles with
//! each failure.

use std::time::{Duration, Instant};

/// The pause after the first failed check.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause between two checks.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The time for which many requests at once may send credentials that were accepted.
pub const ACCEPTED_TTL: Duration = Duration::from_secs(60);
/// The refusals in a row that do not raise doubt if a check passed within [`ACCEPTED_TTL`]: they are about
/// the requested repository.
pub const REFUSAL_COUNT_MAX: u32 = 5;

/// The recent results of the credentials at one token service or registry.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoginState {
    accepted_at: Option<Instant>,
    checked_at: Option<Instant>,
    refusals_in_a_row: u32,
    pause: Option<Pause>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    /// Zero if a refusal has only raised doubt.
    length: Duration,
    until: Instant,
}

/// The decision about the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Send them.
    Send,
    /// Send them with one request at a time: it is not known yet whether they are right.
    SendAlone,
    /// Check them first, with one request.
    Check,
    /// Withhold them for this long.
    Wait(Duration),
}

impl LoginState {
    /// Decides at `now`.
    pub fn advise(&self, now: Instant) -> Advice {
        match self.pause {
            Some(pause) if now < pause.until => Advice::Wait(pause.until - now),
            Some(_) => Advice::Check,
            None if is_within(self.accepted_at, now) => Advice::Send,
            None => Advice::SendAlone,
        }
    }

    /// Notes that a request with the credentials succeeded.
    pub fn accept(&mut self, now: Instant) {
        self.accepted_at = Some(now);
        self.refusals_in_a_row = 0;
        self.pause = None;
    }

    /// Notes that a request with the credentials was refused, for whatever reason.
    pub fn refuse(&mut self, now: Instant) {
        self.refusals_in_a_row = self.refusals_in_a_row.saturating_add(1);
        let survived = if is_within(self.checked_at, now) { REFUSAL_COUNT_MAX } else { 0 };
        if self.pause.is_none() && self.refusals_in_a_row > survived {
            self.pause = Some(Pause { length: Duration::ZERO, until: now });
        }
    }

    /// Notes that the check passed.
    pub fn pass_check(&mut self, now: Instant) {
        self.accept(now);
        self.checked_at = Some(now);
    }

    /// Notes that the check failed.
    pub fn fail_check(&mut self, now: Instant) {
        let before = self.pause.map_or(Duration::ZERO, |pause| pause.length);
        let length = (before * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.pause = Some(Pause { length, until: now + length });
        self.accepted_at = None;
        self.checked_at = None;
    }
}

fn is_within(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_duration_since(at) < ACCEPTED_TTL)
}

#[cfg(test)]
mod tests;
