//! The writing side of a fill, from the first look into the store to the commit.

use std::future::pending;
use std::sync::Arc;

use oci::{ByteRange, Digest, Hasher, RangeRequest, Repository};
use policy::approach::{NEAR_BYTES, SMALL_RANGE_BYTES_MAX};
use policy::head_trust::Stakes;
use storage::{OpenBlob, Spool, StoreError, VerifiedSpool, VerifyError};
use telemetry::{FillEnd, RegistryMetrics};
use tracing::{debug, warn};

use super::fetch::{Claimed, Role};
use super::pump::{Sink, Stop};
use super::table::FillWriter;
use super::{Content, Fill};
use crate::asker::Asking;
use crate::blobs::Blobs;
use crate::error::PullError;
use crate::permits::PermitHolder;
use crate::settings::Settings;

/// A blob as one repository asks for it.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) blobs: Arc<Blobs>,
    /// The repository through which the upstream is asked.
    pub(crate) repository: Repository,
    pub(crate) digest: Digest,
}

/// A small range that a client asks for before the blob's size is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum First {
    /// These bytes, or those of them that exist.
    Range(ByteRange),
    /// So many last bytes.
    Last(u64),
}

impl First {
    /// None for a range that is not small, or that the blob's first bytes bring.
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

impl Transfer {
    pub(super) fn settings(&self) -> &Settings {
        &self.blobs.shared.settings
    }

    pub(super) fn metrics(&self) -> &RegistryMetrics {
        &self.blobs.shared.metrics
    }

    /// The registry's name, for the log.
    pub(super) fn registry(&self) -> &str {
        &self.blobs.shared.name
    }

    /// The right to ask the upstream, for as long as the fill goes on.
    pub(super) fn asking(&self) -> Asking {
        self.blobs.asker.ask_for_transfer()
    }

    /// Spawns the writer of a fill that serves a stored blob while it is hashed. The upstream is not asked.
    pub(crate) fn spawn_hashing(self: Arc<Self>, writer: FillWriter, blob: OpenBlob) {
        let tasks = self.blobs.shared.tasks.clone();
        tasks.spawn(async move {
            let hashed = tokio::select! {
                hashed = self.hash_while_serving(writer.fill(), blob) => hashed,
                () = self.blobs.shared.cancel.cancelled() => Err(shutting_down()),
            };
            if let Err(error) = hashed {
                writer.fail(error);
            }
        });
    }

    /// Spawns the fill's writer. It outlives every client.
    pub(crate) fn spawn(self: Arc<Self>, writer: FillWriter, first: Option<First>) {
        let tasks = self.blobs.shared.tasks.clone();
        tasks.spawn(async move {
            self.metrics().fill_started();
            let cancelled = self.blobs.shared.cancel.clone();
            let fill = writer.fill().clone();
            let ended = tokio::select! {
                result = self.fill(&fill, first) => result,
                () = cancelled.cancelled() => Err(shutting_down()),
                // A client who comes for it from now on starts another fill, which goes on here.
                () = fill.gave_way.cancelled() => Err(PullError::Overloaded),
            };
            match fill.content.get() {
                // It will not be completed, and would keep a full disk full.
                Some(Content::Spool(spool)) if fill.is_relaying() => spool.clone().discard().await,
                Some(Content::Spool(spool)) if ended.is_err() => {
                    put_away(spool.clone(), cancelled.is_cancelled()).await;
                }
                _ => {}
            }
            let end = ended.as_ref().map_or_else(|error| FillEnd::Failed(error.reason()), |()| FillEnd::Done);
            self.metrics().fill_ended(end);
            if let Err(error) = ended {
                debug!(registry = %self.registry(), repository = %self.repository, digest = %self.digest, %error, "fill ended");
                writer.fail(error);
            }
        });
    }

    /// Starts a transfer of its own for a range that the front will not reach soon. `false`: there is no need, or it
    /// is not possible now.
    pub(super) fn spawn_far(self: Arc<Self>, fill: &Arc<Fill>, range: ByteRange) -> bool {
        let Some(Content::Spool(spool)) = fill.content.get() else { return false };
        if fill.is_relaying() || !self.may_ask_for_parts(fill) {
            return false;
        }
        // Before any answer came, the blob may be as long as it likes.
        let size = fill.size().or_else(|| spool.size()).unwrap_or(u64::MAX);
        if self.is_verified_first(size) {
            return false;
        }
        let claim = fill.claim_far(range, || spool.gaps(size), self.settings().transfers_per_fill_max);
        let Some((span, claimed)) = claim else { return false };
        let claim = Claimed { fill: fill.clone(), span };
        let lane = self.blobs.lanes.enter();
        let (transfer, its, mut sink) = (self.clone(), fill.clone(), Sink::Spool(spool.clone()));
        self.spawn_beside(fill, async move {
            let fetched = transfer.fetch(&its, &mut sink, span, claimed, Role::Far).await;
            drop((claim, lane));
            fetched
        });
        true
    }

    /// Whether no client gets a byte of a blob of that size before all of it is there: so there is no hurry for any.
    fn is_verified_first(&self, size: u64) -> bool {
        size <= self.settings().verify_first_bytes_max
    }

    /// Asks for what a client wants before anybody knows the blob's size, at the same time as for the blob: a small
    /// range costs next to nothing, and its client has nothing to do before it is there.
    pub(crate) fn spawn_first(self: Arc<Self>, fill: &Arc<Fill>, first: First) {
        let Some(Content::Spool(spool)) = fill.content.get() else { return };
        let size = spool.size().or_else(|| self.blobs.sizes.get(&self.repository, &self.digest));
        let range = match (first, size) {
            (_, Some(size)) if self.is_verified_first(size) => return,
            (First::Range(range), _) => range,
            (First::Last(length), Some(size)) => ByteRange { start: size.saturating_sub(length), end: size },
            (First::Last(length), None) => {
                if self.may_ask_for_parts(fill) && fill.expect_tail(length) {
                    let (transfer, its, spool) = (self.clone(), fill.clone(), spool.clone());
                    self.spawn_beside(fill, async move { transfer.fetch_last(&its, &spool, length).await });
                }
                return;
            }
        };
        // What is there, or on its way, needs no transfer.
        let _ = self.spawn_far(fill, range);
    }

    /// Spawns a transfer beside the front. What it leaves, the front takes over, and reports if it cannot.
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
                () = fill.gave_way.cancelled() => Err(Stop::Abandoned),
            };
            if let Err(stop) = fetched {
                debug!(digest = %self.digest, ?stop, "far transfer ended early");
            }
        });
    }

    async fn fill(self: &Arc<Self>, fill: &Arc<Fill>, first: Option<First>) -> Result<(), PullError> {
        // A caller may have missed just before another fill's commit: look once more.
        if let Some(blob) = self.blobs.stored.open(&self.digest).await {
            if !self.is_verified_first(blob.size()) {
                return self.hash_while_serving(fill, blob).await;
            }
            if self.blobs.stored.check(&self.digest, &blob).await {
                fill.hold(blob);
                fill.verified();
                return Ok(());
            }
        }
        let holder: Arc<dyn PermitHolder> = fill.clone();
        self.blobs.asker.permit_transfer(&holder)?;
        fill.ask_plainly(self.blobs.lanes.asks_plainly(&self.digest));
        let mut sink = match self.blobs.shared.blobs.spool(&self.digest).await {
            Ok(spool) => {
                if !spool.is_empty() {
                    self.metrics().resumed();
                }
                fill.attach(spool.clone());
                self.take_up(fill, &spool).await?;
                if let Some(first) = first {
                    self.clone().spawn_first(fill, first);
                }
                Sink::Spool(spool)
            }
            Err(error) => {
                self.store_failed(&error);
                let hasher = Hasher::new(self.digest.algorithm());
                fill.begin_relay(0, hasher.clone());
                Sink::Relay { hasher: Box::new(hasher), front: 0 }
            }
        };
        tokio::select! {
            biased;
            fetched = self.fetch_all(fill, &mut sink) => fetched?,
            // It only helps: the front alone says when everything is there.
            () = async { self.share(fill).await; pending().await } => {}
        }
        // The upstream has done its part, and from here on there is nothing that could be left to a later fill.
        fill.drop_permit();
        match sink {
            Sink::Spool(spool) => self.commit(fill, spool).await,
            Sink::Relay { hasher, front } => self.conclude_relay(fill, *hasher, front),
        }
    }

    /// Serves a stored blob that is too large to wait for its hash: all but its tail leaves meanwhile.
    async fn hash_while_serving(&self, fill: &Arc<Fill>, blob: OpenBlob) -> Result<(), PullError> {
        fill.hold(blob.clone());
        if self.blobs.stored.check(&self.digest, &blob).await {
            fill.verified();
            return Ok(());
        }
        // Some of its bytes have left, so the upstream's cannot follow them.
        Err(PullError::Store { detail: "a stored file was damaged or could not be read".to_owned() })
    }

    /// A partial file that lacks nothing needs no transfer. Where repositories are granted one by one, the
    /// upstream is asked all the same whether this one may have the blob.
    async fn take_up(&self, fill: &Arc<Fill>, spool: &Arc<Spool>) -> Result<(), PullError> {
        let Some(size) = spool.size().filter(|size| *size == spool.watermark()) else { return Ok(()) };
        if self.settings().links {
            self.asking().head_blob(&self.repository, &self.digest, Stakes::Held).await?;
        }
        fill.set_size(size);
        Ok(())
    }

    /// Verifies and publishes. Readers are told as soon as the digest is right; they need not wait for the
    /// disk. A commit that fails costs the copy, never the pull.
    async fn commit(&self, fill: &Arc<Fill>, spool: Arc<Spool>) -> Result<(), PullError> {
        let size = fill.size().unwrap_or_else(|| spool.watermark());
        match spool.finish(size).await {
            Ok(verified) => {
                fill.verified();
                if let Err(error) = self.keep(verified).await {
                    fill.lose();
                    self.store_failed(&error);
                }
                Ok(())
            }
            Err(VerifyError::Store(error)) => {
                self.store_failed(&error);
                Err(PullError::from(&error))
            }
            Err(error) => Err(self.mismatch(fill, &error.to_string())),
        }
    }

    async fn keep(&self, verified: VerifiedSpool) -> Result<(), StoreError> {
        self.blobs.grants.note_stored(&self.repository, &self.digest).await?;
        self.blobs.stored.admit(&self.digest, verified).await
    }

    fn conclude_relay(&self, fill: &Arc<Fill>, hasher: Hasher, front: u64) -> Result<(), PullError> {
        let got = hasher.finish();
        if got != self.digest || fill.size().is_some_and(|size| size != front) {
            return Err(self.mismatch(fill, &format!("the upstream's bytes have the digest {got}")));
        }
        fill.verified();
        Ok(())
    }

    fn mismatch(&self, fill: &Fill, what: &str) -> PullError {
        self.blobs.note_mismatch(&self.digest, fill.has_ranges());
        warn!(registry = %self.registry(), repository = %self.repository, digest = %self.digest, what, "digest mismatch");
        PullError::DigestMismatch { detail: format!("{} was asked for: {what}", self.digest) }
    }

    /// The store failed; the pull goes on without it.
    pub(super) fn store_failed(&self, error: &StoreError) {
        self.blobs.shared.store_failed(error);
    }
}

fn shutting_down() -> PullError {
    PullError::unavailable("wharf is shutting down")
}

/// What has come so far is kept for a later fill, over a restart too; an empty file is not.
async fn put_away(spool: Arc<Spool>, is_shutdown: bool) {
    match is_shutdown {
        _ if spool.is_empty() => spool.discard().await,
        true => spool.park().await,
        false => spool.leave().await,
    }
}
