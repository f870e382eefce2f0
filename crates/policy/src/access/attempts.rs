//! Paces the attempts to log in from one address, so that passwords cannot be guessed fast.

use std::time::{Duration, Instant};

/// The time after which one further attempt is free.
const INTERVAL: Duration = Duration::from_secs(1);

/// The attempts that may fail at once.
pub const BURST_COUNT: u32 = 20;

/// The attempts of one address that were not successful.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempts {
    /// The time at which all attempts so far are forgotten.
    paid_at: Option<Instant>,
}

impl Attempts {
    /// Counts an attempt that begins now.
    ///
    /// # Errors
    /// The time to wait before the next attempt, if there were too many.
    pub fn begin(&mut self, now: Instant) -> Result<(), Duration> {
        let from = self.paid_at.map_or(now, |at| at.max(now));
        let wait = (from + INTERVAL).saturating_duration_since(now + INTERVAL * BURST_COUNT);
        if wait.is_zero() {
            self.paid_at = Some(from + INTERVAL);
            Ok(())
        } else {
            Err(wait)
        }
    }

    /// Takes back an attempt that was successful, or that came to no result.
    pub fn forgive(&mut self) {
        self.paid_at = self.paid_at.and_then(|at| at.checked_sub(INTERVAL));
    }
}

#[cfg(test)]
mod tests;
