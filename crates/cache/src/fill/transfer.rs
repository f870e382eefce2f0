//! The writing side of a fill, from the first look into the store to the commit.

use std::future::pending;
use std::sync::Arc;

use oci::{ByteRange, Digest, Hasher, RangeRequest, Repository};
use policy::approach::{NEAR_BYTES, SMALL_RANGE_BYTES_MAX};
use policy::head_trust::Stakes;
use storage::{BlobStore, OpenBlob, RecordStore, Spool, StoreError, VerifiedSpool, VerifyError};
use telemetry::RegistryMetrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};
use upstream::Upstream;

use super::fetch::{Claimed, Role};
use super::lanes::Lanes;
use super::pump::{Sink, Stop};
use super::table::FillWriter;
use super::{Content, Fill};
use crate::error::PullError;
use crate::grants::Grants;
use crate::manifest_fetch::Sizes;
use crate::recent::Recent;
use crate::settings::Settings;
use crate::verified::Verified;
use crate::waiting::{Bounds, place_fill};

/// Everything a transfer needs of its backend; `repository` is the one that the upstream is asked through.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    /// The registry's name, for the log.
    pub(crate) registry: Arc<str>,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) records: Arc<dyn RecordStore>,
    pub(crate) repository: Repository,
    pub(crate) digest: Digest,
    pub(crate) settings: Arc<Settings>,
    pub(crate) metrics: Arc<RegistryMetrics>,
    /// Digests whose bytes were wrong lately, and how often.
    pub(crate) suspects: Arc<Recent<Digest, u32>>,
    pub(crate) sizes: Arc<Sizes>,
    /// What the upstream granted lately.
    pub(crate) grants: Arc<Grants>,
    /// Stored blobs whose bytes are known to be right.
    pub(crate) verified: Arc<Verified>,
    /// This registry's transfers.
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) bounds: Bounds,
    pub(crate) bounds_of_all: Bounds,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
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
    /// Spawns the fill's writer. It outlives every client.
    pub(crate) fn spawn(self, writer: FillWriter, first: Option<First>) {
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            self.metrics.fill_started();
            let cancelled = self.cancel.clone();
            let fill = writer.fill().clone();
            let ended = tokio::select! {
                result = self.fill(&fill, first) => result,
                () = cancelled.cancelled() => Err(PullError::unavailable("wharf is shutting down")),
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
            self.metrics.fill_ended(ended.as_ref().map_or_else(PullError::reason, |()| "done"));
            if let Err(error) = ended {
                debug!(registry = %self.registry, repository = %self.repository, digest = %self.digest, %error, "fill ended");
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
        let claim = fill.claim_far(range, || spool.gaps(size), self.settings.transfers_per_fill_max);
        let Some((span, claimed)) = claim else { return false };
        let claim = Claimed { fill: fill.clone(), span };
        let lane = self.lanes.enter();
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
        size <= self.settings.verify_first_bytes_max
    }

    /// Asks for what a client wants before anybody knows the blob's size, at the same time as for the blob: a small
    /// range costs next to nothing, and its client has nothing to do before it is there.
    pub(crate) fn spawn_first(self: Arc<Self>, fill: &Arc<Fill>, first: First) {
        let Some(Content::Spool(spool)) = fill.content.get() else { return };
        let size = spool.size().or_else(|| self.sizes.get(&(self.repository.clone(), self.digest.clone())));
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
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            let fetched = tokio::select! {
                fetched = fetched => fetched,
                () = self.cancel.cancelled() => Err(Stop::Abandoned),
                () = fill.gave_way.cancelled() => Err(Stop::Abandoned),
            };
            if let Err(stop) = fetched {
                debug!(digest = %self.digest, ?stop, "far transfer ended early");
            }
        });
    }

    async fn fill(&self, fill: &Arc<Fill>, first: Option<First>) -> Result<(), PullError> {
        // A caller may have missed just before another fill's commit: look once more.
        match self.blobs.open(&self.digest).await {
            Ok(Some(blob)) => {
                if self.serve_held(fill, blob).await? {
                    return Ok(());
                }
            }
            Ok(None) => {}
            Err(error) => self.store_failed(&error),
        }
        if self.settings.tags.offline {
            return Err(PullError::Offline);
        }
        place_fill(fill, &self.bounds, &self.bounds_of_all)?;
        fill.ask_plainly(self.lanes.asks_plainly(&self.digest));
        let mut sink = match self.blobs.spool(&self.digest).await {
            Ok(spool) => {
                if !spool.is_empty() {
                    self.metrics.resumed();
                }
                fill.attach(spool.clone());
                self.take_up(fill, &spool).await?;
                if let Some(first) = first {
                    Arc::new(self.clone()).spawn_first(fill, first);
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
        fill.leave_place();
        match sink {
            Sink::Spool(spool) => self.commit(fill, spool).await,
            Sink::Relay { hasher, front } => self.conclude_relay(fill, *hasher, front),
        }
    }

    /// Serves what the store holds once it is verified: hashed since this process started, and unchanged since.
    /// A blob too large to wait for is served meanwhile, all but its tail. `false`: the bytes were wrong, no
    /// client has seen any, and the upstream must be asked.
    async fn serve_held(&self, fill: &Arc<Fill>, blob: OpenBlob) -> Result<bool, PullError> {
        let is_served_meanwhile = blob.size() > self.settings.verify_first_bytes_max;
        if is_served_meanwhile {
            fill.hold(blob.clone());
        }
        if self.check_held(&blob).await {
            if !fill.is_held() {
                fill.hold(blob);
            }
            fill.verified();
            return Ok(true);
        }
        if is_served_meanwhile {
            let detail = "a stored file was damaged or could not be read".to_owned();
            return Err(PullError::Store { detail });
        }
        Ok(false)
    }

    /// Whether a stored blob has its digest. A damaged one is set aside.
    pub(crate) async fn check_held(&self, blob: &OpenBlob) -> bool {
        match self.verified.check(&self.digest, blob).await {
            Ok(true) => return true,
            Ok(false) => {
                warn!(registry = %self.registry, digest = %self.digest, "a stored blob is damaged and set aside");
                if let Err(error) = self.blobs.set_aside(&self.digest).await {
                    self.store_failed(&error);
                }
            }
            // Unreadable for the moment is not wrong: the file stays where it is.
            Err(error) => {
                self.metrics.store_failed("pread");
                warn!(registry = %self.registry, digest = %self.digest, %error, "a stored blob cannot be read");
            }
        }
        false
    }

    /// A partial file that lacks nothing needs no transfer. Where repositories are granted one by one, the
    /// upstream is asked all the same whether this one may have the blob.
    async fn take_up(&self, fill: &Arc<Fill>, spool: &Arc<Spool>) -> Result<(), PullError> {
        let Some(size) = spool.size().filter(|size| *size == spool.watermark()) else { return Ok(()) };
        if self.settings.links {
            let asked = self.upstream.head_blob(&self.repository, &self.digest, Stakes::Held).await;
            asked.map_err(|error| PullError::from(&error))?;
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

    /// The link before the blob: whoever finds the blob finds through whom it was granted.
    async fn keep(&self, verified: VerifiedSpool) -> Result<(), StoreError> {
        if self.settings.links {
            self.grants.insert((self.repository.clone(), self.digest.clone()), ());
            self.records.put_link(&self.repository, &self.digest).await?;
        }
        if let Some(signature) = self.blobs.admit(verified).await? {
            self.verified.note_stored(&self.digest, signature);
        }
        Ok(())
    }

    fn conclude_relay(&self, fill: &Arc<Fill>, hasher: Hasher, front: u64) -> Result<(), PullError> {
        let got = hasher.finish();
        if got != self.digest || fill.size().is_some_and(|size| size != front) {
            return Err(self.mismatch(fill, &format!("the upstream's bytes have the digest {got}")));
        }
        fill.verified();
        Ok(())
    }

    /// Ranges may be what was wrong, of this blob and of others. So this one is asked for as a whole from now on, and
    /// no others are shared for a while.
    fn mismatch(&self, fill: &Fill, what: &str) -> PullError {
        self.metrics.verify_failed();
        self.lanes.ask_plainly(&self.digest);
        if fill.has_ranges() {
            self.lanes.note_refusal();
        }
        let earlier = self.suspects.get(&self.digest).unwrap_or_default();
        self.suspects.insert(self.digest.clone(), earlier + 1);
        warn!(registry = %self.registry, repository = %self.repository, digest = %self.digest, what, "digest mismatch");
        PullError::DigestMismatch { detail: format!("{} was asked for: {what}", self.digest) }
    }

    pub(super) fn store_failed(&self, error: &StoreError) {
        self.metrics.store_failed(error.call());
        warn!(registry = %self.registry, repository = %self.repository, digest = %self.digest, %error, "store failed; passing through");
    }
}

/// What has come so far is kept for a later fill, over a restart too; an empty file is not.
async fn put_away(spool: Arc<Spool>, is_shutdown: bool) {
    match is_shutdown {
        _ if spool.is_empty() => spool.discard().await,
        true => spool.park().await,
        false => spool.leave().await,
    }
}
