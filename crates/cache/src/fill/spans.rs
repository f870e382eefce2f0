//! The spans of a blob that its transfers have claimed: bookkeeping without I/O.
//!
//! A transfer loses its claim when it is too slow: an idle transfer takes over bytes that it would fetch
//! sooner, and a transfer that is far slower than the others is replaced.

mod course;
mod doubt;
mod lost;
mod meter;
mod span;

use oci::ByteRange;
use policy::approach::{Approach, SMALL_RANGE_BYTES_MAX};
use policy::pace::{self, Pace};
use tokio::time::Instant;

use doubt::Doubt;
use span::{Cut, Span};

pub(crate) use span::Reach;

/// A far transfer extends to the next multiple of this, so that neighbouring ranges share a transfer.
const FAR_SPAN_BYTES: u64 = 1 << 20;

/// The least that a far transfer fetches if it begins at the end of another range: its client reads on.
const FAR_SPAN_BYTES_READ_ON: u64 = 4 << 20;

/// The most that a far transfer fetches. The bytes after it are requested once a client wants them, if no
/// transfer fetches them by then.
const FAR_SPAN_BYTES_MAX: u64 = 16 << 20;

/// A small range is fetched in addition to the transfer that covers it and fetches it again: stopping that
/// transfer in the middle would waste more, and cost a request. Such ranges may add up to a 32nd of a blob;
/// the first one is always allowed.
const ASIDE_SHARE: u64 = 32;

/// Bytes are taken over from slow transfers at most `TAKEOVER_COUNT` times, and once more for each
/// `TAKEOVER_BYTES` received.
const TAKEOVER_COUNT: u64 = 8;
const TAKEOVER_BYTES: u64 = 4 << 20;

/// The live claims of one fill.
#[derive(Debug)]
pub(crate) struct Spans {
    live: Vec<Span>,
    /// Small ranges that are fetched in addition to the live spans, which may cover them too.
    asides: Vec<Span>,
    aside_bytes: u64,
    /// Length of the requested tail of the blob, in bytes. It is claimed once the response tells where it
    /// begins.
    expected_tail: u64,
    last_id: u64,
    /// The live span that the last claim cut short, as it was before.
    last_cut: Option<Cut>,
    /// Length of a part in bytes; `u64::MAX` while the blob is not shared.
    part_bytes: u64,
    received_bytes: u64,
    /// The share of them that far transfers received.
    far_bytes: u64,
    /// Number of takeovers from slow transfers.
    takeover_count: u64,
    doubt: Doubt,
    /// Bytes that were fetched again because a transfer continued over the bytes of slow ones.
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

/// The next step of a fill's front.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Fetch this.
    Fetch(u64, ByteRange),
    /// Other transfers fetch every gap: wait for a change.
    Wait,
    /// No gap is left.
    Complete,
}

impl Spans {
    /// Sets the length of the parts that are claimed from now on, in bytes.
    pub(crate) fn set_part_bytes(&mut self, part_bytes: u64) {
        self.part_bytes = part_bytes;
    }

    /// Bytes that all transfers have received so far.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Bytes that the front and the parts have received. Far transfers come and go with their clients, and
    /// would hide the effect of a further connection.
    pub(crate) fn shared_bytes(&self) -> u64 {
        self.received_bytes - self.far_bytes
    }

    /// Claims a part of the first gap that no transfer fetches, otherwise the rest of a slow transfer. `idle`
    /// is the pace of the front's last span, if it is known.
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

    /// Claims the whole first gap, if no transfer fetches its first byte. Otherwise stops all transfers,
    /// because their bytes cannot be stored any more.
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

    /// Claims the next part for a further transfer: of the first gap that no transfer fetches, otherwise from
    /// two parts ahead in the span with the longest rest, otherwise the rest of a slow transfer. `idle` is
    /// the pace of the transfer that takes it, if it is known. `None`: nothing is left to share.
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

    /// Takes over the rest of the slowest span, as far as an idle transfer would fetch it much sooner.
    fn take_over(&mut self, end: u64, idle: Option<Pace>, now: Instant) -> Option<(ByteRange, Cut)> {
        let idle = idle.filter(|_| end < u64::MAX && self.may_take_over())?;
        let slow = self.live.iter_mut().filter(|span| !span.is_plain).filter_map(|span| {
            let tenure = span.tenure(end, now);
            let kept = pace::kept_bytes(&tenure, &idle)?;
            // The key is the time that its rest would take, in seconds.
            Some((tenure.rest_bytes / tenure.rate.max(1), kept, span))
        });
        let (_, kept, span) = slow.max_by_key(|(time, ..)| *time)?;
        let rest = ByteRange { start: span.next + kept, end: span.reach.stop.min(end) };
        self.takeover_count += 1;
        Some((rest, span.keep(kept)))
    }

    fn may_take_over(&self) -> bool {
        self.takeover_count < TAKEOVER_COUNT + self.received_bytes / TAKEOVER_BYTES
    }

    /// Whether other transfers have claimed the whole rest of the transfer `id`.
    pub(crate) fn is_taken_over(&self, id: u64) -> bool {
        self.live.iter().chain(&self.asides).any(|span| span.id == id && span.is_taken_over)
    }

    /// Takes all but the next two parts from the longest span that is not a part itself. That span ends after
    /// the first of the two, if the transfer after them delivers by then. The second absorbs the bytes that
    /// are on the wire when it stops, so that they are not fetched twice.
    fn cut_longest(&mut self, end: u64) -> Option<(ByteRange, Cut)> {
        if self.are_ranges_in_doubt() {
            return None;
        }
        let wholes = self.live.iter_mut().filter(|span| !span.is_part);
        let span = wholes.max_by_key(|span| span.reach.stop.min(end).saturating_sub(span.next))?;
        let enough = span.next.saturating_add(self.part_bytes);
        // One part of slack between the two, for bytes on the wire.
        let rest = ByteRange { start: enough.saturating_add(self.part_bytes), end: span.reach.stop.min(end) };
        if rest.start >= rest.end {
            return None;
        }
        let cut = span.cut_at(enough, rest.start);
        span.is_part = true;
        Some((rest, cut))
    }

    /// Claims the bytes from `range.start` on. A small range is fetched in addition to the transfer that
    /// covers it; a larger one cuts that transfer short. `None`: the bytes are received or about to be, or
    /// `count_max` transfers run already (not counting those for parts).
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
        // Parts have their own bound.
        let count = self.live.iter().filter(|span| !span.is_part).count() + self.asides.len();
        // Received and not written yet, or the very next byte of a transfer, or within the requested tail.
        let is_coming = self.live.iter().any(|span| span.from <= start && start <= span.next)
            || self.asides.iter().any(|span| span.covers(start))
            || start.saturating_add(self.expected_tail) >= end;
        if count >= count_max || is_coming {
            return None;
        }
        // The byte before it is stored: this client reads on from an earlier range, and will want more.
        let reads_on = gap.start == start && start > 0;
        // After a range that reaches the end, the covering transfer has nothing left to fetch: better to cut
        // it.
        if !reads_on
            && range.len() <= SMALL_RANGE_BYTES_MAX
            && range.end < end
            && self.may_go_aside(range, end)
        {
            return Some((self.claim_aside(range, now), range));
        }
        // It may extend to the next claim, or to the end of the gap.
        let ahead = self.live.iter().map(|span| span.from).filter(|from| *from > start).min();
        let mut stop = ahead.unwrap_or(gap.end).min(gap.end);
        // While the size is unknown, all of the blob may be on the wire already.
        let may_cut = end < u64::MAX && !self.are_ranges_in_doubt();
        let covering = self.live.iter_mut().find(|span| span.next < start && start < span.reach.stop);
        if covering.is_some() && !may_cut {
            return None;
        }
        // The covering transfer ends where this one begins. Its rest, after this range, is a gap again.
        let cut = covering.map(|covering| {
            stop = stop.min(covering.reach.stop);
            covering.cut_at(start, start)
        });
        let wanted = if reads_on { range.end.max(start + FAR_SPAN_BYTES_READ_ON) } else { range.end };
        let wanted = wanted.div_ceil(FAR_SPAN_BYTES).saturating_mul(FAR_SPAN_BYTES);
        let claimed = ByteRange { start, end: stop.min(wanted).min(start + FAR_SPAN_BYTES_MAX) };
        let id = self.claim(claimed, false, now);
        if let Some(span) = self.live.last_mut() {
            span.is_far = true;
        }
        // Remembered until the next claim: if this transfer receives nothing, the cut is undone.
        self.last_cut = cut;
        Some((id, claimed))
    }

    /// Whether a small range of a blob that ends at `end` may be fetched twice.
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

    /// Notes that the last `length` bytes were requested. They are claimed once the response tells where they
    /// begin. `false`: the blob's tail was requested already.
    pub(crate) fn expect_tail(&mut self, length: u64) -> bool {
        let is_first = self.expected_tail == 0;
        self.expected_tail = self.expected_tail.max(length);
        is_first
    }

    /// Lets any transfer claim the tail, which is no longer expected.
    pub(crate) fn expect_no_tail(&mut self) {
        self.expected_tail = 0;
    }

    /// The approach of the transfer that will fetch the byte at `position`, if there is one.
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

    /// Whether no two transfers have claimed the same byte. A transfer that was taken over does not count.
    fn is_disjoint(&self) -> bool {
        let working = || self.live.iter().filter(|span| !span.is_taken_over);
        let apart = |one: &Span, other: &Span| one.reach.stop <= other.from || other.reach.stop <= one.from;
        working().all(|one| working().all(|other| one.id == other.id || apart(one, other)))
    }

    /// The first part of `gap` outside every live span.
    fn first_free(&self, gap: ByteRange) -> Option<ByteRange> {
        let mut start = gap.start;
        // Each round steps over one span, so there are at most as many rounds as spans.
        while let Some(span) = self.live.iter().find(|span| span.from <= start && start < span.reach.stop) {
            start = span.reach.stop;
        }
        let end = self.live.iter().map(|span| span.from).filter(|from| *from > start).min();
        let end = end.map_or(gap.end, |from| from.min(gap.end));
        (start < end).then_some(ByteRange { start, end })
    }
}

#[cfg(test)]
mod tests;
