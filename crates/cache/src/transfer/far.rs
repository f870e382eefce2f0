//! Far transfers, for ranges of clients that the front will not reach soon.

use std::sync::Arc;

use oci::{ByteRange, RangeRequest};
use policy::approach::{NEAR_BYTES, SMALL_RANGE_BYTES_MAX};
use storage::Spool;
use tracing::debug;
use upstream::BlobRange;

use super::Transfer;
use super::fetch::{Claimed, RANGE_IGNORED, Role};
use super::pump::{Sink, Stop};
use crate::fill::Fill;

/// A small range that a client requests before the blob's size is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum First {
    /// These bytes, as far as they exist.
    Range(ByteRange),
    /// The last bytes, of this number.
    Last(u64),
}

impl First {
    /// `None` for a range that is not small, or that is near the blob's beginning.
    pub(crate) fn of(range: Option<&RangeRequest>) -> Option<Self> {
        match *range? {
            RangeRequest::From { start, last: Some(last) } if start > NEAR_BYTES && last >= start => {
                let range = ByteRange { start, end: last.saturating_add(1) };
                (range.len() <= SMALL_RANGE_BYTES_MAX).then_some(Self::Range(range))
            }
            RangeRequest::Suffix { len } if (1..=SMALL_RANGE_BYTES_MAX).contains(&len) => {
                Some(Self::Last(len))
            }
            RangeRequest::From { .. } | RangeRequest::Suffix { .. } => None,
        }
    }
}

/// The requested tail of a blob, which is not claimed yet. Dropping it ends the expectation.
struct Expected<'a>(&'a Arc<Fill>);

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.0.expect_no_tail();
    }
}

impl Transfer {
    /// Starts a far transfer for a range that the front will not reach soon. `false`: it is not needed, or
    /// not possible now.
    pub(super) fn spawn_far(self: Arc<Self>, fill: &Arc<Fill>, range: ByteRange) -> bool {
        let Some(spool) = fill.spool() else { return false };
        if fill.is_relaying() || !self.may_ask_for_parts(fill) {
            return false;
        }
        // Before the first response the size is unknown, and no range is too far.
        let size = fill.size().or_else(|| spool.size()).unwrap_or(u64::MAX);
        if self.is_verified_first(size) {
            return false;
        }
        let count_max = self.settings().transfers_per_fill_max;
        let Some((span, range)) = fill.claims().claim_far(range, || spool.gaps(size), count_max) else {
            return false;
        };
        let claimed = Claimed::new(fill, span, self.blobs.connections.open());
        let (transfer, its, mut sink) = (self.clone(), fill.clone(), Sink::Spool(spool.clone()));
        self.spawn_beside(fill, async move {
            let fetched = transfer.fetch(&its, &mut sink, (span, range), Role::Far).await;
            drop(claimed);
            fetched
        });
        true
    }

    /// Requests a client's small range at the same time as the blob, before its size is known: the range
    /// costs next to nothing, and its client waits for it.
    pub(crate) fn spawn_first(self: Arc<Self>, fill: &Arc<Fill>, first: First) {
        let Some(spool) = fill.spool() else { return };
        let size = spool.size().or_else(|| self.blobs.named.size(&self.repository, &self.digest));
        let range = match (first, size) {
            (_, Some(size)) if self.is_verified_first(size) => return,
            (First::Range(range), _) => range,
            (First::Last(length), Some(size)) => ByteRange { start: size.saturating_sub(length), end: size },
            (First::Last(length), None) => {
                if self.may_ask_for_parts(fill) && fill.claims().expect_tail(length) {
                    let (transfer, its, spool) = (self.clone(), fill.clone(), spool.clone());
                    self.spawn_beside(fill, async move { transfer.fetch_last(&its, &spool, length).await });
                }
                return;
            }
        };
        // Bytes that are stored or about to be received need no transfer.
        let _ = self.spawn_far(fill, range);
    }

    /// Spawns a transfer beside the front. If it fails, the front fetches its bytes.
    fn spawn_beside(
        self: Arc<Self>,
        fill: &Arc<Fill>,
        fetched: impl Future<Output = Result<(), Stop>> + Send + 'static,
    ) {
        let fill = fill.clone();
        let tasks = self.blobs.shared.tasks.clone();
        tasks.spawn(async move {
            let fetched = tokio::select! {
                fetched = fetched => fetched,
                () = self.blobs.shared.cancel.cancelled() => Err(Stop::Abandoned),
                () = fill.gave_way().cancelled() => Err(Stop::Abandoned),
            };
            if let Err(stop) = fetched {
                debug!(digest = %self.digest, ?stop, "far transfer ended early");
            }
        });
    }

    /// Fetches the last `length` bytes of a blob whose size is not known, unless they are claimed by the time
    /// the response says where they begin. Until then they are expected.
    async fn fetch_last(&self, fill: &Arc<Fill>, spool: &Arc<Spool>, length: u64) -> Result<(), Stop> {
        let connection = self.blobs.connections.open();
        let expected = Expected(fill);
        let request = BlobRange::Last(length);
        let answer = self.asking().upstream().get_blob(&self.repository, &self.digest, request).await;
        let stream = answer.map_err(Stop::Upstream)?;
        fill.claims().note_range();
        let Some(size) = stream.size.filter(|size| size.saturating_sub(length) == stream.start) else {
            return Err(Stop::Cut(RANGE_IGNORED));
        };
        let range = ByteRange { start: stream.start, end: size };
        let claim = fill.claims().claim_expected(range, || spool.gaps(size));
        drop(expected);
        let Some((span, range)) = claim else { return Ok(()) };
        let _claimed = Claimed::new(fill, span, connection);
        let mut sink = Sink::Spool(spool.clone());
        self.take_size(fill, &sink, stream.size).await?;
        self.receive(fill, &mut sink, (span, range.start), 0, Role::Far, stream).await
    }
}
