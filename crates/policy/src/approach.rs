//! Decides whether a client's range waits for a transfer that is on its way there, or gets a request of its
//! own.
//!
//! Transfers of a blob start at its first byte, or where other clients read. A range ahead of them costs
//! nothing if it arrives soon, and a request if it does not. Clients that read an image lazily request dozens
//! of small ranges, one after the other, and wait for each.

use std::time::Duration;

use crate::pace::Pace;

/// The largest range that counts as small, in bytes: it costs almost nothing, and its client wants no more.
pub const SMALL_RANGE_BYTES_MAX: u64 = 128 * 1024;

/// A byte within this distance, in bytes, arrives as soon as the answer to a request of its own would.
pub const NEAR_BYTES: u64 = 64 * 1024;

/// A wait for a small range that is too short to notice.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// The interval at which a wait is decided again, because the rate changes.
const REVIEW_INTERVAL: Duration = Duration::from_millis(250);

/// The transfer that will deliver a byte if it runs that far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approach {
    /// The bytes that it delivers before that one.
    pub distance: u64,
    /// The time since its request.
    pub age: Duration,
    /// Its recent pace; `None` until it is known.
    pub pace: Option<Pace>,
}

/// Returns how long a range waits before the next decision, or `None` if it is requested now. `approach` is
/// `None` if no transfer will deliver its first byte. `wait_max` is the longest wait of a range for a
/// transfer.
pub fn wait(approach: Option<&Approach>, is_small: bool, wait_max: Duration) -> Option<Duration> {
    let approach = approach?;
    let Some(pace) = &approach.pace else {
        let is_too_far = is_small && approach.distance > NEAR_BYTES;
        return wait_max.checked_sub(approach.age).filter(|rest| !rest.is_zero() && !is_too_far);
    };
    let arrival_ms = u128::from(approach.distance) * 1000 / u128::from(pace.rate.max(1));
    // The answer to a request of its own takes as long as that of this transfer did.
    let bearable = if is_small { pace.latency.max(SHORT_WAIT).min(wait_max) } else { wait_max };
    (arrival_ms <= bearable.as_millis() && pace.rate > 0).then_some(REVIEW_INTERVAL)
}

#[cfg(test)]
mod tests;
