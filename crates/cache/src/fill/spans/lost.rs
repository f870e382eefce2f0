//! Finds lost transfers, which are far slower than others are or were, and counts them as evidence against
//! ranges.

use std::time::Duration;

use policy::pace::{self, LOST_SHARE, Pace, Tenure};
use tokio::time::Instant;

use super::Spans;
use super::doubt::DOUBT_COUNT_MAX;
use super::span::Span;

/// The weight of a failed range while no other transfer delivered: the next one shows whether the upstream
/// only paused.
const DOUBT_ALONE: u32 = 2;

/// The age from which a range is compared with earlier transfers: the upstream as a whole may be slow for a
/// moment.
const ALONE_TIME_MIN: Duration = Duration::from_secs(3);

/// If no range was complete, the transfers count as stalled once all of them together are this many times
/// slower than the best one was. Many upstreams begin with a burst, so a smaller loss of speed is no stall.
const STALLED_SHARE: u64 = 16;

impl Spans {
    /// Ends the transfer that is farthest behind the others; the next claim gets its rest. Returns whether
    /// there was one.
    pub(crate) fn end_lost(&mut self, end: u64, now: Instant) -> bool {
        if end == u64::MAX || !self.may_take_over() {
            return false;
        }
        self.live.iter().for_each(|span| self.doubt.note_pace(span, now));
        let judged = self.live.iter().chain(&self.asides).filter(|span| span.may_be_lost(now));
        let lost = judged.filter_map(|span| {
            let tenure = Tenure { rate: span.meter.rate_unless_silent(now), ..span.tenure(end, now) };
            let paces = [self.pace_of_others(span.id, now), self.pace_before(span, now)];
            let is_lost = paces.iter().flatten().any(|others| pace::is_lost(&tenure, others));
            is_lost.then_some((tenure.rest_bytes / tenure.rate.max(1), span.id))
        });
        let Some((_, id)) = lost.max() else { return false };
        self.doubt_range(id, now);
        if let Some(span) = self.live.iter_mut().chain(&mut self.asides).find(|span| span.id == id) {
            span.keep(0);
            self.takeover_count += 1;
        }
        true
    }

    /// Ends ranges that make no progress, because the whole is about to be requested. If such a range left a
    /// hole before the whole's position, all of it would be fetched again.
    pub(crate) fn make_way(&mut self, now: Instant) {
        let is_in_doubt = self.are_ranges_in_doubt();
        for span in &mut self.live {
            if span.meter.is_silent(now) || is_in_doubt && !span.is_far {
                span.keep(0);
            }
        }
    }

    /// Notes that the transfer `id`, if it is a range, has failed.
    pub(super) fn doubt_range(&mut self, id: u64, now: Instant) {
        let Some(span) = self.live.iter().chain(&self.asides).find(|span| span.id == id) else { return };
        if span.from == 0 || span.is_plain {
            return;
        }
        let mut others = self.live.iter().filter(|other| other.id != id && !other.is_taken_over);
        // The first connection continues in any case, so one failed range beside it says little.
        if others.any(|other| other.from == 0 || other.is_plain) {
            self.doubt.count += 1;
        } else if self.doubt.since.is_none_or(|since| span.meter.is_asked_since(since)) {
            self.doubt.count += if self.do_others_come(id, now) { 1 } else { DOUBT_ALONE };
            self.doubt.since = Some(now);
        }
    }

    /// Whether another transfer is about as fast as ranges were before.
    fn do_others_come(&self, id: u64, now: Instant) -> bool {
        let before = self.doubt.whole_pace.or(self.doubt.best_pace).map_or(0, |pace| pace.rate);
        let others = self.pace_of_others(id, now).map_or(0, |pace| pace.rate);
        others > 0 && others.saturating_mul(LOST_SHARE) > before
    }

    /// The mean rate of the other transfers, and the longest latency among them.
    fn pace_of_others(&self, id: u64, now: Instant) -> Option<Pace> {
        let others = self.live.iter().filter(|span| span.id != id && !span.is_taken_over);
        let lately = |span: &Span| {
            span.meter.evidence(now).map(|pace| Pace { rate: span.meter.rate_unless_silent(now), ..pace })
        };
        let paces: Vec<_> = others.filter_map(lately).collect();
        let latency = paces.iter().map(|pace| pace.latency).max()?;
        let sum = paces.iter().fold(0_u64, |sum, pace| sum.saturating_add(pace.rate));
        Some(Pace { latency, rate: sum / paces.len() as u64 })
    }

    /// The pace of earlier ranges, if all transfers together are far slower now: then none of them shows how
    /// fast a new one would be.
    fn pace_before(&self, span: &Span, now: Instant) -> Option<Pace> {
        let together =
            self.live.iter().fold(0_u64, |sum, span| sum.saturating_add(span.meter.rate_unless_silent(now)));
        let is_slow = |share: u64| move |pace: &Pace| together.saturating_mul(share) <= pace.rate;
        let before = self.doubt.whole_pace.filter(is_slow(LOST_SHARE));
        // If the first connection is silent too, ranges are not the cause.
        let has_first = self.live.iter().any(|span| span.from == 0 && !span.is_taken_over);
        let best = self.doubt.best_pace.filter(|_| !has_first);
        let before = before.or_else(|| best.filter(is_slow(STALLED_SHARE)));
        before.filter(|_| span.from > 0 && span.meter.age(now) >= ALONE_TIME_MIN)
    }

    /// Whether so many ranges have failed that no transfer is cut short for a further one.
    pub(crate) fn are_ranges_in_doubt(&self) -> bool {
        self.doubt.count >= DOUBT_COUNT_MAX
    }
}
