//! Decides when a connection is too slow to keep the span that it was given.
//!
//! Several connections fetch one blob, and it is complete when the last of them is done. So "slow" is
//! relative to the others: the blob must not wait for an edge node at 2 KiB/s while another connection runs
//! at 10 MiB/s.

use std::time::Duration;

/// The time for which a connection runs before it is judged, in addition to the latency of its first byte.
pub const TENURE_MIN: Duration = Duration::from_secs(1);
/// A connection that is this many times slower than the average of the others is replaced.
pub const LOST_SHARE: u64 = 4;
/// An idle connection takes over bytes from one that is at least this many times slower.
const HELPED_SHARE: u64 = 2;
/// A connection keeps nothing beside one that is this many times faster: its rest is not worth the wait.
const KEPT_SHARE: u64 = 8;
/// The takeover must be at least this many times faster. A smaller gain is not worth a request.
const GAIN: u128 = 2;

/// The speed of a connection in its last request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time from the request to the first byte.
    pub latency: Duration,
    /// Bytes per second from then on.
    pub rate: u64,
}

/// A connection at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The time since its request.
    pub age: Duration,
    /// Its recent rate, in bytes per second.
    pub rate: u64,
    /// The bytes that it has yet to fetch.
    pub rest_bytes: u64,
}

/// Returns the bytes that a connection keeps when an idle one of that `pace` takes over the rest: as many as
/// it fetches meanwhile, at most a third, and none beside a much faster one. `None` keeps them all, because
/// the blob would hardly be complete sooner.
pub fn kept_bytes(tenure: &Tenure, pace: &Pace) -> Option<u64> {
    if !is_judged(tenure, pace) || tenure.rate.saturating_mul(HELPED_SHARE) > pace.rate {
        return None;
    }
    let is_left_nothing = tenure.rate.saturating_mul(KEPT_SHARE) <= pace.rate;
    let both = u128::from(tenure.rate) + u128::from(pace.rate);
    let shared = u128::from(tenure.rest_bytes) * u128::from(tenure.rate) / both.max(1);
    let kept = if is_left_nothing { 0 } else { u64::try_from(shared).unwrap_or(u64::MAX) };
    is_gain(tenure, pace, tenure.rest_bytes - kept).then_some(kept)
}

/// Tells whether a connection is so much slower than the others, of that `pace` each, that a new connection
/// would fetch its rest sooner.
pub fn is_lost(tenure: &Tenure, pace: &Pace) -> bool {
    is_judged(tenure, pace)
        && tenure.rate.saturating_mul(LOST_SHARE) <= pace.rate
        && is_gain(tenure, pace, tenure.rest_bytes)
}

/// Tells whether the connection has run long enough to be judged. Over a long distance the first byte comes
/// late for all connections.
fn is_judged(tenure: &Tenure, pace: &Pace) -> bool {
    pace.rate > 0
        && tenure.rest_bytes > 0
        && tenure.age >= TENURE_MIN.saturating_add(pace.latency.saturating_mul(2))
}

/// Tells whether another connection fetches `bytes` within half the time that the slow one needs for its
/// whole rest.
fn is_gain(tenure: &Tenure, pace: &Pace, bytes: u64) -> bool {
    // rest / rate >= 2 * (latency + bytes / pace), in milliseconds and without a division by the slow one's
    // rate.
    let other_ms = pace.latency.as_millis() + u128::from(bytes) * 1000 / u128::from(pace.rate.max(1));
    u128::from(tenure.rest_bytes) * 1000 >= GAIN.saturating_mul(other_ms).saturating_mul(tenure.rate.into())
}

#[cfg(test)]
mod tests;
