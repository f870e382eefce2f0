//! Who fetches what of a fill, as its transfers ask for it: [`Spans`] behind the fill's lock, and on the clock.

use std::pin::pin;

use oci::ByteRange;
use policy::approach::Approach;
use policy::pace::Pace;
use tokio::time::Instant;

use super::spans::{Claim, Reach, Spans};
use super::{Fill, lock};

impl Fill {
    /// `gaps` looks for what is missing while nobody can give a span back: what a transfer has written by then is
    /// no gap, and what it has not is still claimed.
    pub(super) fn claim_front(&self, gaps: impl FnOnce() -> Vec<ByteRange>, idle: Option<Pace>) -> Claim {
        self.claim(|spans, now| spans.claim_front(&gaps(), idle, now))
    }

    /// `gaps` as for [`claim_front`](Self::claim_front).
    pub(super) fn claim_in_order(&self, gaps: impl FnOnce() -> Vec<ByteRange>) -> Claim {
        self.claim(|spans, now| spans.claim_in_order(&gaps(), now))
    }

    /// `gaps` as for [`claim_front`](Self::claim_front).
    pub(super) fn claim_part(
        &self,
        gaps: impl FnOnce() -> Vec<ByteRange>,
        idle: Option<Pace>,
    ) -> Option<(u64, ByteRange)> {
        self.claim(|spans, now| spans.claim_part(&gaps(), idle, now))
    }

    /// `gaps` as for [`claim_front`](Self::claim_front).
    pub(super) fn claim_far(
        &self,
        range: ByteRange,
        gaps: impl FnOnce() -> Vec<ByteRange>,
        count_max: usize,
    ) -> Option<(u64, ByteRange)> {
        self.claim(|spans, now| spans.claim_far(range, &gaps(), count_max, now))
    }

    /// Whether and how the byte at `position` is on its way.
    pub(super) fn approach(&self, position: u64) -> Option<Approach> {
        lock(&self.spans).approach(position, Instant::now())
    }

    /// Notes that the last `length` bytes have been asked for. `false`: the end of the blob was so before.
    pub(super) fn expect_tail(&self, length: u64) -> bool {
        lock(&self.spans).expect_tail(length)
    }

    /// Claims what was expected. `gaps` as for [`claim_front`](Self::claim_front).
    pub(super) fn claim_expected(
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
        lock(&self.spans).expect_no_tail();
        self.publish();
    }

    /// Ends the transfer that is farthest behind the others, for a blob of `size` bytes.
    pub(super) fn end_lost(&self, size: u64) -> bool {
        self.claim(|spans, now| spans.end_lost(size, now))
    }

    /// The whole is about to be asked for: what does not come is its own.
    pub(super) fn make_way(&self) {
        self.claim(|spans, now| spans.make_way(now));
    }

    fn claim<T>(&self, claim: impl FnOnce(&mut Spans, Instant) -> T) -> T {
        let claimed = claim(&mut lock(&self.spans), Instant::now());
        self.takeovers.notify_waiters();
        claimed
    }

    pub(super) fn set_part_bytes(&self, part_bytes: u64) {
        lock(&self.spans).set_part_bytes(part_bytes);
    }

    /// Bytes that all transfers have received so far.
    pub(super) fn received_bytes(&self) -> u64 {
        lock(&self.spans).received_bytes()
    }

    /// Those of them that the front and the parts have received.
    pub(super) fn shared_bytes(&self) -> u64 {
        lock(&self.spans).shared_bytes()
    }

    /// Notes that the transfer `id` has received everything before `next`; returns how far it goes.
    pub(super) fn advance(&self, id: u64, next: u64) -> Reach {
        lock(&self.spans).advance(id, next, Instant::now())
    }

    /// Notes that the body of `id` goes on to the blob's end.
    pub(super) fn note_open_end(&self, id: u64) {
        lock(&self.spans).note_open_end(id);
    }

    /// Notes that the body of `id` is the whole blob, for ranges do not come.
    pub(super) fn note_plain(&self, id: u64) {
        lock(&self.spans).note_plain(id);
    }

    /// Notes that the transfer `id` has received so many bytes of what comes before its claim.
    pub(super) fn skip(&self, id: u64, bytes: u64) {
        lock(&self.spans).skip(id, bytes, Instant::now());
    }

    /// Notes whether the transfer `id` receives nothing, because its bytes wait for the disk.
    pub(super) fn hold_up(&self, id: u64, is_held_up: bool) {
        lock(&self.spans).hold_up(id, is_held_up, Instant::now());
    }

    /// Whether no range has come for long.
    pub(super) fn are_ranges_in_doubt(&self) -> bool {
        lock(&self.spans).are_ranges_in_doubt()
    }

    /// How far the transfer `id` goes beyond its stop, to which it has come; `None`: there it ends. `gaps` as for
    /// [`claim_front`](Self::claim_front).
    pub(super) fn go_on(&self, id: u64, gaps: impl FnOnce() -> Vec<ByteRange>) -> Option<u64> {
        self.claim(|spans, now| spans.go_on(id, &gaps(), now))
    }

    /// Returns once others have all that the transfer `id` had yet to fetch.
    pub(super) async fn taken_over(&self, id: u64) {
        loop {
            let mut woken = pin!(self.takeovers.notified());
            // Before the look: what happens after it must not be missed.
            woken.as_mut().enable();
            if lock(&self.spans).is_taken_over(id) {
                return;
            }
            woken.await;
        }
    }

    /// Gives the span `id` back; returns how fast it came, if anything came.
    pub(super) fn release(&self, id: u64) -> Option<Pace> {
        let pace = lock(&self.spans).release(id, Instant::now());
        self.publish();
        pace
    }
}
