//! Who fetches what: the parts of a blob that transfers have claimed. Pure bookkeeping.

use oci::ByteRange;

/// A far transfer for a closed range goes on to the next multiple of this, so that neighbouring small
/// ranges are not each a transfer.
const FAR_SPAN_BYTES: u64 = 1 << 20;

/// The live claims of one fill.
#[derive(Debug)]
pub(crate) struct Spans {
    live: Vec<Span>,
    last_id: u64,
    /// What the last claim took from a live span.
    last_cut: Option<Cut>,
    /// How long a part is, in bytes; `u64::MAX` while the blob is not shared.
    part_bytes: u64,
    received_bytes: u64,
}

#[derive(Debug)]
struct Span {
    id: u64,
    /// Where the claim began. What was received since may not be written yet, and is nobody else's.
    from: u64,
    /// The first byte that this transfer has not received yet.
    next: u64,
    /// Where it may stop, once it has taken in what has arrived by then.
    enough: u64,
    /// Where it must stop; another transfer has the bytes from there.
    stop: u64,
    /// Whether it was cut to the length of a part, and is not cut again.
    is_part: bool,
}

/// A span that was cut short for another, as it was before.
#[derive(Debug)]
struct Cut {
    id: u64,
    enough: u64,
    stop: u64,
    is_part: bool,
}

impl Default for Spans {
    fn default() -> Self {
        Self { live: Vec::new(), last_id: 0, last_cut: None, part_bytes: u64::MAX, received_bytes: 0 }
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

    /// Claims the first part of the first gap that nobody fetches. With `in_order`, only the very next
    /// missing byte will do, and all of the gap is claimed.
    pub(crate) fn claim_front(&mut self, gaps: &[ByteRange], in_order: bool) -> Claim {
        let Some(first) = gaps.iter().find(|gap| gap.start < gap.end) else { return Claim::Complete };
        let free = gaps.iter().find_map(|gap| self.first_free(*gap));
        let free = free.filter(|range| !in_order || range.start == first.start);
        let part_bytes = if in_order { u64::MAX } else { self.part_bytes };
        free.map_or(Claim::Wait, |range| {
            let (id, range) = self.claim_at_most(range, part_bytes);
            Claim::Fetch(id, range)
        })
    }

    /// Claims the next part for a further transfer: the first that nobody fetches, else what lies two parts
    /// ahead in the span with the longest way to go. `None`: there is nothing left to share.
    pub(crate) fn claim_part(&mut self, gaps: &[ByteRange]) -> Option<(u64, ByteRange)> {
        let end = gaps.last()?.end;
        let (free, cut) = match gaps.iter().find_map(|gap| self.first_free(*gap)) {
            Some(free) => (free, None),
            None => self.cut_longest(end).map(|(rest, cut)| (rest, Some(cut)))?,
        };
        let claimed = self.claim_at_most(free, self.part_bytes);
        self.last_cut = cut;
        Some(claimed)
    }

    /// Takes all but the next two parts from the longest span that is not a part itself. The first of the two is
    /// enough for it. Of the second it gets what has arrived when it is left, so that this does not come twice.
    fn cut_longest(&mut self, end: u64) -> Option<(ByteRange, Cut)> {
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

    /// Claims the bytes from `range.start` on, cutting short the transfer that would have reached them.
    /// `None`: they are there, or are being received, or `count_max` transfers run already, those for parts
    /// not counted.
    pub(crate) fn claim_far(
        &mut self,
        range: ByteRange,
        gaps: &[ByteRange],
        count_max: usize,
    ) -> Option<(u64, ByteRange)> {
        let start = range.start;
        let gap = gaps.iter().find(|gap| gap.start <= start && start < gap.end)?;
        let count = self.live.iter().filter(|span| !span.is_part).count();
        if count >= count_max || self.live.iter().any(|span| span.from <= start && start <= span.next) {
            return None;
        }
        let ahead = self.live.iter().map(|span| span.from).filter(|from| *from > start).min();
        let mut stop = ahead.unwrap_or(gap.end).min(gap.end);
        let covering = self.live.iter_mut().find(|span| span.next < start && start < span.stop);
        let cut = covering.map(|covering| {
            stop = stop.min(covering.stop);
            covering.cut_at(start, start)
        });
        let wanted = range.end.div_ceil(FAR_SPAN_BYTES).saturating_mul(FAR_SPAN_BYTES);
        let claimed = ByteRange { start, end: stop.min(wanted) };
        let id = self.claim(claimed, false);
        self.last_cut = cut;
        Some((id, claimed))
    }

    /// Notes the progress of `id` and returns how far it goes.
    pub(crate) fn advance(&mut self, id: u64, next: u64) -> Reach {
        match self.live.iter_mut().find(|span| span.id == id) {
            Some(span) => {
                self.received_bytes += next.saturating_sub(span.next);
                span.next = next;
                Reach { enough: span.enough, stop: span.stop }
            }
            None => Reach { enough: next, stop: next },
        }
    }

    /// Gives back what `id` has not fetched. If that is all, and nobody has claimed anything since, the transfer
    /// that was cut short for it goes on as if nothing had been: an upstream that gives no parts is not asked
    /// for the rest a second time. Nor is one that breaks them off asked for more of them than need be.
    pub(crate) fn release(&mut self, id: u64) {
        let Some(index) = self.live.iter().position(|span| span.id == id) else { return };
        let released = self.live.swap_remove(index);
        let brought_nothing = released.next == released.from;
        if brought_nothing && id == self.last_id {
            if let Some(cut) = self.last_cut.take()
                && let Some(span) = self.live.iter_mut().find(|span| span.id == cut.id)
            {
                (span.enough, span.stop, span.is_part) = (cut.enough, cut.stop, cut.is_part);
            }
        } else if released.next < released.enough
            && let Some(before) = self.live.iter_mut().find(|span| span.stop == released.from)
        {
            before.enough = before.stop;
        }
    }

    fn claim_at_most(&mut self, range: ByteRange, bytes_max: u64) -> (u64, ByteRange) {
        let end = range.end.min(range.start.saturating_add(bytes_max));
        let claimed = ByteRange { start: range.start, end };
        (self.claim(claimed, bytes_max < u64::MAX), claimed)
    }

    fn claim(&mut self, range: ByteRange, is_part: bool) -> u64 {
        self.last_id += 1;
        self.last_cut = None;
        let ByteRange { start, end } = range;
        self.live.push(Span { id: self.last_id, from: start, next: start, enough: end, stop: end, is_part });
        self.last_id
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

impl Span {
    fn cut_at(&mut self, enough: u64, stop: u64) -> Cut {
        let cut = Cut { id: self.id, enough: self.enough, stop: self.stop, is_part: self.is_part };
        (self.enough, self.stop) = (self.enough.min(enough), stop);
        cut
    }
}

#[cfg(test)]
mod tests;
