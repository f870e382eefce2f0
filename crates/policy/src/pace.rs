//! Tells when a connection is too slow to keep the bytes that it was given to fetch.
//!
//! Several connections bring one blob, and the blob is whole when the last of them is done. So "slow" is measured
//! against the others: an edge node that drips at 2 KiB/s is no reason to wait for it while another connection brings
//! 10 MiB/s.

use std::time::Duration;

/// The time that a connection gets before it is judged, beside the time to its first byte.
pub const TENURE_MIN: Duration = Duration::from_secs(1);
/// A connection that brings less than this share of what the others bring each is replaced.
pub const LOST_SHARE: u64 = 4;
/// An idle connection takes bytes from one that is at least this many times slower.
const HELPED_SHARE: u64 = 2;
/// Beside one that is this many times faster, a connection is left nothing: its rest is not worth the wait.
const KEPT_SHARE: u64 = 8;
/// What the other needs at the most of the time that the slow one would need. A smaller gain is not worth a request.
const GAIN: u128 = 2;

/// How fast a connection brought what it was last asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the request to the first byte.
    pub latency: Duration,
    /// Bytes per second from then on.
    pub rate: u64,
}

/// A connection at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Since its request.
    pub age: Duration,
    /// Bytes per second lately.
    pub rate: u64,
    /// Bytes that it has yet to bring.
    pub rest_bytes: u64,
}

/// How many bytes of its rest a connection keeps when an idle one of that `pace` takes the others: as many as it
/// brings meanwhile, at most a third, none beside a much faster one. `None`: it keeps them all, for the blob would
/// hardly be whole sooner.
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

/// Tells whether a connection is so much slower than the others, of that `pace` each, that a new one in its place brings its
/// rest sooner.
pub fn is_lost(tenure: &Tenure, pace: &Pace) -> bool {
    is_judged(tenure, pace)
        && tenure.rate.saturating_mul(LOST_SHARE) <= pace.rate
        && is_gain(tenure, pace, tenure.rest_bytes)
}

/// Whether it had its time to begin. A first byte may come late on a long way, and does so for the others as well.
fn is_judged(tenure: &Tenure, pace: &Pace) -> bool {
    pace.rate > 0
        && tenure.rest_bytes > 0
        && tenure.age >= TENURE_MIN.saturating_add(pace.latency.saturating_mul(2))
}

/// Whether another brings `bytes` within half the time in which the slow one brings its whole rest.
fn is_gain(tenure: &Tenure, pace: &Pace, bytes: u64) -> bool {
    // rest / rate >= 2 * (latency + bytes / pace), in milliseconds and without a division by the slow one's rate.
    let other_ms = pace.latency.as_millis() + u128::from(bytes) * 1000 / u128::from(pace.rate.max(1));
    u128::from(tenure.rest_bytes) * 1000 >= GAIN.saturating_mul(other_ms).saturating_mul(tenure.rate.into())
}

#[cfg(test)]
mod tests;
