//! Which transfers are lost, and what that says about ranges: some upstreams bring the first ones and then no more, or
//! only the first bytes of each.

use std::time::Duration;

use policy::pace::{self, LOST_SHARE, Pace, Tenure};
use tokio::time::Instant;

use super::Spans;
use super::span::Span;

/// After so many ranges in a row that hardly came, no transfer that comes well is cut short for a further one.
pub(super) const DOUBT_COUNT_MAX: u32 = 4;

/// What a range counts that failed while nothing else came: its next one will show whether that was for a moment.
const DOUBT_ALONE: u32 = 2;

/// How long a range has, at the least, before it is measured against what came before: the upstream as a whole may be
/// slow for a moment.
const ALONE_TIME_MIN: Duration = Duration::from_secs(3);

/// Where no range has come whole, the transfers count as stalled once all of them together are this many times slower than
/// the best one was. Many upstreams begin with a burst, so a smaller loss of speed is no stall.
const STALLED_SHARE: u64 = 16;

/// What is known against ranges, and how fast they came when they did.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Ranges that were asked for and hardly came, since the last one that came whole.
    pub(super) count: u32,
    /// When the last one was counted. Those that were under way by then failed for the same reason.
    since: Option<Instant>,
    /// How fast the last one was that came whole.
    whole_pace: Option<Pace>,
    /// How fast the best transfer was for a while, whole or not.
    best_pace: Option<Pace>,
}

impl Doubt {
    /// Notes how a transfer comes.
    pub(super) fn note_pace(&mut self, span: &Span, now: Instant) {
        if let Some(pace) = span.evidence(now)
            && self.best_pace.is_none_or(|best| best.rate < pace.rate)
        {
            self.best_pace = Some(pace);
        }
    }

    /// Notes that a range came whole.
    pub(super) fn note_whole(&mut self, span: &Span, now: Instant) {
        (self.count, self.since) = (0, None);
        self.whole_pace = span.pace(now);
    }
}

impl Spans {
    /// Takes all that is left from the transfer that is farthest behind the others, which goes to whoever claims next.
    /// Whether there was one.
    pub(crate) fn end_lost(&mut self, end: u64, now: Instant) -> bool {
        if end == u64::MAX || !self.may_take_over() {
            return false;
        }
        self.live.iter().for_each(|span| self.doubt.note_pace(span, now));
        let judged = self.live.iter().chain(&self.asides).filter(|span| span.may_be_lost(now));
        let lost = judged.filter_map(|span| {
            let tenure = Tenure { rate: span.rate_unless_silent(now), ..span.tenure(end, now) };
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

    /// Takes from ranges what does not come, for the whole is about to be asked for: and then that is missing nowhere
    /// before what it brings, for which all of it would have to come once more.
    pub(crate) fn make_way(&mut self, now: Instant) {
        let is_in_doubt = self.are_ranges_in_doubt();
        for span in &mut self.live {
            if span.is_silent(now) || is_in_doubt && !span.is_far {
                span.keep(0);
            }
        }
    }

    /// Notes that the transfer `id`, if it is a range, hardly came.
    pub(super) fn doubt_range(&mut self, id: u64, now: Instant) {
        let Some(span) = self.live.iter().chain(&self.asides).find(|span| span.id == id) else { return };
        if span.from == 0 || span.is_plain {
            return;
        }
        let mut others = self.live.iter().filter(|other| other.id != id && !other.is_taken_over);
        // The first connection goes on whatever ranges do, and a range more or less says little beside it.
        if others.any(|other| other.from == 0 || other.is_plain) {
            self.doubt.count += 1;
        } else if self.doubt.since.is_none_or(|since| span.is_claimed_since(since)) {
            self.doubt.count += if self.do_others_come(id, now) { 1 } else { DOUBT_ALONE };
            self.doubt.since = Some(now);
        }
    }

    /// Whether another transfer comes about as well as ranges did before.
    fn do_others_come(&self, id: u64, now: Instant) -> bool {
        let before = self.doubt.whole_pace.or(self.doubt.best_pace).map_or(0, |pace| pace.rate);
        let others = self.pace_of_others(id, now).map_or(0, |pace| pace.rate);
        others > 0 && others.saturating_mul(LOST_SHARE) > before
    }

    /// How fast the other transfers are, each, and the longest way to a first byte among them.
    fn pace_of_others(&self, id: u64, now: Instant) -> Option<Pace> {
        let others = self.live.iter().filter(|span| span.id != id && !span.is_taken_over);
        let lately =
            |span: &Span| span.evidence(now).map(|pace| Pace { rate: span.rate_unless_silent(now), ..pace });
        let paces: Vec<_> = others.filter_map(lately).collect();
        let latency = paces.iter().map(|pace| pace.latency).max()?;
        let sum = paces.iter().fold(0_u64, |sum, pace| sum.saturating_add(pace.rate));
        Some(Pace { latency, rate: sum / paces.len() as u64 })
    }

    /// How fast ranges came before, if all transfers together are far slower by now: so none of them says how fast another
    /// one would be.
    fn pace_before(&self, span: &Span, now: Instant) -> Option<Pace> {
        let together =
            self.live.iter().fold(0_u64, |sum, span| sum.saturating_add(span.rate_unless_silent(now)));
        let is_slow = |share: u64| move |pace: &Pace| together.saturating_mul(share) <= pace.rate;
        let before = self.doubt.whole_pace.filter(is_slow(LOST_SHARE));
        // Where the first connection is silent too, ranges are not what is wrong.
        let has_first = self.live.iter().any(|span| span.from == 0 && !span.is_taken_over);
        let best = self.doubt.best_pace.filter(|_| !has_first);
        let before = before.or_else(|| best.filter(is_slow(STALLED_SHARE)));
        before.filter(|_| span.from > 0 && span.age(now) >= ALONE_TIME_MIN)
    }

    /// Whether no range has come for long, so that nobody is cut short for one.
    pub(crate) fn are_ranges_in_doubt(&self) -> bool {
        self.doubt.count >= DOUBT_COUNT_MAX
    }
}
