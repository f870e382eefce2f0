//! One stretch of a blob that a transfer has claimed, and how fast it comes.

use std::time::Duration;

use policy::approach::{Approach, NEAR_BYTES};
use policy::pace::{LOST_SHARE, Pace, Tenure};
use tokio::time::Instant;

/// Over how long the rate of a transfer is taken, at the least.
const WINDOW: Duration = Duration::from_secs(1);

/// A rate that was measured for less time says nothing about what comes next.
const FORECAST_MIN: Duration = Duration::from_millis(250);

/// Nor, for less than this time, about others: many upstreams begin with a burst.
const EVIDENCE_MIN: Duration = Duration::from_millis(500);

/// What came within less than this time counts as if it had taken so long: it may have waited in a buffer.
const RECEIVING_MIN: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Span {
    pub(super) id: u64,
    /// Where the claim began. What was received since may not be written yet, and is nobody else's.
    pub(super) from: u64,
    /// The first byte that this transfer has not received yet.
    pub(super) next: u64,
    /// Where it may stop, once it has taken in what has arrived by then.
    pub(super) enough: u64,
    /// Where it must stop; another transfer has the bytes from there.
    pub(super) stop: u64,
    /// Where the body ends that was asked for.
    pub(super) asked_end: u64,
    /// Whether the transfer that has the bytes from its stop on was seen to bring them.
    pub(super) is_followed: bool,
    /// Whether it was cut to the length of a part, and is not cut again to make room for one.
    pub(super) is_part: bool,
    /// Whether it is for a client's range, and not to bring the blob sooner.
    pub(super) is_far: bool,
    /// Whether others have all that it had yet to fetch.
    pub(super) is_taken_over: bool,
    claimed_at: Instant,
    first_byte_at: Option<Instant>,
    last_byte_at: Instant,
    /// Where it was some time ago: the older mark for as long as the newer one is too new.
    marks: [Mark; 2],
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    next: u64,
}

/// A span that was cut short for another, as it was before.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) id: u64,
    enough: u64,
    stop: u64,
    is_part: bool,
    is_taken_over: bool,
}

impl Span {
    pub(super) fn new(id: u64, from: u64, stop: u64, is_part: bool, now: Instant) -> Self {
        Self {
            id,
            from,
            next: from,
            enough: stop,
            stop,
            asked_end: stop,
            is_followed: false,
            is_part,
            is_far: false,
            is_taken_over: false,
            claimed_at: now,
            first_byte_at: None,
            last_byte_at: now,
            marks: [Mark { at: now, next: from }; 2],
        }
    }

    /// Notes that everything before `next` was received.
    pub(super) fn advance(&mut self, next: u64, now: Instant) {
        if next <= self.next {
            return;
        }
        if self.first_byte_at.is_none() {
            self.first_byte_at = Some(now);
            self.marks = [Mark { at: now, next: self.from }; 2];
        } else if now - self.marks[1].at >= WINDOW {
            self.marks = [self.marks[1], Mark { at: now, next: self.next }];
        }
        (self.next, self.last_byte_at) = (next, now);
    }

    pub(super) fn cut_at(&mut self, enough: u64, stop: u64) -> Cut {
        let cut = Cut {
            id: self.id,
            enough: self.enough,
            stop: self.stop,
            is_part: self.is_part,
            is_taken_over: self.is_taken_over,
        };
        (self.enough, self.stop) = (self.enough.min(enough), stop);
        self.is_followed = false;
        cut
    }

    /// Leaves it `kept` bytes of its rest.
    pub(super) fn keep(&mut self, kept: u64) -> Cut {
        let stop = self.next + kept;
        let cut = self.cut_at(stop, stop);
        self.is_taken_over = kept == 0;
        cut
    }

    /// As if it had never been cut.
    pub(super) fn undo(&mut self, cut: &Cut) {
        (self.enough, self.stop, self.is_part) = (cut.enough, cut.stop, cut.is_part);
        self.is_taken_over = cut.is_taken_over;
    }

    /// How it stands, for a blob that ends at `end`.
    pub(super) fn tenure(&self, end: u64, now: Instant) -> Tenure {
        let rest_bytes = self.stop.min(end).saturating_sub(self.next);
        Tenure { age: now - self.claimed_at, rate: self.rate(now), rest_bytes }
    }

    /// Whether it brings the byte at `position`, or has received it and not written yet.
    pub(super) fn covers(&self, position: u64) -> bool {
        self.from <= position && position < self.stop
    }

    /// How it comes towards `position`, which it covers.
    pub(super) fn approach(&self, position: u64, now: Instant) -> Approach {
        let distance = position.saturating_sub(self.next);
        Approach { distance, age: now - self.claimed_at, pace: self.recent_pace(FORECAST_MIN, now) }
    }

    /// How fast it comes, for comparing others with it; none while that cannot be told.
    pub(super) fn evidence(&self, now: Instant) -> Option<Pace> {
        self.recent_pace(EVIDENCE_MIN, now)
    }

    /// Whether it brings its bytes now, and not far more slowly than one that brings `rate` bytes per second.
    pub(super) fn keeps_up_with(&self, rate: u64, now: Instant) -> bool {
        let silence = now - self.last_byte_at;
        self.evidence(now).is_some_and(|pace| {
            let owed_bytes = u128::from(pace.rate) * silence.as_millis() / 1000;
            let is_silent =
                silence >= WINDOW || silence >= FORECAST_MIN && owed_bytes >= u128::from(NEAR_BYTES);
            !is_silent && pace.rate.saturating_mul(LOST_SHARE) >= rate
        })
    }

    /// Since it was claimed.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now - self.claimed_at
    }

    /// What it has brought, in bytes.
    pub(super) fn brought_bytes(&self) -> u64 {
        self.next - self.from
    }

    fn recent_pace(&self, measured_min: Duration, now: Instant) -> Option<Pace> {
        let first_byte_at = self.first_byte_at.filter(|at| now - *at >= measured_min)?;
        Some(Pace { latency: first_byte_at - self.claimed_at, rate: self.rate(now) })
    }

    /// How fast it came, from its first byte to now.
    pub(super) fn pace(&self, now: Instant) -> Option<Pace> {
        let first_byte_at = self.first_byte_at?;
        let elapsed = (now - first_byte_at).max(RECEIVING_MIN);
        Some(Pace { latency: first_byte_at - self.claimed_at, rate: rate(self.next - self.from, elapsed) })
    }

    /// Bytes per second over the last one to two windows, or since the first byte. Silence counts.
    pub(super) fn rate(&self, now: Instant) -> u64 {
        let [older, newer] = self.marks;
        let mark = if now - newer.at >= WINDOW { newer } else { older };
        rate(self.next - mark.next, now - mark.at)
    }
}

fn rate(bytes: u64, elapsed: Duration) -> u64 {
    let elapsed_ms = elapsed.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / elapsed_ms).unwrap_or(u64::MAX)
}
