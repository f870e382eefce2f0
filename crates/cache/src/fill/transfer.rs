//! The writing side of a fill: claims what is missing, fetches it, resumes after cuts, verifies, commits.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use oci::{ByteRange, Digest, Hasher, Repository};
use storage::{BlobStore, OpenBlob, RecordStore, Spool, StoreError, VerifiedSpool, VerifyError};
use telemetry::RegistryMetrics;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};
use upstream::{BlobRange, BlobStream, ErrorKind, Upstream};

use super::lanes::Lanes;
use super::pump::{Pump, Sink, Stop};
use super::relay::Relay;
use super::spans::Claim;
use super::table::FillWriter;
use super::{Content, Fill, lock};
use crate::error::PullError;
use crate::grants::Grants;
use crate::recent::Recent;
use crate::settings::Settings;
use crate::verified::Verified;
use crate::waiting::Place;

/// Resumptions in a row that may bring no new byte.
const RESUME_COUNT_MAX: u32 = 5;

/// Which part of the fill a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It completes the blob from the front; `ranges_work` until the upstream fails to resume.
    Front { ranges_work: bool },
    /// It completes the blob if the upstream ended a body too soon whose length nobody knows.
    Rest,
    /// It serves a range that the front will not reach soon.
    Far,
    /// It fetches a part just ahead of the front, to make the blob come faster.
    Part,
}

/// A claimed span, given back however its transfer ends, a panic included.
pub(super) struct Claimed {
    pub(super) fill: Arc<Fill>,
    pub(super) span: u64,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.fill.release(self.span);
    }
}

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
    /// What the upstream granted lately.
    pub(crate) grants: Arc<Grants>,
    /// Stored blobs whose bytes are known to be right.
    pub(crate) verified: Arc<Verified>,
    /// This registry's transfers.
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

impl Transfer {
    /// Spawns the fill's writer. It outlives every client, and keeps `place` meanwhile.
    pub(crate) fn spawn(self, writer: FillWriter, place: Option<Place>) {
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            let _place = place;
            self.metrics.fill_started();
            let cancelled = self.cancel.clone();
            let fill = writer.fill().clone();
            let ended = tokio::select! {
                result = self.fill(&fill) => result,
                () = cancelled.cancelled() => Err(PullError::unavailable("wharf is shutting down")),
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

    /// Starts a transfer of its own for a range that the front will not reach soon. Nothing happens when
    /// the bytes are on their way already.
    pub(crate) fn spawn_far(self: Arc<Self>, fill: &Arc<Fill>, range: ByteRange) {
        let (Some(size), Some(Content::Spool(spool))) = (fill.size(), fill.content.get()) else {
            return;
        };
        if fill.is_relaying() || !self.lanes.serve_parts() {
            return;
        }
        let claim = fill.claim_far(range, || spool.gaps(size), self.settings.transfers_per_fill_max);
        let Some((span, claimed)) = claim else { return };
        let (fill, mut sink) = (fill.clone(), Sink::Spool(spool.clone()));
        let claim = Claimed { fill: fill.clone(), span };
        let lane = self.lanes.enter();
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            let fetched = tokio::select! {
                result = self.fetch(&fill, &mut sink, span, claimed, Role::Far) => result,
                () = self.cancel.cancelled() => Err(Stop::Abandoned),
            };
            if let Err(stop) = fetched {
                // The front takes over what is missing, and reports if it cannot.
                debug!(digest = %self.digest, ?stop, "far transfer ended early");
            }
            drop(claim);
            drop(lane);
        });
    }

    async fn fill(&self, fill: &Arc<Fill>) -> Result<(), PullError> {
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
        let mut sink = match self.blobs.spool(&self.digest).await {
            Ok(spool) => {
                if spool.watermark() > 0 {
                    self.metrics.resumed();
                }
                fill.attach(spool.clone());
                self.take_up(fill, &spool).await?;
                Sink::Spool(spool)
            }
            Err(error) => {
                self.store_failed(&error);
                *lock(&fill.relay) = Some(Relay::new(0));
                Sink::Relay { hasher: Box::new(Hasher::new(self.digest.algorithm())), front: 0 }
            }
        };
        tokio::select! {
            biased;
            fetched = self.fetch_all(fill, &mut sink) => fetched?,
            // It only helps: the front alone says when everything is there.
            () = async { self.share(fill).await; pending().await } => {}
        }
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
            let asked = self.upstream.head_blob(&self.repository, &self.digest).await;
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
                    self.store_failed(&error);
                }
                Ok(())
            }
            Err(VerifyError::Store(error)) => {
                self.store_failed(&error);
                Err(PullError::from(&error))
            }
            Err(error) => Err(self.mismatch(&error.to_string())),
        }
    }

    /// The link before the blob: whoever finds the blob finds through whom it was granted.
    async fn keep(&self, verified: VerifiedSpool) -> Result<(), StoreError> {
        if self.settings.links {
            self.grants.insert((self.repository.clone(), self.digest.clone()), ());
            self.records.put_link(&self.repository, &self.digest).await?;
        }
        let signature = verified.signature();
        self.blobs.admit(verified).await?;
        if let (Some(signature), Some(blob)) = (signature, self.blobs.open(&self.digest).await?) {
            self.verified.note(&self.digest, &blob, &signature);
        }
        Ok(())
    }

    fn conclude_relay(&self, fill: &Arc<Fill>, hasher: Hasher, front: u64) -> Result<(), PullError> {
        let got = hasher.finish();
        if got != self.digest || fill.size().is_some_and(|size| size != front) {
            return Err(self.mismatch(&format!("the upstream's bytes have the digest {got}")));
        }
        fill.verified();
        Ok(())
    }

    fn mismatch(&self, what: &str) -> PullError {
        self.metrics.verify_failed();
        let earlier = self.suspects.get(&self.digest).unwrap_or_default();
        self.suspects.insert(self.digest.clone(), earlier + 1);
        warn!(registry = %self.registry, repository = %self.repository, digest = %self.digest, what, "digest mismatch");
        PullError::DigestMismatch { detail: format!("{} was asked for: {what}", self.digest) }
    }

    /// Fetches until nothing is missing, resuming where a transfer broke off.
    async fn fetch_all(&self, fill: &Arc<Fill>, sink: &mut Sink) -> Result<(), PullError> {
        let mut patience = Patience::new(self.settings.fill_stall_max);
        let mut role = Role::Front { ranges_work: true };
        let mut progress = fill.watch();
        loop {
            progress.mark_unchanged();
            let in_order = matches!(sink, Sink::Relay { .. });
            let (span, range) = match fill.claim_front(|| missing(fill, sink), in_order) {
                Claim::Complete => return Ok(()),
                Claim::Wait => {
                    // A far transfer has the rest; it publishes each write and its end.
                    let _ = progress.changed().await;
                    continue;
                }
                Claim::Fetch(span, range) => (span, range),
            };
            let before = fill.received_bytes();
            let lane = self.lanes.enter();
            let fetched = self.fetch(fill, sink, span, range, role).await;
            drop(lane);
            fill.release(span);
            let grew = fill.received_bytes() > before;
            if fill.size().is_none() && (grew || fetched.is_ok()) {
                // Nobody told the length, and a connection may break after the last byte: the digest tells.
                let (hasher, length) = front(sink);
                if hasher.finish() == self.digest {
                    fill.set_size(length);
                    continue;
                }
            }
            let stop = match fetched {
                Ok(()) if fill.size().is_some() => continue,
                Err(stop) if fill.size().is_some() || grew || role != Role::Rest || is_outage(&stop) => stop,
                _ => {
                    // The digest says that this was not all: the rest is asked for once.
                    if role == Role::Rest {
                        fill.set_size(front(sink).1);
                    }
                    role = Role::Rest;
                    continue;
                }
            };
            let is_invalid = matches!(&stop, Stop::Upstream(error) if error.kind() == ErrorKind::Invalid);
            if is_invalid && range.start > 0 && role == (Role::Front { ranges_work: true }) {
                // An upstream that cannot resume gives the whole again; what is there is skipped.
                role = Role::Front { ranges_work: false };
                fill.set_part_bytes(u64::MAX);
                continue;
            }
            match patience.after(&stop, grew, fill.has_answered()) {
                Some(pause) => {
                    debug!(digest = %self.digest, ?stop, "resuming");
                    self.metrics.resumed();
                    tokio::time::sleep(pause).await;
                }
                None => return Err(self.give_up(stop)),
            }
        }
    }

    fn give_up(&self, stop: Stop) -> PullError {
        match stop {
            Stop::Upstream(error) => PullError::from(&error),
            Stop::Cut(what) => PullError::unavailable(format!("the upstream's transfer broke off: {what}")),
            Stop::Store(error) => {
                self.store_failed(&error);
                PullError::from(&error)
            }
            Stop::Abandoned => PullError::unavailable("every client left, and nothing can be stored"),
        }
    }

    /// Fetches one claimed span.
    pub(super) async fn fetch(
        &self,
        fill: &Arc<Fill>,
        sink: &mut Sink,
        span: u64,
        range: ByteRange,
        role: Role,
    ) -> Result<(), Stop> {
        let reaches_end = fill.size().is_none_or(|size| range.end >= size);
        let request = match (range.start, reaches_end) {
            _ if role == (Role::Front { ranges_work: false }) => BlobRange::Whole,
            (0, true) => BlobRange::Whole,
            (start, true) => BlobRange::From(start),
            (_, false) => BlobRange::Span(range),
        };
        let answer = self.upstream.get_blob(&self.repository, &self.digest, request).await;
        let is_front = matches!(role, Role::Front { .. });
        let refuses_parts = match &answer {
            Ok(stream) => stream.start != range.start,
            // There may be no rest.
            Err(_) if role == Role::Rest => false,
            Err(error) => error.is_range_refused() || (!is_front && error.kind() == ErrorKind::Throttled),
        };
        if refuses_parts {
            self.lanes.note_refusal();
            fill.set_part_bytes(u64::MAX);
        }
        let stream = answer.map_err(Stop::Upstream)?;
        let skip = match range.start.checked_sub(stream.start) {
            Some(0) => 0,
            // The front has come past those bytes; anybody else would fetch them twice.
            Some(skip) if is_front => skip,
            Some(_) => return Err(Stop::Cut("the upstream ignored the range that was asked for")),
            None => return Err(Stop::Cut("the upstream began after the byte that was asked for")),
        };
        self.take_size(fill, sink, &stream)?;
        let received = |bytes| self.metrics.fetched_bytes(bytes);
        let store_failed = |error: &StoreError| self.store_failed(error);
        let mut pump = Pump {
            fill,
            span,
            position: range.start,
            skip,
            may_relay: is_front || role == Role::Rest,
            received: &received,
            store_failed: &store_failed,
        };
        pump.run(sink, stream.body).await?;
        self.conclude_span(fill, span, pump.position)
    }

    /// A body that ended cleanly is complete if it reached its span's end. Where nobody told how long the blob
    /// is, that remains to be seen.
    fn conclude_span(&self, fill: &Arc<Fill>, span: u64, position: u64) -> Result<(), Stop> {
        let Some(size) = fill.size() else { return Ok(()) };
        if position < fill.advance(span, position).min(size) {
            return Err(Stop::Cut("the body was shorter than announced"));
        }
        Ok(())
    }

    /// The first answer tells the size; a later one that disagrees is not of the same blob.
    fn take_size(&self, fill: &Arc<Fill>, sink: &Sink, stream: &BlobStream) -> Result<(), Stop> {
        match (fill.size(), stream.size) {
            (Some(known), Some(told)) if known != told => {
                return Err(Stop::Cut("the upstream changed its mind about the blob's size"));
            }
            (None, Some(size)) => {
                if let Sink::Spool(spool) = sink
                    && let Err(error) = spool.set_size(size)
                {
                    // The size serves a resumption after a restart; without it there will be none.
                    self.store_failed(&error);
                }
            }
            _ => {}
        }
        fill.flowing(stream.size);
        Ok(())
    }

    fn store_failed(&self, error: &StoreError) {
        self.metrics.store_failed(error.call());
        warn!(registry = %self.registry, repository = %self.repository, digest = %self.digest, %error, "store failed; passing through");
    }
}

/// Whether the upstream could not be asked, as opposed to having nothing further to give.
fn is_outage(stop: &Stop) -> bool {
    matches!(stop, Stop::Upstream(error) if error.kind() != ErrorKind::Invalid && !error.is_range_refused())
}

/// What has come so far is kept for a later fill, over a restart too; an empty file is not.
async fn put_away(spool: Arc<Spool>, is_shutdown: bool) {
    if spool.watermark() == 0 {
        spool.discard().await;
    } else if is_shutdown {
        spool.park().await;
    }
}

/// What the sink lacks; open-ended while the size is unknown.
fn missing(fill: &Fill, sink: &Sink) -> Vec<ByteRange> {
    let size = fill.size();
    match sink {
        Sink::Spool(spool) => spool.gaps(size.unwrap_or(u64::MAX)),
        Sink::Relay { front, .. } => {
            let rest = ByteRange { start: *front, end: size.unwrap_or(u64::MAX) };
            if rest.start < rest.end { vec![rest] } else { Vec::new() }
        }
    }
}

/// The hash and the length of what the sink has taken, where it came in order.
fn front(sink: &Sink) -> (Hasher, u64) {
    match sink {
        Sink::Spool(spool) => spool.front(),
        Sink::Relay { hasher, front } => (Hasher::clone(hasher), *front),
    }
}

/// When a broken transfer is taken up again, and after which pause.
struct Patience {
    stall_max: Duration,
    grew_at: Instant,
    fruitless_count: u32,
}

impl Patience {
    fn new(stall_max: Duration) -> Self {
        Self { stall_max, grew_at: Instant::now(), fruitless_count: 0 }
    }

    /// `None`: give up. Before the first byte the upstream room has already tried again by itself, so
    /// `has_answered` must hold.
    fn after(&mut self, stop: &Stop, grew: bool, has_answered: bool) -> Option<Duration> {
        if grew {
            self.grew_at = Instant::now();
            self.fruitless_count = 0;
        }
        self.fruitless_count += 1;
        let may_help = match stop {
            Stop::Upstream(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Denied),
            Stop::Cut(_) => true,
            Stop::Store(_) | Stop::Abandoned => false,
        };
        let is_patient = self.fruitless_count <= RESUME_COUNT_MAX && self.grew_at.elapsed() < self.stall_max;
        if !(may_help && is_patient && has_answered) {
            return None;
        }
        let ceiling = Duration::from_millis(50) * 2u32.pow(self.fruitless_count);
        Some(ceiling.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}
