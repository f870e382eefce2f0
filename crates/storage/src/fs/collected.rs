//! A small blob on its way: its bytes stay in memory until they are all there and verified, and then go into a file
//! at once. A kill costs what was in memory; whoever is answered finds the file, which the kernel keeps.
//!
//! It turns into a file earlier when it turns out not to be small, when all that is collected takes enough memory, and
//! when its transfer ends before the blob does.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use budget::Share;
use oci::Digest;
use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::jobs::Jobs;
use super::partial::{Partial, Workshop};
use super::slots::{self, Slot};
use super::together::Together;
use crate::error::{StoreError, StoreErrorKind};
use crate::extents::Extents;
use crate::memory::pieces::Pieces;
use crate::spool::growth::Growth;

/// A blob up to this size is collected. Of such a one no client gets a byte before its digest is right.
pub(crate) const COLLECTED_BYTES_MAX: u64 = 256 * 1024;

/// Whole blobs that wait to be put into files.
pub(crate) type Settles = Together<Settling>;

/// One of them.
#[derive(Debug)]
pub(crate) struct Settling {
    collected: Arc<Collected>,
    tell: oneshot::Sender<Result<(), StoreError>>,
}

/// The bytes of one blob.
#[derive(Debug)]
pub(crate) struct Collected {
    digest: Digest,
    growth: Arc<Growth>,
    workshop: Workshop,
    slot: Arc<Mutex<Slot>>,
    pieces: Pieces,
    /// Held by whoever puts bytes into memory, or takes them away to the file.
    gate: Mutex<Share>,
    file: OnceLock<Arc<Partial>>,
    /// Whether the bytes are of no use to anybody but those who read them already.
    is_given_up: AtomicBool,
}

impl Collected {
    pub(super) fn new(workshop: &Workshop, digest: &Digest, slot: Arc<Mutex<Slot>>, share: Share) -> Self {
        Self {
            digest: digest.clone(),
            growth: Arc::new(Growth::new(Extents::default(), None)),
            workshop: workshop.clone(),
            slot,
            pieces: Pieces::default(),
            gate: Mutex::new(share),
            file: OnceLock::new(),
            is_given_up: AtomicBool::new(false),
        }
    }

    pub(crate) fn growth(&self) -> &Arc<Growth> {
        &self.growth
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.workshop.jobs
    }

    /// The file that the bytes have gone into; none: they are in memory.
    pub(crate) fn file(&self) -> Option<&Arc<Partial>> {
        self.file.get()
    }

    /// No file is made of what is in memory.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    pub(crate) fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// Leave to put `len` more bytes into memory, of which the last comes before `end`; as long as it is held, they
    /// stay there. None: they belong into the file.
    pub(crate) fn admit(&self, len: u64, end: u64) -> Option<MutexGuard<'_, Share>> {
        let end = end.max(self.growth.size().unwrap_or(0));
        let mut share = self.gate();
        let is_taken = end <= COLLECTED_BYTES_MAX && self.file.get().is_none() && {
            let bytes = share.bytes() + len;
            share.grow_to(bytes)
        };
        is_taken.then_some(share)
    }

    /// Moves the bytes into the file, where blocking is allowed. With `note`, also says beside it what is there: what
    /// is complete needs no note, for its digest tells.
    pub(crate) fn settle(&self, note: bool) -> Result<(), StoreError> {
        self.settle_in(&mut slots::lock(&self.slot), note)
    }

    /// A place among the blobs that are whole and not stored yet, for as long as it is held.
    pub(crate) async fn take_place(&self) -> OwnedSemaphorePermit {
        let place = Arc::clone(&self.workshop.unstored).acquire_owned();
        place.await.expect("the semaphore is never closed")
    }

    /// Moves the bytes, which are whole and right, into the file, off the runtime's threads: one job takes all blobs
    /// that wait for that.
    pub(crate) async fn settle_whole(self: &Arc<Self>) -> Result<(), StoreError> {
        let (tell, told) = oneshot::channel();
        let settling = Settling { collected: Arc::clone(self), tell };
        let lead = |turn| {
            let (settles, jobs) = (Arc::clone(&self.workshop.settles), self.jobs().clone());
            async move {
                let settle = move || {
                    settle_all(&settles);
                    drop(turn);
                    Ok::<_, StoreError>(())
                };
                jobs.busy(settle).await
            }
        };
        let told = self.workshop.settles.add(settling, told, lead).await;
        told.unwrap_or_else(|| Err(StoreError::os("spawn_blocking", Path::new(""), Errno::CANCELED)))
    }

    /// As [`settle`](Self::settle), for who has locked the digest's slot.
    pub(super) fn settle_in(&self, slot: &mut Slot, note: bool) -> Result<(), StoreError> {
        if self.file.get().is_some() {
            return Ok(());
        }
        if !slot.is_collecting(self) || self.is_given_up.load(Ordering::Acquire) {
            let reason = "the spool was given up, or succeeded by another one";
            return Err(StoreError::own(StoreErrorKind::Closed, "create", Path::new("memory"), reason));
        }
        let partial = Arc::new(self.workshop.begin(&self.digest, Arc::clone(&self.growth))?);
        let mut share = self.gate();
        let written = self.pieces.runs().iter().try_for_each(|(at, run)| partial.write(*at, run));
        // What is listed was written before.
        let noted =
            written.and_then(|()| if note { partial.note_progress(self.growth.has_holes()) } else { Ok(()) });
        if let Err(error) = noted {
            partial.delete();
            return Err(error);
        }
        slot.hold_file_of_collected(&partial);
        // Only this sets it, with the gate held.
        let _ = self.file.set(partial);
        self.pieces.clear();
        share.shrink_to(0);
        Ok(())
    }

    fn gate(&self) -> MutexGuard<'_, Share> {
        // What a panic in between would leave is counted with the next step.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts all that waits into files, and what comes meanwhile.
fn settle_all(settles: &Settles) {
    loop {
        let waiting = settles.take();
        if waiting.is_empty() {
            return;
        }
        // Told together, so that threads are woken once.
        let settled: Vec<_> =
            waiting.into_iter().map(|Settling { collected, tell }| (collected.settle(false), tell)).collect();
        for (settled, tell) in settled {
            // Nobody may wait for it any more.
            let _ = tell.send(settled);
        }
    }
}

/// Whether a file of `len` bytes may be a whole blob that was collected.
pub(super) fn may_be_whole(len: u64) -> bool {
    (1..=COLLECTED_BYTES_MAX).contains(&len)
}
