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
    /// Whether its body is the whole blob, after ranges that did not come: nobody brings its bytes sooner.
    pub(super) is_plain: bool,
    /// Whether it ends sooner than was asked for.
    pub(super) is_cut: bool,
    /// Whether its bytes wait for the disk, so that none are received.
    is_held_up: bool,
    /// Since when they do not.
    free_at: Instant,
    /// What was received before its first byte, of a body that began too early.
    skipped_bytes: u64,
    claimed_at: Instant,
    first_byte_at: Option<Instant>,
    last_byte_at: Instant,
    /// How much it had received some time ago: the older mark for as long as the newer one is too new.
    marks: [Mark; 2],
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    received_bytes: u64,
}

/// A span that was cut short for another, as it was before.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) id: u64,
    enough: u64,
    stop: u64,
    is_part: bool,
    is_taken_over: bool,
    is_cut: bool,
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
            is_plain: false,
            is_cut: false,
            is_held_up: false,
            free_at: now,
            skipped_bytes: 0,
            claimed_at: now,
            first_byte_at: None,
            last_byte_at: now,
            marks: [Mark { at: now, received_bytes: 0 }; 2],
        }
    }

    /// Notes that everything before `next` was received.
    pub(super) fn advance(&mut self, next: u64, now: Instant) {
        if next > self.next {
            self.mark(now);
            self.next = next;
        }
    }

    /// Notes that so many bytes were received of what comes before its first one.
    pub(super) fn skip(&mut self, bytes: u64, now: Instant) {
        self.mark(now);
        self.skipped_bytes += bytes;
    }

    /// Notes whether its bytes wait for the disk. What did not come meanwhile says nothing about the transfer.
    pub(super) fn hold_up(&mut self, is_held_up: bool, now: Instant) {
        if self.is_held_up && !is_held_up {
            self.free_at = now;
        }
        self.is_held_up = is_held_up;
    }

    fn mark(&mut self, now: Instant) {
        let mark = Mark { at: now, received_bytes: self.received_bytes() };
        if self.first_byte_at.is_none() {
            self.first_byte_at = Some(now);
            self.marks = [mark; 2];
        } else if now - self.marks[1].at >= WINDOW {
            self.marks = [self.marks[1], mark];
        }
        self.last_byte_at = now;
    }

    pub(super) fn cut_at(&mut self, enough: u64, stop: u64) -> Cut {
        let cut = Cut {
            id: self.id,
            enough: self.enough,
            stop: self.stop,
            is_part: self.is_part,
            is_taken_over: self.is_taken_over,
            is_cut: self.is_cut,
        };
        (self.enough, self.stop) = (self.enough.min(enough), stop);
        self.is_cut = true;
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
        (self.is_taken_over, self.is_cut) = (cut.is_taken_over, cut.is_cut);
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

    /// The same, with what it received before its first byte.
    fn received_bytes(&self) -> u64 {
        self.skipped_bytes + self.brought_bytes()
    }

    /// Whether it was claimed after that time, or just then.
    pub(super) fn is_claimed_since(&self, at: Instant) -> bool {
        self.claimed_at >= at
    }

    /// Whether it is the upstream's doing if it is slow, and a request for less would be no slower.
    pub(super) fn may_be_lost(&self, now: Instant) -> bool {
        !self.is_plain && !self.is_held_up && now - self.free_at >= WINDOW
    }

    /// Whether it began to come and has fallen silent.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.brought_bytes() > 0 && self.may_be_lost(now) && self.is_silent(now)
    }

    /// Whether nothing came of late.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        now - self.last_byte_at >= WINDOW
    }

    /// Whether all that was asked for has come.
    pub(super) fn is_whole(&self) -> bool {
        let is_all = self.next >= self.stop && !self.is_cut || self.next >= self.asked_end;
        is_all && self.brought_bytes() > 0 && !self.is_taken_over
    }

    fn recent_pace(&self, measured_min: Duration, now: Instant) -> Option<Pace> {
        let first_byte_at = self.first_byte_at.filter(|at| now - *at >= measured_min)?;
        Some(Pace { latency: first_byte_at - self.claimed_at, rate: self.rate(now) })
    }

    /// How fast it came, from its first byte to now.
    pub(super) fn pace(&self, now: Instant) -> Option<Pace> {
        let first_byte_at = self.first_byte_at?;
        let elapsed = (now - first_byte_at).max(RECEIVING_MIN);
        Some(Pace { latency: first_byte_at - self.claimed_at, rate: rate(self.received_bytes(), elapsed) })
    }

    /// The same, and nothing once it has been silent for longer than that is measured over.
    pub(super) fn rate_unless_silent(&self, now: Instant) -> u64 {
        if now - self.last_byte_at >= WINDOW * 2 { 0 } else { self.rate(now) }
    }

    /// Bytes per second over the last one to two windows, or since the first byte. Silence counts.
    pub(super) fn rate(&self, now: Instant) -> u64 {
        let [older, newer] = self.marks;
        let mark = if now - newer.at >= WINDOW { newer } else { older };
        rate(self.received_bytes() - mark.received_bytes, now - mark.at)
    }
}

fn rate(bytes: u64, elapsed: Duration) -> u64 {
    let elapsed_ms = elapsed.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / elapsed_ms).unwrap_or(u64::MAX)
}
