//! Decides whether and when a failed upstream request is retried.
//!
//! Three limits apply: attempts per request, a budget of a tenth of the traffic, and the caller's deadline.
//! `Retry-After` takes precedence over all of them.

use std::time::{Duration, SystemTime};

/// The most attempts of one request, the first included.
pub const ATTEMPT_COUNT_MAX: u32 = 3;
/// The pause before the second attempt, before jitter; it doubles from there.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause before an attempt, before jitter.
pub const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The pause after a 429 without `Retry-After`.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(10);
/// The longest `Retry-After` that is honoured.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// Returns the wait before attempt `attempt` (2, 3, ...): an exponential step of which `random` picks a point
/// in the upper half, so that requests that failed together are not retried together.
pub fn backoff(attempt: u32, random: u64) -> Duration {
    let doublings = attempt.saturating_sub(2).min(16);
    let step = (BACKOFF_MIN * (1 << doublings)).min(BACKOFF_MAX);
    let half_ms = u64::try_from(step.as_millis() / 2).expect("a step has a few thousand milliseconds");
    Duration::from_millis(half_ms + random % (half_ms + 1))
}

/// A token bucket that keeps retries at a tenth of the requests, with a reserve so that a backend without
/// much traffic can retry too.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    tenths: u32,
}

/// The reserve, in retries.
pub const RETRY_RESERVE: u32 = 10;
/// The part of it that is kept for repositories that served content lately, so that failing ones cannot use
/// up their retries.
pub const RETRY_RESERVE_OF_KNOWN: u32 = 5;
const TENTHS_PER_RETRY: u32 = 10;

impl Default for RetryBudget {
    /// A full reserve.
    fn default() -> Self {
        Self { tenths: RETRY_RESERVE * TENTHS_PER_RETRY }
    }
}

impl RetryBudget {
    /// Counts a first attempt.
    pub fn deposit(&mut self) {
        self.tenths = (self.tenths + 1).min(RETRY_RESERVE * TENTHS_PER_RETRY);
    }

    /// Takes one retry if `keep` remain for others. Returns false if not; then the request must not be
    /// retried.
    pub fn withdraw(&mut self, keep: u32) -> bool {
        match self.tenths.checked_sub(TENTHS_PER_RETRY) {
            Some(rest) if rest >= keep * TENTHS_PER_RETRY => {
                self.tenths = rest;
                true
            }
            _ => false,
        }
    }
}

/// Reads a `Retry-After` value (RFC 9110, section 10.2.3): seconds, or an HTTP date compared with `now`.
/// Returns `None` for anything else, and at most [`RETRY_AFTER_MAX`]. A date in the past is zero.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A run of digits that does not fit is a long time, not a malformed one.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default().min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests;
