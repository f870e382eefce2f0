//! Whether a client's range waits for the bytes that are on their way to it, or is asked for by itself.
//!
//! A blob on its way comes from its begin, or from where others want it. A range ahead of that costs nothing if it is
//! there soon, and a request where it is not. Clients that read an image lazily ask for dozens of small ranges, one
//! after the other, and wait for each.

use std::time::Duration;

use crate::pace::Pace;

/// The largest range that counts as small, in bytes: it costs next to nothing, and its client wants that and no more.
pub const SMALL_RANGE_BYTES_MAX: u64 = 128 * 1024;

/// A byte so near, in bytes, comes as soon as an answer of its own would.
pub const NEAR_BYTES: u64 = 64 * 1024;

/// A wait for a small range that nobody notices.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// How often a wait is thought over: the rate changes.
const REVIEW_INTERVAL: Duration = Duration::from_millis(250);

/// The connection that will bring a byte, if it goes on for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approach {
    /// Bytes that it brings before that one.
    pub distance: u64,
    /// Since its request.
    pub age: Duration,
    /// Its recent rate; none while that cannot be told.
    pub pace: Option<Pace>,
}

/// How long a range waits before it is thought about again; `None`: it is asked for now. `approach` is none where
/// nobody brings its first byte; `wait_max` is how long a range may wait for bytes on their way.
pub fn wait(approach: Option<&Approach>, is_small: bool, wait_max: Duration) -> Option<Duration> {
    let approach = approach?;
    let Some(pace) = &approach.pace else {
        let is_too_far = is_small && approach.distance > NEAR_BYTES;
        return wait_max.checked_sub(approach.age).filter(|rest| !rest.is_zero() && !is_too_far);
    };
    let arrival_ms = u128::from(approach.distance) * 1000 / u128::from(pace.rate.max(1));
    // An answer of its own takes as long as that of the connection on its way did.
    let bearable = if is_small { pace.latency.max(SHORT_WAIT).min(wait_max) } else { wait_max };
    (arrival_ms <= bearable.as_millis() && pace.rate > 0).then_some(REVIEW_INTERVAL)
}

#[cfg(test)]
mod tests;
