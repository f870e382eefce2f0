//! Decides when a login that was refused may be shown again.
//!
//! A wrong password that is tried with every request locks its account and gets our address blocked. But a refusal
//! need not be about the password: some token services refuse what the account may not read with the same status.
//! So a refusal only raises a doubt. The next who would show the login first checks it by asking for nothing in
//! particular, and only a login that fails this check is left alone, for a time that doubles with each failure.

use std::time::{Duration, Instant};

/// The pause after the first failed check.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause between two checks.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// For how long a login that was accepted may be shown by many at once.
pub const ACCEPTED_TTL: Duration = Duration::from_secs(60);
/// How many refusals in a row a login survives that passed a check within [`ACCEPTED_TTL`]: they are about what was
/// asked for.
pub const REFUSAL_COUNT_MAX: u32 = 5;

/// How one place, a token service or a registry, has received the login lately.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoginState {
    accepted_at: Option<Instant>,
    checked_at: Option<Instant>,
    refusals_in_a_row: u32,
    pause: Option<Pause>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    /// Zero where a refusal has only raised a doubt.
    length: Duration,
    until: Instant,
}

/// What may be done with the login now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Show it.
    Send,
    /// Show it, but not many at once: nobody knows yet whether it is right.
    SendAlone,
    /// Check it first, alone.
    Check,
    /// Do not show it for this long.
    Wait(Duration),
}

impl LoginState {
    /// Advises what to do with the login at `now`.
    pub fn advise(&self, now: Instant) -> Advice {
        match self.pause {
            Some(pause) if now < pause.until => Advice::Wait(pause.until - now),
            Some(_) => Advice::Check,
            None if is_within(self.accepted_at, now) => Advice::Send,
            None => Advice::SendAlone,
        }
    }

    /// A request with the login got what it asked for.
    pub fn accept(&mut self, now: Instant) {
        self.accepted_at = Some(now);
        self.refusals_in_a_row = 0;
        self.pause = None;
    }

    /// A request with the login was refused, for whatever reason.
    pub fn refuse(&mut self, now: Instant) {
        self.refusals_in_a_row = self.refusals_in_a_row.saturating_add(1);
        let survived = if is_within(self.checked_at, now) { REFUSAL_COUNT_MAX } else { 0 };
        if self.pause.is_none() && self.refusals_in_a_row > survived {
            self.pause = Some(Pause { length: Duration::ZERO, until: now });
        }
    }

    /// The check found the login right.
    pub fn pass_check(&mut self, now: Instant) {
        self.accept(now);
        self.checked_at = Some(now);
    }

    /// The check found the login wrong.
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
