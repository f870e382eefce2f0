//! Who fetches what: the parts of a blob that transfers have claimed. Pure bookkeeping.

use oci::ByteRange;

/// A far transfer for a closed range goes on to the next multiple of this, so that neighbouring small
/// ranges are not each a transfer.
const FAR_SPAN_BYTES: u64 = 1 << 20;

/// The live claims of one fill.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    live: Vec<Span>,
    last_id: u64,
}

#[derive(Debug)]
struct Span {
    id: u64,
    /// The first byte that this transfer has not received yet.
    next: u64,
    /// Where it must stop; another transfer has the bytes from there.
    stop: u64,
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
    /// Claims the first part of the first gap that nobody fetches. With `in_order`, only the very next
    /// missing byte will do.
    pub(crate) fn claim_front(&mut self, gaps: &[ByteRange], in_order: bool) -> Claim {
        let Some(first) = gaps.iter().find(|gap| gap.start < gap.end) else { return Claim::Complete };
        let free = gaps.iter().find_map(|gap| self.first_free(*gap));
        let free = free.filter(|range| !in_order || range.start == first.start);
        free.map_or(Claim::Wait, |range| Claim::Fetch(self.claim(range), range))
    }

    /// Claims the bytes from `range.start` on, cutting short the transfer that would have reached them.
    /// `None`: they are there, or are being received, or `count_max` transfers run already.
    pub(crate) fn claim_far(
        &mut self,
        range: ByteRange,
        gaps: &[ByteRange],
        count_max: usize,
    ) -> Option<(u64, ByteRange)> {
        let start = range.start;
        let gap = gaps.iter().find(|gap| gap.start <= start && start < gap.end)?;
        if self.live.len() >= count_max || self.live.iter().any(|span| span.next == start) {
            return None;
        }
        let ahead = self.live.iter().map(|span| span.next).filter(|next| *next > start).min();
        let mut stop = ahead.unwrap_or(gap.end).min(gap.end);
        if let Some(covering) = self.live.iter_mut().find(|span| span.next < start && start < span.stop) {
            stop = stop.min(covering.stop);
            covering.stop = start;
        }
        let wanted = range.end.div_ceil(FAR_SPAN_BYTES).saturating_mul(FAR_SPAN_BYTES);
        let claimed = ByteRange { start, end: stop.min(wanted) };
        Some((self.claim(claimed), claimed))
    }

    /// Notes the progress of `id` and returns where it must stop.
    pub(crate) fn advance(&mut self, id: u64, next: u64) -> u64 {
        match self.live.iter_mut().find(|span| span.id == id) {
            Some(span) => {
                span.next = next;
                span.stop
            }
            None => next,
        }
    }

    /// Gives back what `id` has not fetched.
    pub(crate) fn release(&mut self, id: u64) {
        self.live.retain(|span| span.id != id);
    }

    fn claim(&mut self, range: ByteRange) -> u64 {
        self.last_id += 1;
        self.live.push(Span { id: self.last_id, next: range.start, stop: range.end });
        self.last_id
    }

    /// The first part of `gap` outside every live span.
    fn first_free(&self, gap: ByteRange) -> Option<ByteRange> {
        let mut start = gap.start;
        // Each round steps over one span, so there are at most as many rounds as spans.
        while let Some(span) = self.live.iter().find(|span| span.next <= start && start < span.stop) {
            start = span.stop;
        }
        let end = self.live.iter().map(|span| span.next).filter(|next| *next > start).min();
        let end = end.map_or(gap.end, |next| next.min(gap.end));
        (start < end).then_some(ByteRange { start, end })
    }
}

#[cfg(test)]
mod tests;
