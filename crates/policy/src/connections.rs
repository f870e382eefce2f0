//! Whether a blob that is being fetched gets a further connection, and how much of the blob each one takes.
//!
//! Content networks commonly limit the rate of each connection, not of the client. So a blob begins with one
//! request, and as long as the rest would take long, one more connection is tried at a time. One that does not
//! make the blob faster shows that something else is the limit, and ends the trying. No blob that is small or
//! comes fast costs a request more.

use std::time::Duration;

/// The interval at which the rate is measured and a decision taken.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// A rest that arrives within this time needs no further connection.
pub const REMAINING_TIME_MIN: Duration = Duration::from_secs(1);
/// A smaller rest is never shared, however slowly it comes.
pub const REMAINING_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// How long a new connection may take until the gain shows: it has a request to send, redirects to follow, and
/// begins slowly.
pub const TRIAL_MAX: Duration = Duration::from_secs(3);
/// The most connections on trial that are replaced, for one blob, because they are far slower than the others.
pub const REPLACED_COUNT_MAX: u32 = 2;
/// The time that a blob may come at less than [`DRIP_RATE`] before a further connection is tried all the same.
pub const STEADY_TIME: Duration = Duration::from_secs(2);
/// A transfer slower than this, in bytes per second, only drips.
pub const DRIP_RATE: u64 = 32 * 1024;
/// The shortest part that is asked for.
pub const PART_BYTES_MIN: u64 = 1024 * 1024;
/// The longest part: it bounds how far the bytes behind a hole get ahead of those who read in order.
pub const PART_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How long a part takes to arrive, so that the way to its first byte is a small share of it.
const PART_TIME: Duration = Duration::from_secs(2);

/// What is known about a blob on its way, at the end of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Bytes that have not arrived yet.
    pub remaining_bytes: u64,
    /// Bytes per second that all connections brought together in the last interval.
    pub rate: u64,
    /// The same, in the interval before that.
    pub rate_before: u64,
    /// The same over at least [`STEADY_TIME`]; none before that.
    pub rate_for_long: Option<u64>,
    /// Connections that bring this blob now.
    pub connections: usize,
    /// The connection that is on trial.
    pub trial: Option<Trial>,
}

/// A connection was added, and it is not known yet whether that helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Bytes per second before it was added.
    pub rate: u64,
    /// Connections before it was added.
    pub connections: usize,
    /// The time since it was added.
    pub age: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing for now.
    Wait,
    /// Add a connection, and put it on trial. If there was a trial, it was passed.
    Add,
    /// The trial is passed; for now nothing more is needed.
    Pass,
    /// The trial is failed: let that connection finish its part, and add none any more.
    Settle,
}

/// Decides about one blob.
pub fn plan(flow: &Flow) -> Plan {
    let rate = flow.mean_rate();
    if let Some(trial) = &flow.trial
        && rate < trial.rate_wanted()
    {
        return if trial.age >= TRIAL_MAX { Plan::Settle } else { Plan::Wait };
    }
    let is_long = u128::from(flow.remaining_bytes) * 1000 > u128::from(rate) * REMAINING_TIME_MIN.as_millis();
    // While the rate still grows by itself, a gain could not be told from that growth. A rate of nothing may be over in
    // a moment.
    let is_steady = flow.rate_before > 0
        && flow.rate > 0
        && flow.rate <= flow.rate_before.saturating_add(flow.rate_before / 4);
    // One connection may drip, or say nothing, where another one does not. If the upstream as a whole is in trouble,
    // the trial fails, and that was all.
    let is_dripping = flow.rate_for_long.is_some_and(|rate| rate < DRIP_RATE);
    match (is_long && (is_steady || is_dripping) && flow.remaining_bytes >= REMAINING_BYTES_MIN, &flow.trial)
    {
        (true, _) => Plan::Add,
        (false, Some(_)) => Plan::Pass,
        (false, None) => Plan::Wait,
    }
}

/// How long a part should be: what a connection brings in two seconds, and less towards the end, so that all
/// connections finish at about the same time.
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
    /// What the rate must come to: the new connection brings at least half of what the others bring each, and no drip.
    fn rate_wanted(&self) -> u64 {
        let share = self.rate / u64::try_from(self.connections).unwrap_or(u64::MAX).max(1);
        self.rate.saturating_add(share / 2).max(DRIP_RATE)
    }
}

#[cfg(test)]
mod tests;
