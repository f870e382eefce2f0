//! A fill: one blob on its way into the store, with one writer and any number of readers.
//!
//! The writer publishes its progress; readers follow from the file at their own pace. A writer that ends
//! without success turns every reader's stream into an error, never into an end.

pub(crate) mod claims;
pub(crate) mod reader_handle;
pub(crate) mod readers;
pub(crate) mod relay;
mod settled;
pub(crate) mod spans;
pub(crate) mod table;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use budget::{Budget, Memory};
use bytes::Bytes;
use inventory::Announced;
use oci::{Digest, Hasher, Repository};
use parking_lot::Mutex;
use policy::pace::Pace;
use storage::{OpenBlob, Spool};
use telemetry::BypassReason;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::PullError;
use crate::permits::{PermitHolder, UpstreamPermit};
use claims::Claims;
use readers::{Reader, Readers};
use relay::{Pushed, ReaderState, Relay};

/// The stage of a fill, as its readers see it.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// The upstream has not answered yet.
    Asking,
    /// The transfer delivers bytes, which are not verified.
    Flowing,
    /// All bytes are received and the digest is right.
    Verified,
    /// It has failed.
    Failed(PullError),
}

#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// The whole blob's size in bytes, once known.
    pub(crate) size: Option<u64>,
    /// The size from another source, while the transfer does not tell it.
    pub(crate) promised: Promised,
    /// Whether its writer has ended, and with it the write to the store.
    is_left: bool,
}

/// The size of a blob whose transfer does not tell it, from a manifest or a HEAD. An answer that was given
/// this size fails if it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promised {
    /// Not looked up yet.
    Unasked,
    /// In bytes.
    Size(u64),
    /// Neither of them has it.
    Untold,
}

/// The bytes at a position.
pub(crate) enum Available {
    /// This many bytes, from this content.
    Stored(OpenBlob, u64),
    /// These bytes, which are not stored, and the hash of the blob up to their end if it was kept.
    Relayed(Bytes, Option<Box<Hasher>>),
    /// None yet.
    Nothing,
    /// None any more: the relay has moved on.
    Gone,
}

/// The place of a fill's bytes.
#[derive(Debug)]
enum Content {
    /// The blob is stored already, and is being hashed.
    Stored(OpenBlob),
    /// The upstream's bytes are written here.
    Spool(Arc<Spool>),
}

/// One blob on its way into the store; shared by its writer and its readers.
#[derive(Debug)]
pub(crate) struct Fill {
    digest: Digest,
    /// The repository in the upstream requests.
    repository: Repository,
    /// The number of the backend that started it; see [`table::FillTable::for_successor`].
    backend: u64,
    progress: watch::Sender<Progress>,
    content: OnceLock<Content>,
    /// The window of the bytes after the store has failed.
    relay: Mutex<Option<Relay>>,
    /// The memory that all fills of the process share.
    memory: Memory,
    claims: Claims,
    readers: Readers,
    /// Whether the blob will not be stored.
    is_lost: Arc<AtomicBool>,
    /// The room that the store makes for it, until it has ended.
    announced: Mutex<Option<Announced>>,
    /// Why its bytes only pass through memory, if they do.
    bypass: OnceLock<BypassReason>,
}

impl Fill {
    fn new(digest: Digest, repository: Repository, backend: u64, memory: Memory) -> Self {
        let progress = watch::Sender::new(Progress {
            phase: Phase::Asking,
            size: None,
            promised: Promised::Unasked,
            is_left: false,
        });
        Self {
            digest,
            repository,
            backend,
            progress,
            content: OnceLock::new(),
            relay: Mutex::new(None),
            memory,
            claims: Claims::default(),
            readers: Readers::default(),
            is_lost: Arc::default(),
            announced: Mutex::new(None),
            bypass: OnceLock::new(),
        }
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The number of the backend that started it.
    fn backend(&self) -> u64 {
        self.backend
    }

    /// The memory that all fills of the process share for bytes that wait for the disk.
    pub(crate) fn batches(&self) -> &Budget {
        &self.memory.batches
    }

    /// The claims of its transfers.
    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Cancelled once its permit was reclaimed, which ends the fill.
    pub(crate) fn gave_way(&self) -> &CancellationToken {
        self.readers.gave_way()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn size(&self) -> Option<u64> {
        self.progress.borrow().size
    }

    /// Whether the upstream has begun to answer.
    pub(crate) fn has_answered(&self) -> bool {
        !matches!(self.progress.borrow().phase, Phase::Asking)
    }

    /// Whether it has ended, with or without success.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.progress.borrow().phase, Phase::Verified | Phase::Failed(_))
    }

    /// Waits until it has a client or has ended. Returns whether it has not failed.
    pub(crate) async fn is_joined_or_over(&self) -> bool {
        let mut progress = self.watch();
        // A client that joins publishes.
        let is_settled = |progress: &Progress| {
            matches!(progress.phase, Phase::Verified | Phase::Failed(_)) || self.has_clients()
        };
        progress.wait_for(is_settled).await.is_ok_and(|progress| !matches!(progress.phase, Phase::Failed(_)))
    }

    /// Waits until a reader may answer its client: the size is known or promised and, for a blob of up to
    /// `verify_first_bytes_max` bytes, the digest is verified. Returns the size.
    ///
    /// # Errors
    /// The fill's; [`PullError::UpstreamUnavailable`] once a blob has turned out longer than that, if its
    /// size cannot be learned.
    pub(crate) async fn ready(&self, verify_first_bytes_max: u64) -> Result<u64, PullError> {
        let mut progress = self.watch();
        let is_ready = |progress: &Progress| match progress.phase {
            Phase::Asking => false,
            Phase::Flowing => match (progress.size, progress.promised) {
                (Some(size), _) | (None, Promised::Size(size)) => size > verify_first_bytes_max,
                (None, Promised::Unasked) => false,
                (None, Promised::Untold) => self.claims.received_bytes() > verify_first_bytes_max,
            },
            Phase::Verified | Phase::Failed(_) => true,
        };
        // The sender lives in this fill, which is borrowed here, so it is not dropped during the wait.
        let progress = progress.wait_for(is_ready).await.map_err(|_| aborted())?;
        match &progress.phase {
            Phase::Failed(error) => Err(error.clone()),
            _ => match (progress.size, progress.promised) {
                (Some(size), _) | (None, Promised::Size(size)) => Ok(size),
                _ => Err(PullError::unavailable(
                    "the upstream does not tell the blob's size; wharf fetches it and can serve it then",
                )),
            },
        }
    }

    /// The bytes at `position`, if there are any.
    pub(crate) fn available(&self, position: u64) -> Available {
        let relay = self.relay.lock();
        // Stored bytes after the relay's origin are not the ones that the relay hashes.
        let stored_max = relay.as_ref().map_or(u64::MAX, |relay| relay.origin().saturating_sub(position));
        let stored = match self.content.get() {
            Some(Content::Stored(blob)) => Some((blob.clone(), blob.size().saturating_sub(position))),
            Some(Content::Spool(spool)) => Some((spool.content(), spool.available_from(position))),
            None => None,
        };
        if let Some((blob, length)) = stored
            && length.min(stored_max) > 0
        {
            return Available::Stored(blob, length.min(stored_max));
        }
        match relay.as_ref().map(|relay| relay.at(position)) {
            Some(relay::Found::Bytes(bytes, hash)) => Available::Relayed(bytes, hash),
            Some(relay::Found::Gone) => Available::Gone,
            Some(relay::Found::Nothing) | None => Available::Nothing,
        }
    }

    /// Serves a stored blob to the readers, while its digest is checked.
    pub(crate) fn serve_stored(&self, blob: OpenBlob) {
        let size = blob.size();
        // A fill gets its content once, from its only writer.
        let _ = self.content.set(Content::Stored(blob));
        self.flowing(Some(size));
    }

    /// Whether its bytes are from the store and not from the upstream.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self.content.get(), Some(Content::Stored(_)))
    }

    /// Makes readers follow `spool`, to which the upstream's bytes are written.
    pub(crate) fn attach(&self, spool: Arc<Spool>) {
        let _ = self.content.set(Content::Spool(spool));
    }

    /// The spool of the upstream's bytes, unless the store failed at the beginning.
    pub(crate) fn spool(&self) -> Option<&Arc<Spool>> {
        match self.content.get() {
            Some(Content::Spool(spool)) => Some(spool),
            Some(Content::Stored(_)) | None => None,
        }
    }

    /// Notes that the upstream has answered, with its size if it told one.
    pub(crate) fn flowing(&self, size: Option<u64>) {
        self.progress.send_modify(|progress| {
            progress.size = progress.size.or(size);
            // A transfer beside the front may be answered after the end of the fill.
            if matches!(progress.phase, Phase::Asking) {
                progress.phase = Phase::Flowing;
            }
        });
    }

    pub(crate) fn set_size(&self, size: u64) {
        self.progress.send_modify(|progress| progress.size = Some(size));
    }

    /// The bytes for which the store makes room.
    pub(crate) fn announced_bytes(&self) -> u64 {
        self.announced.lock().as_ref().map_or(0, Announced::bytes)
    }

    /// Gives the room back.
    pub(crate) fn forget_announced(&self) {
        drop(self.announced.lock().take());
    }

    /// Keeps the room that the store makes for it until it has ended.
    pub(crate) fn keep_announced(&self, announced: Announced) {
        *self.announced.lock() = Some(announced);
        if self.is_over() {
            drop(self.announced.lock().take());
        }
    }

    pub(crate) fn promised(&self) -> Promised {
        self.progress.borrow().promised
    }

    /// Notes the size from a manifest or a HEAD, for a blob that the upstream sends without one.
    pub(crate) fn promise(&self, promised: Promised) {
        self.progress.send_modify(|progress| progress.promised = promised);
    }

    /// Releases the span `id`, and wakes all tasks that may claim its bytes. Returns its pace, if it received
    /// any bytes.
    pub(crate) fn release(&self, id: u64) -> Option<Pace> {
        let pace = self.claims.release(id);
        self.publish();
        pace
    }

    /// Lets any transfer claim the blob's tail, which is no longer expected.
    pub(crate) fn expect_no_tail(&self) {
        self.claims.expect_no_tail();
        self.publish();
    }

    /// Wakes the readers, because more bytes are readable.
    pub(crate) fn publish(&self) {
        self.progress.send_modify(|_| {});
    }

    /// Ends the fill with success.
    pub(crate) fn verified(&self) {
        self.end(Phase::Verified);
    }

    fn fail(&self, error: PullError) {
        self.end(Phase::Failed(error));
    }

    fn end(&self, phase: Phase) {
        self.progress.send_modify(|progress| progress.phase = phase);
        self.readers.drop_permit();
        drop(self.announced.lock().take());
        // No client waits for the upstream any more, even if its reader has not noticed yet.
        self.readers.all().iter().for_each(|reader| drop(reader.take_client()));
    }

    /// Releases the upstream permit, because no further request is needed.
    pub(crate) fn drop_permit(&self) {
        self.readers.drop_permit();
    }

    /// Notes that the blob will not be stored.
    pub(crate) fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    /// A flag that becomes true when the blob will not be stored. It does not keep the fill alive.
    pub(crate) fn loss(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_lost)
    }
}

/// The relay of the bytes through memory, where the blob is not stored.
impl Fill {
    /// Begins the relay at `start`, where the blob has this hash. The blob is not stored, for this reason.
    pub(crate) fn begin_relay(&self, start: u64, hash: Hasher, reason: BypassReason) {
        self.lose();
        let _ = self.bypass.set(reason);
        *self.relay.lock() = Some(Relay::new(start, hash, self.memory.windows.clone()));
    }

    /// The reason why the blob is not stored, if its bytes pass through memory only.
    pub(crate) fn bypass(&self) -> Option<BypassReason> {
        self.bypass.get().copied()
    }

    /// Whether the bytes pass through memory only.
    pub(crate) fn is_relaying(&self) -> bool {
        self.relay.lock().is_some()
    }

    /// The origin of the relay, if there is one.
    pub(crate) fn relay_origin(&self) -> Option<u64> {
        self.relay.lock().as_ref().map(Relay::origin)
    }

    /// The hash of the blob up to `position`, if that is the relay's origin.
    pub(crate) fn hash_at_origin(&self, position: u64) -> Option<Hasher> {
        let relay = self.relay.lock();
        let relay = relay.as_ref().filter(|relay| relay.origin() == position)?;
        Some(relay.origin_hash().clone())
    }

    /// Whether all bytes from `position` on are available or will be. A relay that has moved on leaves a gap
    /// after the stored bytes.
    pub(crate) fn has_all_from(&self, position: u64) -> bool {
        self.relay.lock().as_ref().is_none_or(|relay| relay.needed_by(position).is_some())
    }

    /// Pushes a chunk into the relay's window. If that is full, also returns the readers that delay the
    /// others. If no reader needs it, the fill takes no reader from then on: it is about to fail.
    pub(crate) fn push_to_relay(&self, chunk: &Bytes, hash: &Hasher) -> (Pushed, Vec<Weak<Reader>>) {
        let is_sized = self.size().is_some();
        let (readers, states, mut relay, pushed) = loop {
            let readers = self.readers.all();
            let states: Vec<ReaderState> = readers.iter().map(|reader| reader.state()).collect();
            let mut relay = self.relay.lock();
            let Some(window) = relay.as_mut() else { return (Pushed::Unneeded, Vec::new()) };
            let pushed = window.push(chunk, hash, &states, is_sized);
            // A reader may have come since the list was read.
            if pushed != Pushed::Unneeded || self.readers.abandon(|position| window.is_needed_at(position)) {
                break (readers, states, relay, pushed);
            }
        };
        let Some(relay) = relay.as_mut() else { return (Pushed::Unneeded, Vec::new()) };
        if !matches!(pushed, Pushed::Full(_)) {
            return (pushed, Vec::new());
        }
        let laggards = readers.iter().zip(relay.laggards(&states, is_sized));
        let laggards = laggards.filter(|(_, is_behind)| *is_behind);
        (pushed, laggards.map(|(reader, _)| Arc::downgrade(reader)).collect())
    }
}

impl PermitHolder for Fill {
    fn has_clients(&self) -> bool {
        !self.readers.all().is_empty()
    }

    fn keep_permit(&self, permit: UpstreamPermit) {
        self.readers.keep_permit(permit);
    }

    fn give_way(&self) -> Option<UpstreamPermit> {
        self.readers.give_way()
    }

    fn is_over(&self) -> bool {
        Fill::is_over(self)
    }
}

/// The error of readers whose writer ended without a result.
fn aborted() -> PullError {
    PullError::unavailable("the transfer from the upstream was aborted")
}

#[cfg(test)]
mod tests;
