//! One span of a blob that a transfer has claimed, and its reach.

use policy::approach::Approach;
use policy::pace::{Pace, Tenure};
use tokio::time::Instant;

use super::meter::{FORECAST_MIN, Meter};

#[derive(Debug)]
pub(super) struct Span {
    pub(super) id: u64,
    /// The start of the claim. Bytes received since then may not be written yet, and still belong to it.
    pub(super) from: u64,
    /// The first byte that this transfer has not received yet.
    pub(super) next: u64,
    pub(super) reach: Reach,
    /// The end of the requested body.
    pub(super) asked_end: u64,
    /// Whether the transfer after its stop was seen to deliver.
    pub(super) is_followed: bool,
    /// Whether it was cut to the length of a part, and is not cut again for another one.
    pub(super) is_part: bool,
    /// Whether it serves a client's range, and does not make the blob faster.
    pub(super) is_far: bool,
    /// Whether other transfers have claimed its whole rest.
    pub(super) is_taken_over: bool,
    /// Whether its body is the whole blob, after ranges that failed: no other transfer fetches its bytes
    /// sooner.
    pub(super) is_plain: bool,
    /// Whether it ends sooner than was requested.
    pub(super) is_cut: bool,
    pub(super) meter: Meter,
}

/// The bounds of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// From here on it only drains bytes that are on the wire.
    pub(crate) enough: u64,
    /// From here on the bytes belong to another transfer.
    pub(crate) stop: u64,
}

/// The state of a span before it was cut short for another.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) id: u64,
    reach: Reach,
    is_part: bool,
    is_taken_over: bool,
    is_cut: bool,
}

impl Reach {
    /// The reach of a whole span that ends at `stop`.
    pub(super) fn to(stop: u64) -> Self {
        Self { enough: stop, stop }
    }
}

impl Span {
    pub(super) fn new(id: u64, from: u64, stop: u64, is_part: bool, now: Instant) -> Self {
        Self {
            id,
            from,
            next: from,
            reach: Reach::to(stop),
            asked_end: stop,
            is_followed: false,
            is_part,
            is_far: false,
            is_taken_over: false,
            is_plain: false,
            is_cut: false,
            meter: Meter::new(now),
        }
    }

    /// Notes that everything before `next` was received.
    pub(super) fn advance(&mut self, next: u64, now: Instant) {
        if next > self.next {
            self.meter.receive(next - self.next, now);
            self.next = next;
        }
    }

    pub(super) fn cut_at(&mut self, enough: u64, stop: u64) -> Cut {
        let cut = Cut {
            id: self.id,
            reach: self.reach,
            is_part: self.is_part,
            is_taken_over: self.is_taken_over,
            is_cut: self.is_cut,
        };
        self.reach = Reach { enough: self.reach.enough.min(enough), stop };
        self.is_cut = true;
        self.is_followed = false;
        cut
    }

    /// Cuts it to the next `kept` bytes.
    pub(super) fn keep(&mut self, kept: u64) -> Cut {
        let stop = self.next + kept;
        let cut = self.cut_at(stop, stop);
        self.is_taken_over = kept == 0;
        cut
    }

    /// Undoes a cut.
    pub(super) fn undo(&mut self, cut: &Cut) {
        (self.reach, self.is_part) = (cut.reach, cut.is_part);
        (self.is_taken_over, self.is_cut) = (cut.is_taken_over, cut.is_cut);
    }

    /// Its age, rate and rest, for a blob that ends at `end`.
    pub(super) fn tenure(&self, end: u64, now: Instant) -> Tenure {
        let rest_bytes = self.reach.stop.min(end).saturating_sub(self.next);
        Tenure { age: self.meter.age(now), rate: self.meter.rate(now), rest_bytes }
    }

    /// Whether it will fetch the byte at `position`, or has received it and not written it yet.
    pub(super) fn covers(&self, position: u64) -> bool {
        self.from <= position && position < self.reach.stop
    }

    /// Its distance from `position`, which it covers, and its pace.
    pub(super) fn approach(&self, position: u64, now: Instant) -> Approach {
        let distance = position.saturating_sub(self.next);
        Approach { distance, age: self.meter.age(now), pace: self.meter.recent_pace(FORECAST_MIN, now) }
    }

    /// Received bytes of its claim.
    pub(super) fn brought_bytes(&self) -> u64 {
        self.next - self.from
    }

    /// Whether the upstream is the cause if it is slow, and a smaller request would be no slower.
    pub(super) fn may_be_lost(&self, now: Instant) -> bool {
        !self.is_plain && self.meter.is_free(now)
    }

    /// Whether it delivered bytes and became silent.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.brought_bytes() > 0 && self.may_be_lost(now) && self.meter.is_silent(now)
    }

    /// Whether it has received all requested bytes.
    pub(super) fn is_whole(&self) -> bool {
        let is_all = self.next >= self.reach.stop && !self.is_cut || self.next >= self.asked_end;
        is_all && self.brought_bytes() > 0 && !self.is_taken_over
    }

    /// Its pace from the first byte to now; `None` before the first byte.
    pub(super) fn pace(&self, now: Instant) -> Option<Pace> {
        self.meter.pace(now)
    }
}
