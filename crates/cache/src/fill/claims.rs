//! The claims of a fill's transfers: [`Spans`] behind a lock and with a clock, and the mode of their
//! requests.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use oci::ByteRange;
use parking_lot::Mutex;
use policy::approach::Approach;
use policy::pace::Pace;
use tokio::sync::Notify;
use tokio::time::Instant;
use upstream::{AddressPosition, Senders};

use super::spans::{Claim, Reach, Spans};

/// The claims of one fill.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    spans: Mutex<Spans>,
    /// Wakes the transfers, so that each checks whether it was taken over.
    takeovers: Notify,
    /// Whether the front requests the whole blob, and no transfer requests a range.
    is_asked_plainly: AtomicBool,
    /// Whether a request for a range was answered.
    has_ranges: AtomicBool,
    /// The addresses of the upstream that sent bytes.
    senders: Mutex<Vec<AddressPosition>>,
    /// Whether some bytes are from an earlier fill.
    has_earlier_bytes: AtomicBool,
}

impl Claims {
    /// Notes that this address sends some of the bytes.
    pub(crate) fn note_sender(&self, address: AddressPosition) {
        let mut senders = self.senders.lock();
        if !senders.contains(&address) {
            senders.push(address);
        }
    }

    /// Notes that some of the bytes are from an earlier fill.
    pub(crate) fn note_earlier_bytes(&self) {
        self.has_earlier_bytes.store(true, Ordering::Relaxed);
    }

    /// The addresses that sent the bytes.
    pub(crate) fn senders(&self) -> Senders {
        let are_all = !self.has_earlier_bytes.load(Ordering::Relaxed);
        Senders { addresses: self.senders.lock().clone(), are_all }
    }

    /// [`Spans::claim_front`]. `gaps` is called while no span can be released: bytes that a transfer has
    /// written by then are no gap, and bytes that it has not written are still claimed.
    pub(crate) fn claim_front(&self, gaps: impl FnOnce() -> Vec<ByteRange>, idle: Option<Pace>) -> Claim {
        self.claim(|spans, now| spans.claim_front(&gaps(), idle, now))
    }

    /// [`Spans::claim_in_order`]. `gaps` as for [`claim_front`](Self::claim_front).
    pub(crate) fn claim_in_order(&self, gaps: impl FnOnce() -> Vec<ByteRange>) -> Claim {
        self.claim(|spans, now| spans.claim_in_order(&gaps(), now))
    }

    /// [`Spans::claim_part`]. `gaps` as for [`claim_front`](Self::claim_front).
    pub(crate) fn claim_part(
        &self,
        gaps: impl FnOnce() -> Vec<ByteRange>,
        idle: Option<Pace>,
    ) -> Option<(u64, ByteRange)> {
        self.claim(|spans, now| spans.claim_part(&gaps(), idle, now))
    }

    /// [`Spans::claim_far`]. `gaps` as for [`claim_front`](Self::claim_front).
    pub(crate) fn claim_far(
        &self,
        range: ByteRange,
        gaps: impl FnOnce() -> Vec<ByteRange>,
        count_max: usize,
    ) -> Option<(u64, ByteRange)> {
        self.claim(|spans, now| spans.claim_far(range, &gaps(), count_max, now))
    }

    /// The approach of the transfer that will fetch the byte at `position`, if there is one.
    pub(crate) fn approach(&self, position: u64) -> Option<Approach> {
        self.spans.lock().approach(position, Instant::now())
    }

    /// Notes that the last `length` bytes were requested. `false`: the blob's tail was requested already.
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

    /// Ends ranges that make no progress, because the whole is about to be requested.
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

    /// Notes that the transfer `id` has received everything before `next`; returns its reach.
    pub(crate) fn advance(&self, id: u64, next: u64) -> Reach {
        self.spans.lock().advance(id, next, Instant::now())
    }

    /// Notes that the body of `id` extends to the blob's end.
    pub(crate) fn note_open_end(&self, id: u64) {
        self.spans.lock().note_open_end(id);
    }

    /// Notes that the body of `id` is the whole blob, because ranges failed.
    pub(crate) fn note_plain(&self, id: u64) {
        self.spans.lock().note_plain(id);
    }

    /// Notes that the transfer `id` has received `bytes` bytes before its claim.
    pub(crate) fn skip(&self, id: u64, bytes: u64) {
        self.spans.lock().skip(id, bytes, Instant::now());
    }

    /// Notes whether the transfer `id` is paused because its bytes wait for the disk.
    pub(crate) fn hold_up(&self, id: u64, is_held_up: bool) {
        self.spans.lock().hold_up(id, is_held_up, Instant::now());
    }

    /// Whether so many ranges have failed that no transfer is cut short for a further one.
    pub(crate) fn are_ranges_in_doubt(&self) -> bool {
        self.spans.lock().are_ranges_in_doubt()
    }

    /// The next stop of the transfer `id`, which has reached its present one; `None`: it ends there. `gaps`
    /// as for [`claim_front`](Self::claim_front).
    pub(crate) fn extend(&self, id: u64, gaps: impl FnOnce() -> Vec<ByteRange>) -> Option<u64> {
        self.claim(|spans, now| spans.extend(id, &gaps(), now))
    }

    /// Returns once other transfers have claimed the whole rest of the transfer `id`.
    pub(crate) async fn taken_over(&self, id: u64) {
        loop {
            let mut woken = pin!(self.takeovers.notified());
            // Enabled before the check, so that no later change is missed.
            woken.as_mut().enable();
            if self.spans.lock().is_taken_over(id) {
                return;
            }
            woken.await;
        }
    }

    /// Releases the span `id`; returns its pace, if it received any bytes.
    pub(super) fn release(&self, id: u64) -> Option<Pace> {
        self.spans.lock().release(id, Instant::now())
    }

    /// Makes all transfers request only the whole blob, or ranges again.
    pub(crate) fn ask_plainly(&self, is_asked_plainly: bool) {
        self.is_asked_plainly.store(is_asked_plainly, Ordering::Relaxed);
    }

    /// Whether no transfer requests a range of the blob.
    pub(crate) fn is_asked_plainly(&self) -> bool {
        self.is_asked_plainly.load(Ordering::Relaxed)
    }

    /// Notes that a request for a range was answered.
    pub(crate) fn note_range(&self) {
        self.has_ranges.store(true, Ordering::Relaxed);
    }

    /// Whether a request for a range was answered.
    pub(crate) fn has_ranges(&self) -> bool {
        self.has_ranges.load(Ordering::Relaxed)
    }

    /// Whether the claims are locked.
    #[cfg(test)]
    pub(super) fn is_locked(&self) -> bool {
        self.spans.is_locked()
    }
}
