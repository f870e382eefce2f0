//! The course of a transfer: how far it goes, and when it ends. A transfer that was cut short gets its bytes
//! back if the transfer that took them does not deliver.
//!
//! A claim is only a reservation. The connection that requested the whole blob may be the only one that
//! delivers: some upstreams accept every request for a range and never answer it. So that connection stops
//! only before a transfer that was seen to deliver.

use oci::ByteRange;
use policy::approach::SMALL_RANGE_BYTES_MAX;
use policy::pace::Pace;
use tokio::time::Instant;

use super::{ASIDE_SHARE, Reach, Spans};

/// Bytes that may be fetched again because a transfer continues over the bytes of slow ones. A 32nd of all
/// received bytes is added to that.
const PASSED_BYTES_MIN: u64 = 1 << 20;

/// The continuation of a transfer that has reached its stop.
struct Continuation {
    stop: u64,
    /// The transfer that loses its claim there.
    loser: Option<u64>,
    /// Bytes that are fetched again.
    passed_bytes: u64,
}

impl Spans {
    /// Notes the progress of `id` and returns its reach.
    pub(crate) fn advance(&mut self, id: u64, next: u64, now: Instant) -> Reach {
        let Some(span) = self.live.iter_mut().chain(&mut self.asides).find(|span| span.id == id) else {
            return Reach::to(next);
        };
        let came = next.saturating_sub(span.next);
        self.received_bytes += came;
        self.far_bytes += if span.is_far { came } else { 0 };
        span.advance(next, now);
        self.doubt.note_pace(span, now);
        let (Reach { enough, stop }, rate) = (span.reach, span.meter.rate(now));
        // It has not reached that yet, or has no slack, or was already judged.
        if next < enough || enough == stop || span.is_followed {
            return Reach { enough, stop };
        }
        // The transfer after it must be seen to deliver, or this one continues through the slack up to its
        // stop.
        if !self.live.iter().any(|other| other.from == stop && other.meter.keeps_up_with(rate, now)) {
            return Reach::to(stop);
        }
        if let Some(span) = self.live.iter_mut().find(|span| span.id == id) {
            span.is_followed = true;
        }
        Reach { enough, stop }
    }

    /// Notes that the body of `id` extends to the blob's end.
    pub(crate) fn note_open_end(&mut self, id: u64) {
        if let Some(span) = self.live.iter_mut().find(|span| span.id == id) {
            span.asked_end = u64::MAX;
        }
    }

    /// Notes that the body of `id` is the whole blob, because ranges failed.
    pub(crate) fn note_plain(&mut self, id: u64) {
        self.note_open_end(id);
        if let Some(span) = self.live.iter_mut().find(|span| span.id == id) {
            span.is_plain = true;
        }
    }

    /// Notes that `id` has received `bytes` bytes before its claim.
    pub(crate) fn skip(&mut self, id: u64, bytes: u64, now: Instant) {
        if let Some(span) = self.live.iter_mut().find(|span| span.id == id) {
            span.meter.receive(bytes, now);
        }
    }

    /// Notes whether `id` is paused because its bytes wait for the disk.
    pub(crate) fn hold_up(&mut self, id: u64, is_held_up: bool, now: Instant) {
        if let Some(span) = self.live.iter_mut().chain(&mut self.asides).find(|span| span.id == id) {
            span.meter.hold_up(is_held_up, now);
        }
    }

    /// The next stop of the transfer `id`, which has reached its present one. `None`: it ends there, because
    /// another transfer fetches the bytes after it, or has fetched them.
    pub(crate) fn extend(&mut self, id: u64, gaps: &[ByteRange], now: Instant) -> Option<u64> {
        let way = self.continuation(id, gaps, now)?;
        if let Some(loser) = way.loser
            && let Some(span) = self.live.iter_mut().find(|span| span.id == loser)
        {
            // It fetches no more bytes. That it was overtaken is evidence against ranges.
            span.keep(0);
            self.doubt.count += 1;
        }
        self.passed_bytes += way.passed_bytes;
        // The remembered cut no longer describes its claim.
        self.last_cut = None;
        let span = self.live.iter_mut().find(|span| span.id == id)?;
        (span.reach, span.is_followed) = (Reach::to(way.stop), false);
        // With a long rest, it can be cut short again.
        span.is_part &= way.loser.is_some();
        Some(way.stop)
    }

    fn continuation(&self, id: u64, gaps: &[ByteRange], now: Instant) -> Option<Continuation> {
        let goes_on =
            |span: &&super::Span| span.id == id && !span.is_taken_over && span.reach.stop < span.asked_end;
        let span = self.live.iter().find(goes_on)?;
        let (at, rate) = (span.reach.stop, span.meter.rate(now));
        let holder = |at: u64| self.live.iter().find(move |other| other.covers(at));
        let free = gaps.iter().find(|gap| gap.start <= at && at < gap.end);
        let way = match (holder(at), free) {
            // Another transfer has claimed the bytes after the stop: it keeps them if it delivers.
            (Some(other), _) => {
                let brought = other.brought_bytes();
                // A transfer that has just begun is judged by its bytes; its rate says nothing yet.
                let is_under_way = match other.meter.evidence(now) {
                    Some(_) => other.meter.keeps_up_with(rate, now),
                    None => brought > SMALL_RANGE_BYTES_MAX && !self.are_ranges_in_doubt(),
                };
                // If that transfer broke off, the whole would have to be fetched again.
                if is_under_way && !span.is_plain {
                    return None;
                }
                Continuation { stop: other.reach.stop, loser: Some(other.id), passed_bytes: brought }
            }
            // The bytes are free: this transfer takes them, up to the next claim.
            (None, Some(gap)) => {
                let ahead = self.live.iter().map(|other| other.from).filter(|from| *from > at).min();
                Continuation { stop: gap.end.min(ahead.unwrap_or(u64::MAX)), loser: None, passed_bytes: 0 }
            }
            // The bytes are stored. Continuing over them to the next gap fetches them twice, but needs no
            // further request.
            (None, None) => {
                let next = gaps.iter().map(|gap| gap.start).filter(|start| *start > at).min()?;
                let is_followed = holder(next).is_some_and(|other| other.meter.keeps_up_with(rate, now));
                // The next gap would be requested as a range, and no range was complete recently.
                if !span.is_plain && (self.doubt.count == 0 || is_followed && !self.are_ranges_in_doubt()) {
                    return None;
                }
                Continuation { stop: next, loser: None, passed_bytes: next - at }
            }
        };
        let way = Continuation { stop: way.stop.min(span.asked_end), ..way };
        (span.is_plain || self.may_pass(way.passed_bytes)).then_some(way)
    }

    /// Whether so many bytes may be fetched again. If ranges fail, there is no other way, and they have
    /// delivered little.
    fn may_pass(&self, bytes: u64) -> bool {
        let passed_bytes_max = PASSED_BYTES_MIN + self.received_bytes / ASIDE_SHARE;
        bytes == 0 || self.are_ranges_in_doubt() || self.passed_bytes + bytes <= passed_bytes_max
    }

    /// Releases the rest of `id`. If it has received nothing and no other claim was made since, the transfer
    /// that was cut short for it continues as if never cut: so an upstream that serves no ranges gets no
    /// second request for the rest, and one that breaks ranges off gets as few as possible. Returns its pace,
    /// if it received any bytes.
    pub(crate) fn release(&mut self, id: u64, now: Instant) -> Option<Pace> {
        if let Some(index) = self.asides.iter().position(|span| span.id == id) {
            return self.asides.swap_remove(index).pace(now);
        }
        let index = self.live.iter().position(|span| span.id == id)?;
        let span = &self.live[index];
        // It became silent in the middle.
        if span.next < span.reach.enough && !span.is_taken_over && span.is_stalled(now) {
            self.doubt_range(id, now);
        }
        let released = self.live.swap_remove(index);
        let brought_nothing = released.brought_bytes() == 0;
        let is_whole = released.next >= released.reach.stop && !brought_nothing && !released.is_taken_over;
        if released.is_whole() && released.from > 0 && !released.is_plain {
            self.doubt.note_whole(&released, now);
        }
        if brought_nothing && id == self.last_id {
            if let Some(cut) = self.last_cut.take()
                && let Some(span) = self.live.iter_mut().find(|span| span.id == cut.id)
            {
                span.undo(&cut);
            }
        } else if let Some(before) = self.live.iter_mut().find(|span| span.reach.stop == released.from) {
            // If this one ended early, the transfer before it also fetches the slack; otherwise it ends
            // there.
            if released.next < released.reach.enough {
                before.reach.enough = before.reach.stop;
            }
            before.is_followed |= is_whole;
        }
        released.pace(now)
    }
}

#[cfg(test)]
mod tests;
