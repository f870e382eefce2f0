//! Decides how long a flow of bytes has to wait, so that it stays below a number of bytes per second.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Bytes of this time may pass at once after a pause, so that timers need not be exact.
const BURST: Duration = Duration::from_millis(100);

/// A limit on bytes per second. The caller owns the clock and keeps this behind its lock.
///
/// The bytes may be of any size and are taken first, then waited for. Several flows that share a limit each
/// wait for their own bytes before they take further ones, so they advance in turns.
#[derive(Clone, Debug)]
pub struct RateLimit {
    bytes_per_second: NonZeroU64,
    /// The time at which all bytes so far have passed at the rate.
    paid_at: Option<Instant>,
}

impl RateLimit {
    /// A limit that no byte has used yet.
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, paid_at: None }
    }

    /// The limit in bytes per second.
    pub fn bytes_per_second(&self) -> NonZeroU64 {
        self.bytes_per_second
    }

    /// Changes the limit. The bytes that were taken but not waited for are waited for at the new rate.
    pub fn set(&mut self, now: Instant, bytes_per_second: NonZeroU64) {
        let old = self.bytes_per_second;
        let scale = |wait: Duration| {
            let nanos = wait.as_nanos() * u128::from(old.get()) / u128::from(bytes_per_second.get());
            to_duration(nanos)
        };
        self.paid_at = self.paid_at.and_then(|at| now.checked_add(scale(at.saturating_duration_since(now))));
        self.bytes_per_second = bytes_per_second;
    }

    /// Takes `bytes`, and returns the time to wait before the flow takes more.
    pub fn take(&mut self, now: Instant, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        let begin = self.paid_at.map_or(now, |at| at.max(now));
        let paid_at = begin.checked_add(to_duration(nanos)).unwrap_or(begin);
        self.paid_at = Some(paid_at);
        paid_at.duration_since(now).saturating_sub(BURST)
    }

    /// Whether a flow that takes a byte now has to wait.
    pub fn is_spent(&self, now: Instant) -> bool {
        self.paid_at.is_some_and(|at| at.saturating_duration_since(now) >= BURST)
    }
}

fn to_duration(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
