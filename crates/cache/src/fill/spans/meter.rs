//! Measures the pace of one transfer.

use std::time::Duration;

use policy::approach::NEAR_BYTES;
use policy::pace::{LOST_SHARE, Pace};
use tokio::time::Instant;

/// The shortest time over which a rate is measured.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// A rate that was measured for a shorter time does not predict when a byte arrives.
pub(super) const FORECAST_MIN: Duration = Duration::from_millis(250);

/// A rate that was measured for a shorter time says nothing about other transfers: many upstreams begin with
/// a burst.
const EVIDENCE_MIN: Duration = Duration::from_millis(500);

/// The shortest time that a body counts as having taken: its bytes may have waited in a buffer.
const RECEIVING_MIN: Duration = Duration::from_millis(50);

/// The measurements of one transfer, from its request on.
#[derive(Debug)]
pub(super) struct Meter {
    asked_at: Instant,
    first_byte_at: Option<Instant>,
    last_byte_at: Instant,
    received_bytes: u64,
    /// Two earlier readings. The rate is measured from the older one while the newer one is too new.
    marks: [Mark; 2],
    /// Whether its bytes wait for the disk, so that it cannot receive more.
    is_held_up: bool,
    /// When the disk was last ready for it.
    free_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    received_bytes: u64,
}

impl Meter {
    /// The meter of a transfer that is requested now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            asked_at: now,
            first_byte_at: None,
            last_byte_at: now,
            received_bytes: 0,
            marks: [Mark { at: now, received_bytes: 0 }; 2],
            is_held_up: false,
            free_at: now,
        }
    }

    /// Notes that `bytes` more bytes were received.
    pub(super) fn receive(&mut self, bytes: u64, now: Instant) {
        let mark = Mark { at: now, received_bytes: self.received_bytes };
        if self.first_byte_at.is_none() {
            self.first_byte_at = Some(now);
            self.marks = [mark; 2];
        } else if now - self.marks[1].at >= WINDOW {
            // The newer mark is old enough now, and the older one is not needed any more. So the rate is
            // measured over one to two windows.
            self.marks = [self.marks[1], mark];
        }
        self.last_byte_at = now;
        self.received_bytes += bytes;
    }

    /// Notes whether its bytes wait for the disk. That time says nothing about the upstream.
    pub(super) fn hold_up(&mut self, is_held_up: bool, now: Instant) {
        if self.is_held_up && !is_held_up {
            self.free_at = now;
        }
        self.is_held_up = is_held_up;
    }

    /// The time since its request.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now - self.asked_at
    }

    /// Whether it was requested at this time or later.
    pub(super) fn is_asked_since(&self, at: Instant) -> bool {
        self.asked_at >= at
    }

    /// Whether it waits for the upstream, and has done so for a while.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        !self.is_held_up && now - self.free_at >= WINDOW
    }

    /// Whether no byte was received lately.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        now - self.last_byte_at >= WINDOW
    }

    /// Its pace as evidence about other transfers; `None` while it is too new.
    pub(super) fn evidence(&self, now: Instant) -> Option<Pace> {
        self.recent_pace(EVIDENCE_MIN, now)
    }

    /// Whether it delivers now, and not far more slowly than `rate` bytes per second.
    pub(super) fn keeps_up_with(&self, rate: u64, now: Instant) -> bool {
        let silence = now - self.last_byte_at;
        self.evidence(now).is_some_and(|pace| {
            let owed_bytes = u128::from(pace.rate) * silence.as_millis() / 1000;
            let is_silent =
                silence >= WINDOW || silence >= FORECAST_MIN && owed_bytes >= u128::from(NEAR_BYTES);
            !is_silent && pace.rate.saturating_mul(LOST_SHARE) >= rate
        })
    }

    /// Its present pace; `None` before it was measured for `measured_min`.
    pub(super) fn recent_pace(&self, measured_min: Duration, now: Instant) -> Option<Pace> {
        let first_byte_at = self.first_byte_at.filter(|at| now - *at >= measured_min)?;
        Some(Pace { latency: first_byte_at - self.asked_at, rate: self.rate(now) })
    }

    /// Its pace from the first byte to now; `None` before the first byte.
    pub(super) fn pace(&self, now: Instant) -> Option<Pace> {
        let first_byte_at = self.first_byte_at?;
        let elapsed = (now - first_byte_at).max(RECEIVING_MIN);
        Some(Pace { latency: first_byte_at - self.asked_at, rate: rate(self.received_bytes, elapsed) })
    }

    /// As [`rate`](Self::rate), but 0 once it has been silent for as long as that is measured over.
    pub(super) fn rate_unless_silent(&self, now: Instant) -> u64 {
        if now - self.last_byte_at >= WINDOW * 2 { 0 } else { self.rate(now) }
    }

    /// Bytes per second over the last one to two windows, or since the first byte. Silence counts.
    pub(super) fn rate(&self, now: Instant) -> u64 {
        let [older, newer] = self.marks;
        let mark = if now - newer.at >= WINDOW { newer } else { older };
        rate(self.received_bytes - mark.received_bytes, now - mark.at)
    }
}

fn rate(bytes: u64, elapsed: Duration) -> u64 {
    let elapsed_ms = elapsed.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / elapsed_ms).unwrap_or(u64::MAX)
}
