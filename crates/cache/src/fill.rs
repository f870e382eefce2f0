//! A fill: one upstream transfer into the store, with one writer and any number of readers.
//!
//! The writer publishes how far the bytes have come; readers follow from the file at their own pace. A
//! writer that ends in any way but success turns every reader's stream into an error, never into an end.

mod claims;
mod fetch;
pub(crate) mod lanes;
mod parts;
pub(crate) mod passing;
pub(crate) mod pump;
pub(crate) mod reader;
mod relay;
mod resumption;
pub(crate) mod seat;
mod spans;
pub(crate) mod table;
pub(crate) mod transfer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use budget::{Budget, Memory};
use bytes::Bytes;
use oci::{Digest, Hasher, Repository};
use storage::{OpenBlob, Spool};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::error::PullError;
use crate::permits::UpstreamPermit;
use relay::Relay;
use seat::Reader;
use spans::Spans;

/// How far a fill has come, as its readers see it.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// The upstream has not answered yet.
    Asking,
    /// Bytes are coming in, unverified.
    Flowing,
    /// Everything is there and the digest is right.
    Verified,
    /// It is over, and not well.
    Failed(PullError),
}

#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// The whole blob's size in bytes, once known.
    pub(crate) size: Option<u64>,
    /// What it is as long as it comes without one.
    pub(crate) promised: Promised,
}

/// The size of a blob whose transfer does not tell it, by somebody else's word. What answers by it is held to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promised {
    /// Nobody was asked.
    Unasked,
    /// Bytes, as a manifest or a HEAD says.
    Size(u64),
    /// Nobody tells.
    Untold,
}

/// What can be read at a position.
pub(crate) enum Available {
    /// So many bytes, from this content.
    Stored(OpenBlob, u64),
    /// These bytes, which no file holds, and the hash of the blob up to their end if it was kept.
    Relayed(Bytes, Option<Box<Hasher>>),
    /// Nothing yet.
    Nothing,
    /// Nothing any more: the relay has moved on.
    Gone,
}

#[derive(Debug)]
enum Content {
    /// It turned out to be in the store already.
    Held(OpenBlob),
    Spool(Arc<Spool>),
}

/// One blob on its way in; shared by its writer and its readers.
#[derive(Debug)]
pub(crate) struct Fill {
    digest: Digest,
    /// The repository through which the upstream is asked.
    repository: Repository,
    progress: watch::Sender<Progress>,
    content: OnceLock<Content>,
    relay: Mutex<Option<Relay>>,
    /// The memory that all fills of the process share.
    memory: Memory,
    spans: Mutex<Spans>,
    /// Wakes the transfers, each to see whether it was taken over.
    takeovers: Notify,
    readers: Mutex<Vec<Weak<Reader>>>,
    permit: Mutex<Option<UpstreamPermit>>,
    /// Cancelled when the permit is another's: what has come so far is all that this fill brings.
    gave_way: CancellationToken,
    /// True once the front asks for the whole blob, and no transfer for a part of it.
    is_asked_plainly: AtomicBool,
    /// True once a range brought any of its bytes.
    has_ranges: AtomicBool,
    /// Whether it is known that the store will not have the blob.
    is_lost: Arc<AtomicBool>,
}

impl Fill {
    fn new(digest: Digest, repository: Repository, memory: Memory) -> Self {
        let progress =
            watch::Sender::new(Progress { phase: Phase::Asking, size: None, promised: Promised::Unasked });
        Self {
            digest,
            repository,
            progress,
            content: OnceLock::new(),
            relay: Mutex::new(None),
            memory,
            spans: Mutex::new(Spans::default()),
            takeovers: Notify::new(),
            readers: Mutex::new(Vec::new()),
            permit: Mutex::new(None),
            gave_way: CancellationToken::new(),
            is_asked_plainly: AtomicBool::new(false),
            has_ranges: AtomicBool::new(false),
            is_lost: Arc::default(),
        }
    }

    /// The memory that all fills of the process share for bytes that wait for the disk.
    pub(crate) fn batches(&self) -> &Budget {
        &self.memory.batches
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn size(&self) -> Option<u64> {
        self.progress.borrow().size
    }

    /// Whether the upstream has begun to answer.
    fn has_answered(&self) -> bool {
        !matches!(self.progress.borrow().phase, Phase::Asking)
    }

    /// Waits until a reader may answer its client: the size is known or promised and, for a blob of up to
    /// `verify_first_bytes_max` bytes, the digest is verified. Returns the size.
    ///
    /// # Errors
    /// The fill's; [`PullError::UpstreamUnavailable`] as soon as it is clear that a blob is longer than that and that
    /// nobody tells how long.
    pub(crate) async fn ready(&self, verify_first_bytes_max: u64) -> Result<u64, PullError> {
        let mut progress = self.watch();
        let is_ready = |progress: &Progress| match progress.phase {
            Phase::Asking => false,
            Phase::Flowing => match (progress.size, progress.promised) {
                (Some(size), _) | (None, Promised::Size(size)) => size > verify_first_bytes_max,
                (None, Promised::Unasked) => false,
                (None, Promised::Untold) => self.received_bytes() > verify_first_bytes_max,
            },
            Phase::Verified | Phase::Failed(_) => true,
        };
        // The sender lives in this fill, which is borrowed here, so the wait cannot be orphaned.
        let progress = progress.wait_for(is_ready).await.map_err(|_| vanished())?;
        match &progress.phase {
            Phase::Failed(error) => Err(error.clone()),
            _ => match (progress.size, progress.promised) {
                (Some(size), _) | (None, Promised::Size(size)) => Ok(size),
                _ => Err(PullError::unavailable(
                    "the upstream does not tell the blob's size; it is fetched all the same, and can be pulled then",
                )),
            },
        }
    }

    fn promised(&self) -> Promised {
        self.progress.borrow().promised
    }

    /// What was found out about the size of a blob that comes without one.
    fn promise(&self, promised: Promised) {
        self.progress.send_modify(|progress| progress.promised = promised);
    }

    /// What is readable at `position`.
    pub(crate) fn available(&self, position: u64) -> Available {
        let relay = lock(&self.relay);
        // What was stored beyond the relay's beginning is not what the relay hashes.
        let stored_max = relay.as_ref().map_or(u64::MAX, |relay| relay.origin().saturating_sub(position));
        let stored = match self.content.get() {
            Some(Content::Held(blob)) => Some((blob.clone(), blob.size().saturating_sub(position))),
            Some(Content::Spool(spool)) => Some((spool.content(), spool.available_from(position))),
            None => None,
        };
        match (stored, &*relay) {
            (Some((blob, length)), _) if length.min(stored_max) > 0 => {
                Available::Stored(blob, length.min(stored_max))
            }
            (_, Some(relay)) => relay.available(position),
            _ => Available::Nothing,
        }
    }

    /// Where the relay began, if there is one.
    pub(crate) fn relay_origin(&self) -> Option<u64> {
        lock(&self.relay).as_ref().map(Relay::origin)
    }

    /// Whether the store failed and the bytes only pass through memory.
    pub(crate) fn is_relaying(&self) -> bool {
        lock(&self.relay).is_some()
    }

    /// The hash of the blob up to `position`, if that is where the relay began.
    fn hash_at_origin(&self, position: u64) -> Option<Hasher> {
        let relay = lock(&self.relay);
        let relay = relay.as_ref().filter(|relay| relay.origin() == position)?;
        Some(relay.origin_hash().clone())
    }

    /// The store failed: what comes from `start` on, where the blob has that hash, only passes through.
    fn begin_relay(&self, start: u64, hash: Hasher) {
        self.lose();
        *lock(&self.relay) = Some(Relay::new(start, hash, self.memory.windows.clone()));
    }

    /// Makes the fill ask for the whole blob only, or for parts again.
    fn ask_plainly(&self, is_asked_plainly: bool) {
        self.is_asked_plainly.store(is_asked_plainly, Ordering::Relaxed);
    }

    fn is_asked_plainly(&self) -> bool {
        self.is_asked_plainly.load(Ordering::Relaxed)
    }

    fn note_range(&self) {
        self.has_ranges.store(true, Ordering::Relaxed);
    }

    fn has_ranges(&self) -> bool {
        self.has_ranges.load(Ordering::Relaxed)
    }

    /// The store will not have the blob.
    fn lose(&self) {
        self.is_lost.store(true, Ordering::Relaxed);
    }

    /// What tells whether it is lost by then. It does not keep the fill.
    pub(crate) fn loss(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_lost)
    }

    /// Whether everything from `position` on is there or will come. A relay that has moved on has left a gap behind what
    /// was stored before.
    pub(crate) fn has_all_from(&self, position: u64) -> bool {
        lock(&self.relay).as_ref().is_none_or(|relay| relay.needed_by(position).is_some())
    }

    /// The blob turned out to be in the store. Readers may follow it; whether it is right is told later.
    fn hold(&self, blob: OpenBlob) {
        let size = blob.size();
        // A fill is given its content once, by its only writer.
        let _ = self.content.set(Content::Held(blob));
        self.flowing(Some(size));
    }

    /// Whether the bytes come from the store and not from the upstream.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.content.get(), Some(Content::Held(_)))
    }

    fn attach(&self, spool: Arc<Spool>) {
        let _ = self.content.set(Content::Spool(spool));
    }

    fn flowing(&self, size: Option<u64>) {
        self.progress.send_modify(|progress| {
            progress.size = progress.size.or(size);
            // The answer to a transfer beside the front may come when everything is over.
            if matches!(progress.phase, Phase::Asking) {
                progress.phase = Phase::Flowing;
            }
        });
    }

    fn set_size(&self, size: u64) {
        self.progress.send_modify(|progress| progress.size = Some(size));
    }

    fn verified(&self) {
        self.end(Phase::Verified);
    }

    fn fail(&self, error: PullError) {
        self.end(Phase::Failed(error));
    }

    fn end(&self, phase: Phase) {
        self.progress.send_modify(|progress| progress.phase = phase);
        self.drop_permit();
        // No upstream keeps anybody waiting any more, not even a reader who does not look.
        self.readers().iter().for_each(|reader| reader.stop_waiting());
    }

    /// Whether it ended, well or not.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.progress.borrow().phase, Phase::Verified | Phase::Failed(_))
    }

    /// Wakes the readers: more bytes are readable.
    fn publish(&self) {
        self.progress.send_modify(|_| {});
    }
}

/// What a reader is told when its writer is gone without a word.
fn vanished() -> PullError {
    PullError::unavailable("the transfer from the upstream was aborted")
}

/// The state behind these locks is changed in single steps, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
