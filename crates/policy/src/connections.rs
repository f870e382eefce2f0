//! Decides whether a fill gets a further connection, and how much of the blob each connection fetches.
//!
//! Content networks commonly limit the rate of each connection, not of the client. So a blob starts with one
//! request. While the rest would take long, one connection at a time is added on trial. If it does not make
//! the blob faster, something else is the limit, and no more are added. A blob that is small or fast costs no
//! further request.

use std::time::Duration;

/// The interval at which the rate is measured and a decision taken.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// If the rest arrives within this time, no connection is added.
pub const REMAINING_TIME_MIN: Duration = Duration::from_secs(1);
/// A smaller rest is never split, however slow it is.
pub const REMAINING_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// The time in which a new connection must show a gain: it sends a request, follows redirects, and starts
/// slowly.
pub const TRIAL_MAX: Duration = Duration::from_secs(3);
/// The most trial connections of one blob that are replaced because they are far slower than the others.
pub const REPLACED_COUNT_MAX: u32 = 2;
/// After this time below [`DRIP_RATE`], a connection is added even if the rate is unsteady.
pub const STEADY_TIME: Duration = Duration::from_secs(2);
/// A transfer below this rate, in bytes per second, counts as stalled.
pub const DRIP_RATE: u64 = 32 * 1024;
/// The shortest part that is requested.
pub const PART_BYTES_MIN: u64 = 1024 * 1024;
/// The longest part: it bounds how far the bytes behind a hole get ahead of clients that read in order.
pub const PART_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The intended transfer time of a part, so that the latency of its first byte is a small share of it.
const PART_TIME: Duration = Duration::from_secs(2);

/// The state of a fill at the end of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Bytes that have not arrived yet.
    pub remaining_bytes: u64,
    /// Bytes per second of all connections together in the last interval.
    pub rate: u64,
    /// The same, in the interval before that.
    pub rate_before: u64,
    /// The same over at least [`STEADY_TIME`]; `None` before that.
    pub rate_for_long: Option<u64>,
    /// Connections that fetch this blob now.
    pub connections: usize,
    /// The connection that is on trial.
    pub trial: Option<Trial>,
}

/// A connection that was added and whose gain is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Bytes per second before it was added.
    pub rate: u64,
    /// Connections before it was added.
    pub connections: usize,
    /// The time since it was added.
    pub age: Duration,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Do nothing for now.
    Wait,
    /// Add a connection on trial. A trial that was running has passed.
    Add,
    /// The trial passed, and no further connection is needed for now.
    Pass,
    /// The trial failed: let that connection finish its part and stop adding.
    Settle,
}

/// Decides for one blob.
pub fn plan(flow: &Flow) -> Plan {
    let rate = flow.mean_rate();
    if let Some(trial) = &flow.trial
        && rate < trial.rate_wanted()
    {
        return if trial.age >= TRIAL_MAX { Plan::Settle } else { Plan::Wait };
    }
    let is_long = u128::from(flow.remaining_bytes) * 1000 > u128::from(rate) * REMAINING_TIME_MIN.as_millis();
    // While the rate still grows by itself, a gain cannot be told from that growth. A rate of zero may pass
    // in a moment.
    let is_steady = flow.rate_before > 0
        && flow.rate > 0
        && flow.rate <= flow.rate_before.saturating_add(flow.rate_before / 4);
    // One connection may stall where another does not. If the whole upstream is in trouble, the trial fails,
    // and no more are added.
    let is_dripping = flow.rate_for_long.is_some_and(|rate| rate < DRIP_RATE);
    match (is_long && (is_steady || is_dripping) && flow.remaining_bytes >= REMAINING_BYTES_MIN, &flow.trial)
    {
        (true, _) => Plan::Add,
        (false, Some(_)) => Plan::Pass,
        (false, None) => Plan::Wait,
    }
}

/// Returns the length of the next part: the bytes that a connection fetches in two seconds, and fewer towards
/// the end, so that all connections finish at about the same time.
pub fn part_bytes(flow: &Flow) -> u64 {
    let connections = u64::try_from(flow.connections).unwrap_or(u64::MAX).max(1);
    let rate = flow.mean_rate() / connections;
    let steady = rate.saturating_mul(PART_TIME.as_secs());
    let fair = flow.remaining_bytes / connections / 2;
    steady.min(fair.max(rate / 2)).clamp(PART_BYTES_MIN, PART_BYTES_MAX)
}

impl Flow {
    /// Bytes per second over both intervals.
    pub fn mean_rate(&self) -> u64 {
        self.rate / 2 + self.rate_before / 2
    }
}

impl Trial {
    /// Returns the rate that passes the trial: the new connection adds at least half of the average of the
    /// others, and the total does not count as stalled.
    fn rate_wanted(&self) -> u64 {
        let share = self.rate / u64::try_from(self.connections).unwrap_or(u64::MAX).max(1);
        self.rate.saturating_add(share / 2).max(DRIP_RATE)
    }
}

#[cfg(test)]
mod tests;
