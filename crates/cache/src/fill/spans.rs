//! Who fetches what: the parts of a blob that transfers have claimed. Pure bookkeeping.
//!
//! No part belongs for ever to a transfer that is slower than another would be: whoever is idle takes from it, and one
//! that is far behind the others is replaced.

mod course;
mod doubt;
mod span;

use oci::ByteRange;
use policy::approach::{Approach, SMALL_RANGE_BYTES_MAX};
use policy::pace::{self, Pace};
use tokio::time::Instant;

use doubt::Doubt;
use span::{Cut, Span};

/// A far transfer goes on to the next multiple of this, so that neighbouring ranges are not each a transfer.
const FAR_SPAN_BYTES: u64 = 1 << 20;

/// One that begins where another range ended goes on for so long at the least: its client reads on.
const FAR_SPAN_BYTES_READ_ON: u64 = 4 << 20;

/// And for so long at the most. What lies behind is asked for once it is wanted, and may be on its way by then.
const FAR_SPAN_BYTES_MAX: u64 = 16 << 20;

/// Small ranges are fetched beside the transfer that will come past them, which then brings them once more: leaving it
/// in the middle would waste more, and cost it a request. Up to this share of a blob, and one of them in any case.
const ASIDE_SHARE: u64 = 32;

/// How often bytes are taken from a slow transfer: so often in any case, and once more for so many bytes received.
const TAKEOVER_COUNT: u64 = 8;
const TAKEOVER_BYTES: u64 = 4 << 20;

/// The live claims of one fill.
#[derive(Debug)]
pub(crate) struct Spans {
    live: Vec<Span>,
    /// Small ranges that are fetched beside a live span which they may lie in.
    asides: Vec<Span>,
    aside_bytes: u64,
    /// How many bytes of the blob's end have been asked for, and will be claimed once it is known where they begin.
    expected_tail: u64,
    last_id: u64,
    /// What the last claim took from a live span.
    last_cut: Option<Cut>,
    /// How long a part is, in bytes; `u64::MAX` while the blob is not shared.
    part_bytes: u64,
    received_bytes: u64,
    /// Those of them that were received for clients' ranges.
    far_bytes: u64,
    /// How often bytes were taken from a slow transfer.
    takeover_count: u64,
    doubt: Doubt,
    /// Bytes that came once more because a transfer went on over what slow ones had brought.
    passed_bytes: u64,
}

impl Default for Spans {
    fn default() -> Self {
        Self {
            live: Vec::new(),
            asides: Vec::new(),
            aside_bytes: 0,
            expected_tail: 0,
            last_id: 0,
            last_cut: None,
            part_bytes: u64::MAX,
            received_bytes: 0,
            far_bytes: 0,
            takeover_count: 0,
            doubt: Doubt::default(),
            passed_bytes: 0,
        }
    }
}

/// How far a transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// From here on it takes in what has arrived, and no more.
    pub(crate) enough: u64,
    /// From here on the bytes are another's.
    pub(crate) stop: u64,
}

/// What the front of a fill does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Fetch this.
    Fetch(u64, ByteRange),
    /// Every gap is being fetched by somebody: wait for a change.
    Wait,
    /// No gap is left.
    Complete,
}

impl Spans {
    /// How long the parts are that are claimed from now on, in bytes.
    pub(crate) fn set_part_bytes(&mut self, part_bytes: u64) {
        self.part_bytes = part_bytes;
    }

    /// Bytes that all transfers have received so far.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Those received by the front and the parts. Transfers for clients' ranges come and go as those like, and would
    /// blur what a further connection brings.
    pub(crate) fn shared_bytes(&self) -> u64 {
        self.received_bytes - self.far_bytes
    }

    /// Claims the first part of the first gap that nobody fetches, else what a slow transfer had yet to fetch. `idle`
    /// is how fast the front itself was, if that is known.
    pub(crate) fn claim_front(&mut self, gaps: &[ByteRange], idle: Option<Pace>, now: Instant) -> Claim {
        let Some(end) = gaps.last().map(|gap| gap.end) else { return Claim::Complete };
        let (free, cut) = match gaps.iter().find_map(|gap| self.first_free(*gap)) {
            Some(free) => (free, None),
            None => match self.take_over(end, idle, now) {
                Some((rest, cut)) => (rest, Some(cut)),
                None => return Claim::Wait,
            },
        };
        let (id, range) = self.claim_at_most(free, self.part_bytes, now);
        self.last_cut = cut;
        Claim::Fetch(id, range)
    }

    /// Claims the first gap to its end, if nobody fetches its first byte. Otherwise everybody else is told to stop:
    /// what they bring cannot be stored any more.
    pub(crate) fn claim_in_order(&mut self, gaps: &[ByteRange], now: Instant) -> Claim {
        let Some(first) = gaps.first() else { return Claim::Complete };
        match self.first_free(*first).filter(|free| free.start == first.start) {
            Some(free) => Claim::Fetch(self.claim(free, false, now), free),
            None => {
                for span in self.live.iter_mut().chain(&mut self.asides) {
                    let _ = span.keep(0);
                }
                Claim::Wait
            }
        }
    }

    /// Claims the next part for a further transfer: the first that nobody fetches, else what lies two parts
    /// ahead in the span with the longest way to go, else what a slow transfer had yet to fetch. `idle` is how fast
    /// the transfer was that goes on with this, if that is known. `None`: there is nothing left to share.
    pub(crate) fn claim_part(
        &mut self,
        gaps: &[ByteRange],
        idle: Option<Pace>,
        now: Instant,
    ) -> Option<(u64, ByteRange)> {
        let end = gaps.last()?.end;
        let (free, cut) = match gaps.iter().find_map(|gap| self.first_free(*gap)) {
            Some(free) => (free, None),
            None => {
                let cut = self.cut_longest(end).or_else(|| self.take_over(end, idle, now));
                cut.map(|(rest, cut)| (rest, Some(cut)))?
            }
        };
        let claimed = self.claim_at_most(free, self.part_bytes, now);
        self.last_cut = cut;
        Some(claimed)
    }

    /// Takes from the span whose rest will take longest what an idle transfer brings much sooner.
    fn take_over(&mut self, end: u64, idle: Option<Pace>, now: Instant) -> Option<(ByteRange, Cut)> {
        let idle = idle.filter(|_| end < u64::MAX && self.may_take_over())?;
        let slow = self.live.iter_mut().filter(|span| !span.is_plain).filter_map(|span| {
            let tenure = span.tenure(end, now);
            let kept = pace::kept_bytes(&tenure, &idle)?;
            Some((tenure.rest_bytes / tenure.rate.max(1), kept, span))
        });
        let (_, kept, span) = slow.max_by_key(|(time, ..)| *time)?;
        let rest = ByteRange { start: span.next + kept, end: span.stop.min(end) };
        self.takeover_count += 1;
        Some((rest, span.keep(kept)))
    }

    fn may_take_over(&self) -> bool {
        self.takeover_count < TAKEOVER_COUNT + self.received_bytes / TAKEOVER_BYTES
    }

    /// Whether others have all that the transfer `id` had yet to fetch.
    pub(crate) fn is_taken_over(&self, id: u64) -> bool {
        self.live.iter().chain(&self.asides).any(|span| span.id == id && span.is_taken_over)
    }

    /// Takes all but the next two parts from the longest span that is not a part itself. The first of the two is
    /// enough for it, if the part behind them comes by then. Of the second it gets what has arrived when it is left, so
    /// that this does not come twice.
    fn cut_longest(&mut self, end: u64) -> Option<(ByteRange, Cut)> {
        if self.are_ranges_in_doubt() {
            return None;
        }
        let wholes = self.live.iter_mut().filter(|span| !span.is_part);
        let span = wholes.max_by_key(|span| span.stop.min(end).saturating_sub(span.next))?;
        let enough = span.next.saturating_add(self.part_bytes);
        let rest = ByteRange { start: enough.saturating_add(self.part_bytes), end: span.stop.min(end) };
        if rest.start >= rest.end {
            return None;
        }
        let cut = span.cut_at(enough, rest.start);
        span.is_part = true;
        Some((rest, cut))
    }

    /// Claims the bytes from `range.start` on: a small range for itself, another one cutting short the transfer that
    /// would have reached it. `None`: they are there, or are being received, or `count_max` transfers run already,
    /// those for parts not counted.
    pub(crate) fn claim_far(
        &mut self,
        range: ByteRange,
        gaps: &[ByteRange],
        count_max: usize,
        now: Instant,
    ) -> Option<(u64, ByteRange)> {
        let start = range.start;
        let gap = gaps.iter().find(|gap| gap.start <= start && start < gap.end)?;
        let end = gaps.last()?.end;
        let count = self.live.iter().filter(|span| !span.is_part).count() + self.asides.len();
        let is_coming = self.live.iter().any(|span| span.from <= start && start <= span.next)
            || self.asides.iter().any(|span| span.covers(start))
            || start.saturating_add(self.expected_tail) >= end;
        if count >= count_max || is_coming {
            return None;
        }
        let reads_on = gap.start == start && start > 0;
        // What reaches the end leaves nothing behind for the transfer that comes towards it.
        if !reads_on
            && range.len() <= SMALL_RANGE_BYTES_MAX
            && range.end < end
            && self.may_go_aside(range, end)
        {
            return Some((self.claim_aside(range, now), range));
        }
        let ahead = self.live.iter().map(|span| span.from).filter(|from| *from > start).min();
        let mut stop = ahead.unwrap_or(gap.end).min(gap.end);
        // A blob of which not even the size is known may be on its way as a whole already.
        let may_cut = end < u64::MAX && !self.are_ranges_in_doubt();
        let covering = self.live.iter_mut().find(|span| span.next < start && start < span.stop);
        if covering.is_some() && !may_cut {
            return None;
        }
        let cut = covering.map(|covering| {
            stop = stop.min(covering.stop);
            covering.cut_at(start, start)
        });
        let wanted = if reads_on { range.end.max(start + FAR_SPAN_BYTES_READ_ON) } else { range.end };
        let wanted = wanted.div_ceil(FAR_SPAN_BYTES).saturating_mul(FAR_SPAN_BYTES);
        let claimed = ByteRange { start, end: stop.min(wanted).min(start + FAR_SPAN_BYTES_MAX) };
        let id = self.claim(claimed, false, now);
        if let Some(span) = self.live.last_mut() {
            span.is_far = true;
        }
        self.last_cut = cut;
        Some((id, claimed))
    }

    /// Whether a small range of a blob that ends at `end` may come twice.
    fn may_go_aside(&self, range: ByteRange, end: u64) -> bool {
        let share = if end < u64::MAX { end / ASIDE_SHARE } else { 0 };
        self.aside_bytes == 0 || self.aside_bytes + range.len() <= share
    }

    fn claim_aside(&mut self, range: ByteRange, now: Instant) -> u64 {
        self.last_id += 1;
        self.last_cut = None;
        self.aside_bytes += range.len();
        let mut span = Span::new(self.last_id, range.start, range.end, false, now);
        span.is_far = true;
        self.asides.push(span);
        self.last_id
    }

    /// Notes that the last `length` bytes have been asked for, and will be claimed once it is known where they begin.
    /// `false`: the end of the blob was so before.
    pub(crate) fn expect_tail(&mut self, length: u64) -> bool {
        let is_first = self.expected_tail == 0;
        self.expected_tail = self.expected_tail.max(length);
        is_first
    }

    /// Whoever wants them claims them from now on.
    pub(crate) fn expect_no_tail(&mut self) {
        self.expected_tail = 0;
    }

    /// The transfer that will bring the byte at `position`, if there is one.
    pub(crate) fn approach(&self, position: u64, now: Instant) -> Option<Approach> {
        let mut spans = self.asides.iter().chain(&self.live);
        spans.find(|span| span.covers(position)).map(|span| span.approach(position, now))
    }

    fn claim_at_most(&mut self, range: ByteRange, bytes_max: u64, now: Instant) -> (u64, ByteRange) {
        let end = range.end.min(range.start.saturating_add(bytes_max));
        let claimed = ByteRange { start: range.start, end };
        (self.claim(claimed, bytes_max < u64::MAX, now), claimed)
    }

    fn claim(&mut self, range: ByteRange, is_part: bool, now: Instant) -> u64 {
        self.last_id += 1;
        self.last_cut = None;
        self.live.push(Span::new(self.last_id, range.start, range.end, is_part, now));
        debug_assert!(self.is_disjoint(), "two transfers fetch the same bytes: {:?}", self.live);
        self.last_id
    }

    /// Whether no byte is two transfers'. One that was taken over brings no more.
    fn is_disjoint(&self) -> bool {
        let working = || self.live.iter().filter(|span| !span.is_taken_over);
        let apart = |one: &Span, other: &Span| one.stop <= other.from || other.stop <= one.from;
        working().all(|one| working().all(|other| one.id == other.id || apart(one, other)))
    }

    /// The first part of `gap` outside every live span.
    fn first_free(&self, gap: ByteRange) -> Option<ByteRange> {
        let mut start = gap.start;
        // Each round steps over one span, so there are at most as many rounds as spans.
        while let Some(span) = self.live.iter().find(|span| span.from <= start && start < span.stop) {
            start = span.stop;
        }
        let end = self.live.iter().map(|span| span.from).filter(|from| *from > start).min();
        let end = end.map_or(gap.end, |from| from.min(gap.end));
        (start < end).then_some(ByteRange { start, end })
    }
}

#[cfg(test)]
mod tests;
