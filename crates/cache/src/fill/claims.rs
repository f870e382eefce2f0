//! The claims of a fill's transfers: [`Spans`] behind a lock and on the clock, and the way in which they ask.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use oci::ByteRange;
use parking_lot::Mutex;
use policy::approach::Approach;
use policy::pace::Pace;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::spans::{Claim, Reach, Spans};

/// The claims of one fill.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    spans: Mutex<Spans>,
    /// Wakes the transfers, each to see whether it was taken over.
    takeovers: Notify,
    /// Whether the front asks for the whole blob, and no transfer for a part of it.
    is_asked_plainly: AtomicBool,
    /// Whether a range brought any of the blob's bytes.
    has_ranges: AtomicBool,
}

impl Claims {
    /// `gaps` looks for missing bytes while no span can be given back: bytes that a transfer has written by then are no
    /// gap, and bytes that it has not written are still claimed.
    pub(crate) fn claim_front(&self, gaps: impl FnOnce() -> Vec<ByteRange>, idle: Option<Pace>) -> Claim {
        self.claim(|spans, now| spans.claim_front(&gaps(), idle, now))
    }

    /// `gaps` as for [`claim_front`](Self::claim_front).
    pub(crate) fn claim_in_order(&self, gaps: impl FnOnce() -> Vec<ByteRange>) -> Claim {
        self.claim(|spans, now| spans.claim_in_order(&gaps(), now))
    }

    /// `gaps` as for [`claim_front`](Self::claim_front).
    pub(crate) fn claim_part(
        &self,
        gaps: impl FnOnce() -> Vec<ByteRange>,
        idle: Option<Pace>,
    ) -> Option<(u64, ByteRange)> {
        self.claim(|spans, now| spans.claim_part(&gaps(), idle, now))
    }

    /// `gaps` as for [`claim_front`](Self::claim_front).
    pub(crate) fn claim_far(
        &self,
        range: ByteRange,
        gaps: impl FnOnce() -> Vec<ByteRange>,
        count_max: usize,
    ) -> Option<(u64, ByteRange)> {
        self.claim(|spans, now| spans.claim_far(range, &gaps(), count_max, now))
    }

    /// Whether and how the byte at `position` is on its way.
    pub(crate) fn approach(&self, position: u64) -> Option<Approach> {
        self.spans.lock().approach(position, Instant::now())
    }

    /// Notes that the last `length` bytes have been asked for. `false`: the blob's tail was asked for already.
    pub(crate) fn expect_tail(&self, length: u64) -> bool {
        self.spans.lock().expect_tail(length)
    }

    /// Claims the expected tail. `gaps` as for [`claim_front`](Self::claim_front).
    pub(crate) fn claim_expected(
        &self,
        range: ByteRange,
        gaps: impl FnOnce() -> Vec<ByteRange>,
    ) -> Option<(u64, ByteRange)> {
        self.claim(|spans, now| {
            spans.expect_no_tail();
            spans.claim_far(range, &gaps(), usize::MAX, now)
        })
    }

    pub(super) fn expect_no_tail(&self) {
        self.spans.lock().expect_no_tail();
    }

    /// Ends the transfer that is farthest behind the others, for a blob of `size` bytes.
    pub(crate) fn end_lost(&self, size: u64) -> bool {
        self.claim(|spans, now| spans.end_lost(size, now))
    }

    /// Ends ranges that do not come, because the whole is about to be asked for.
    pub(crate) fn make_way(&self) {
        self.claim(|spans, now| spans.make_way(now));
    }

    fn claim<T>(&self, claim: impl FnOnce(&mut Spans, Instant) -> T) -> T {
        let claimed = claim(&mut self.spans.lock(), Instant::now());
        self.takeovers.notify_waiters();
        claimed
    }

    pub(crate) fn set_part_bytes(&self, part_bytes: u64) {
        self.spans.lock().set_part_bytes(part_bytes);
    }

    /// Bytes that all transfers have received so far.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.spans.lock().received_bytes()
    }

    /// Bytes that the front and the parts have received.
    pub(crate) fn shared_bytes(&self) -> u64 {
        self.spans.lock().shared_bytes()
    }

    /// Notes that the transfer `id` has received everything before `next`; returns how far it goes.
    pub(crate) fn advance(&self, id: u64, next: u64) -> Reach {
        self.spans.lock().advance(id, next, Instant::now())
    }

    /// Notes that the body of `id` goes on to the blob's end.
    pub(crate) fn note_open_end(&self, id: u64) {
        self.spans.lock().note_open_end(id);
    }

    /// Notes that the body of `id` is the whole blob, for ranges do not come.
    pub(crate) fn note_plain(&self, id: u64) {
        self.spans.lock().note_plain(id);
    }

    /// Notes that the transfer `id` has received `bytes` that lie before its claim.
    pub(crate) fn skip(&self, id: u64, bytes: u64) {
        self.spans.lock().skip(id, bytes, Instant::now());
    }

    /// Notes whether the transfer `id` receives nothing, because its bytes wait for the disk.
    pub(crate) fn hold_up(&self, id: u64, is_held_up: bool) {
        self.spans.lock().hold_up(id, is_held_up, Instant::now());
    }

    /// Whether so many ranges have failed that no transfer is cut short for a further one.
    pub(crate) fn are_ranges_in_doubt(&self) -> bool {
        self.spans.lock().are_ranges_in_doubt()
    }

    /// The next stop of the transfer `id`, which has come to its present one; `None`: it ends there. `gaps` as for
    /// [`claim_front`](Self::claim_front).
    pub(crate) fn go_on(&self, id: u64, gaps: impl FnOnce() -> Vec<ByteRange>) -> Option<u64> {
        self.claim(|spans, now| spans.go_on(id, &gaps(), now))
    }

    /// Returns once other transfers have the whole rest of the transfer `id`.
    pub(crate) async fn taken_over(&self, id: u64) {
        loop {
            let mut woken = pin!(self.takeovers.notified());
            // Before the look: what happens after it must not be missed.
            woken.as_mut().enable();
            if self.spans.lock().is_taken_over(id) {
                return;
            }
            woken.await;
        }
    }

    /// Gives the span `id` back; returns its pace, if anything came.
    pub(super) fn release(&self, id: u64) -> Option<Pace> {
        self.spans.lock().release(id, Instant::now())
    }

    /// Makes all transfers ask for the whole blob only, or for parts again.
    pub(crate) fn ask_plainly(&self, is_asked_plainly: bool) {
        self.is_asked_plainly.store(is_asked_plainly, Ordering::Relaxed);
    }

    /// Whether no transfer asks for a part of the blob.
    pub(crate) fn is_asked_plainly(&self) -> bool {
        self.is_asked_plainly.load(Ordering::Relaxed)
    }

    /// Notes that a range was answered.
    pub(crate) fn note_range(&self) {
        self.has_ranges.store(true, Ordering::Relaxed);
    }

    /// Whether a range brought any of the blob's bytes.
    pub(crate) fn has_ranges(&self) -> bool {
        self.has_ranges.load(Ordering::Relaxed)
    }

    /// Whether no transfer can change the claims now.
    #[cfg(test)]
    pub(super) fn is_locked(&self) -> bool {
        self.spans.is_locked()
    }
}
