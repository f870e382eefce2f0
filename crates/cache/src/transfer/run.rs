//! The task that writes a fill, from a last check of the store to the commit.

use std::future::pending;
use std::sync::Arc;

use oci::Hasher;
use policy::head_trust::Stakes;
use storage::{OpenBlob, Spool, StoreError, VerifiedSpool, VerifyError};
use telemetry::{BypassReason, FillEnd};
use tracing::{debug, warn};

use super::Transfer;
use super::far::First;
use super::pump::Sink;
use crate::error::PullError;
use crate::fill::Fill;
use crate::fill::table::FillWriter;
use crate::permits::PermitHolder;

impl Transfer {
    /// Spawns the writer of a fill that serves a stored blob while it hashes it, without the upstream.
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

    /// Spawns the writer of a fill that fetches the blob. It outlives every client.
    pub(crate) fn spawn(self: Arc<Self>, writer: FillWriter, first: Option<First>) {
        let tasks = self.blobs.shared.tasks.clone();
        tasks.spawn(async move {
            self.metrics().fill_started();
            let fill = writer.fill().clone();
            let cancel = &self.blobs.shared.cancel;
            let fetched = tokio::select! {
                fetched = self.fetch_blob(&fill, first) => fetched,
                () = cancel.cancelled() => Err(shutting_down()),
                // The next client that requests the blob starts another fill, which resumes these bytes.
                () = fill.gave_way().cancelled() => Err(PullError::Overloaded),
            };
            // A blob whose bytes are complete is committed even while wharf stops: clients have it already.
            let ended = match fetched {
                Ok(Some(sink)) => self.conclude(&fill, sink).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            match fill.spool() {
                // It will not be completed, and would waste space on a full disk.
                Some(spool) if fill.is_relaying() => spool.clone().discard().await,
                Some(spool) if ended.is_err() => leave_or_park(spool.clone(), cancel.is_cancelled()).await,
                _ => {}
            }
            let end = ended.as_ref().map_or_else(|error| FillEnd::Failed(error.reason()), |()| FillEnd::Done);
            self.metrics().fill_ended(end);
            if let Err(error) = ended {
                debug!(
                    registry = %self.registry(),
                    repository = %self.repository,
                    digest = %self.digest,
                    error = telemetry::error_chain(&error),
                    "fill ended"
                );
                writer.fail(error);
            }
        });
    }

    /// Fetches the whole blob. `None`: the store had it, and it is served.
    async fn fetch_blob(
        self: &Arc<Self>,
        fill: &Arc<Fill>,
        first: Option<First>,
    ) -> Result<Option<Sink>, PullError> {
        // The caller may have missed just before another fill's commit, so this checks again.
        if let Some(blob) = self.blobs.stored.open(&self.digest).await {
            if !self.is_verified_first(blob.size()) {
                return self.hash_while_serving(fill, blob).await.map(|()| None);
            }
            if self.blobs.stored.check(&self.digest, &blob).await {
                fill.serve_stored(blob);
                fill.verified();
                return Ok(None);
            }
        }
        let holder: Arc<dyn PermitHolder> = fill.clone();
        self.blobs.asker.permit_transfer(&holder)?;
        fill.claims().ask_plainly(self.blobs.connections.asks_plainly(&self.digest));
        let mut sink = self.begin(fill, first).await?;
        tokio::select! {
            biased;
            () = self.blobs.shared.offline.reached() => return Err(PullError::Offline),
            fetched = self.fetch_all(fill, &mut sink) => fetched?,
            // Sharing only helps: the front alone decides when the blob is complete.
            () = async { self.share(fill).await; pending().await } => {}
        }
        // From here on no bytes could be left to a later fill.
        fill.drop_permit();
        Ok(Some(sink))
    }

    async fn conclude(&self, fill: &Arc<Fill>, sink: Sink) -> Result<(), PullError> {
        match sink {
            Sink::Spool(spool) => self.commit(fill, spool).await,
            Sink::Relay { hasher, front } => self.conclude_relay(fill, *hasher, front),
        }
    }

    /// Opens the spool, with the bytes that an earlier fill has left. If the store fails, begins a relay.
    async fn begin(self: &Arc<Self>, fill: &Arc<Fill>, first: Option<First>) -> Result<Sink, PullError> {
        let spool = match self.blobs.shared.blobs.spool(&self.digest).await {
            Ok(spool) => spool,
            Err(error) => {
                self.store_failed(&error);
                let hasher = Hasher::new(self.digest.algorithm());
                fill.begin_relay(0, hasher.clone(), BypassReason::StoreFailed);
                return Ok(Sink::Relay { hasher: Box::new(hasher), front: 0 });
            }
        };
        if !spool.is_empty() {
            self.metrics().resumed();
            fill.claims().note_earlier_bytes();
        }
        fill.attach(spool.clone());
        self.use_complete_spool(fill, &spool).await?;
        if let Some(first) = first {
            self.clone().spawn_first(fill, first);
        }
        Ok(Sink::Spool(spool))
    }

    /// Serves a stored blob that is too large to be hashed first: readers get all but its tail meanwhile.
    async fn hash_while_serving(&self, fill: &Arc<Fill>, blob: OpenBlob) -> Result<(), PullError> {
        fill.serve_stored(blob.clone());
        if self.blobs.stored.check(&self.digest, &blob).await {
            fill.verified();
            return Ok(());
        }
        // Clients have got some of its bytes, so the upstream's cannot follow them.
        Err(PullError::Store { detail: "a stored file was damaged or could not be read".into() })
    }

    /// Takes the size from a partial file that is complete, so that it needs no transfer. With grants for
    /// each repository, a HEAD still asks the upstream whether this one may read the blob.
    async fn use_complete_spool(&self, fill: &Arc<Fill>, spool: &Arc<Spool>) -> Result<(), PullError> {
        let Some(size) = spool.size().filter(|size| *size == spool.watermark()) else { return Ok(()) };
        if self.settings().links {
            self.asking().upstream().head_blob(&self.repository, &self.digest, Stakes::Held).await?;
        }
        fill.set_size(size);
        Ok(())
    }

    /// Verifies and publishes the blob. Readers end as soon as the digest is right; they need not wait for
    /// the disk. A failed commit loses the copy, but does not fail the pull.
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
        let has_ranges = fill.claims().has_ranges();
        let has_other_address = self.blobs.note_mismatch(&self.digest, has_ranges, &fill.claims().senders());
        warn!(registry = %self.registry(), repository = %self.repository, digest = %self.digest, what, "digest mismatch");
        let detail = format!("{} was requested: {what}", self.digest).into();
        PullError::DigestMismatch { detail, has_other_address }
    }
}

/// Leaves the bytes to a later fill, even after a restart. An empty file is deleted.
async fn leave_or_park(spool: Arc<Spool>, is_shutdown: bool) {
    match is_shutdown {
        _ if spool.is_empty() => spool.discard().await,
        true => spool.park().await,
        false => spool.leave().await,
    }
}

fn shutting_down() -> PullError {
    PullError::unavailable("wharf is shutting down")
}
