//! A small blob on its way into the store: its bytes are collected in memory until they are complete and
//! verified, and then written to a file at once. A kill loses only bytes in memory; a client gets none before
//! they are in the file, which survives a kill.
//!
//! The bytes are moved to a file earlier when the blob turns out not to be small, when the memory for
//! collected blobs is used up, and when its transfer ends early.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use budget::{Budget, Share};
use bytes::Bytes;
use oci::{ByteRange, Digest, Hasher};
use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::batcher::Batcher;
use super::jobs::{Jobs, Sort};
use super::partial::Partial;
use super::partial_files::PartialFiles;
use super::resume::COLLECTED_BYTES_MAX;
use super::slots::{Slot, Tenant};
use crate::content::{ReadAt, SendAt, Validator};
use crate::error::{StoreError, StoreErrorKind};
use crate::extents::Extents;
use crate::growth::Growth;
use crate::pieces::Pieces;

/// The state that the collected blobs of one store share.
#[derive(Debug)]
pub(crate) struct Collecting {
    partial_files: Arc<PartialFiles>,
    /// The bound on their bytes in memory; `None`: they are written to files at once.
    pub(super) bytes: Option<Budget>,
    /// Places for blobs that are complete and not stored yet, each with an open file.
    pub(super) unstored: Arc<Semaphore>,
    /// The number of those places.
    unstored_count_max: Mutex<usize>,
    /// Complete blobs that wait to be written to files.
    spills: Arc<Batcher<Spill>>,
}

/// A complete blob that waits to be written to its file.
#[derive(Debug)]
struct Spill {
    collected: Arc<Collected>,
    responder: oneshot::Sender<Result<(), StoreError>>,
}

/// The bytes of one blob.
#[derive(Debug)]
pub(crate) struct Collected {
    digest: Digest,
    growth: Arc<Growth>,
    collecting: Arc<Collecting>,
    slot: Arc<Mutex<Slot>>,
    pieces: Pieces,
    /// The memory of the bytes. Locked while bytes are added to memory or moved to the file.
    memory: Mutex<Share>,
    file: OnceLock<Arc<Partial>>,
    /// Whether the bytes were deleted, and only current readers still need them.
    is_given_up: AtomicBool,
}

impl Collecting {
    pub(super) fn new(
        partial_files: Arc<PartialFiles>,
        bytes: Option<Budget>,
        unstored_count_max: usize,
    ) -> Self {
        let unstored = Arc::new(Semaphore::new(unstored_count_max));
        let unstored_count_max = Mutex::new(unstored_count_max);
        Self { partial_files, bytes, unstored, unstored_count_max, spills: Arc::default() }
    }

    /// Changes the bound on their bytes in memory, if this store collects blobs.
    pub(super) fn set_bytes_max(&self, bytes_max: u64) {
        if let Some(bytes) = &self.bytes {
            bytes.resize(bytes_max);
        }
    }

    /// Changes how many blobs may be complete and not stored yet. Lowering the bound does not take back
    /// places in use.
    pub(super) fn set_unstored_count_max(&self, count_max: usize) {
        let mut now = self.unstored_count_max.lock();
        if count_max >= *now {
            self.unstored.add_permits(count_max - *now);
            *now = count_max;
        } else {
            *now -= self.unstored.forget_permits(*now - count_max);
        }
    }

    /// Begins to collect a blob, whose slot the caller has locked. `None`: the memory for collected blobs is
    /// used up.
    pub(super) fn begin(
        self: &Arc<Self>,
        digest: &Digest,
        slot: &Arc<Mutex<Slot>>,
    ) -> Option<Arc<Collected>> {
        let share = self.bytes.as_ref()?.take(0)?;
        Some(Arc::new(Collected {
            digest: digest.clone(),
            growth: Arc::new(Growth::new(Extents::default(), None)),
            collecting: Arc::clone(self),
            slot: Arc::clone(slot),
            pieces: Pieces::default(),
            memory: Mutex::new(share),
            file: OnceLock::new(),
            is_given_up: AtomicBool::new(false),
        }))
    }
}

/// Writes all blobs that wait to their files, and those that arrive meanwhile.
fn spill_all(spills: &Batcher<Spill>) {
    loop {
        let waiting = spills.take();
        if waiting.is_empty() {
            return;
        }
        let spill = |Spill { collected, responder }: Spill| (collected.spill(false), responder);
        // Replies are sent together, so that threads are woken once.
        let spilled: Vec<_> = waiting.into_iter().map(spill).collect();
        for (spilled, responder) in spilled {
            // The caller may have dropped its future.
            let _ = responder.send(spilled);
        }
    }
}

impl Collected {
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(crate) fn growth(&self) -> &Arc<Growth> {
        &self.growth
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        self.collecting.partial_files.jobs()
    }

    /// The file with the bytes; `None`: they are in memory.
    pub(crate) fn file(&self) -> Option<&Arc<Partial>> {
        self.file.get()
    }

    pub(crate) fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// Marks the bytes in memory as deleted, so that they are never written to a file.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    /// Admits `len` more bytes, the last of them before offset `end`, to memory. While the guard is held, no
    /// bytes are moved to the file. `None`: they must be written to the file.
    pub(crate) fn admit(&self, len: u64, end: u64) -> Option<MutexGuard<'_, Share>> {
        let end = end.max(self.growth.size().unwrap_or(0));
        let mut share = self.memory.lock();
        let is_taken = end <= COLLECTED_BYTES_MAX && self.file.get().is_none() && {
            let bytes = share.bytes() + len;
            share.grow_to(bytes)
        };
        is_taken.then_some(share)
    }

    /// Moves the bytes to the file; blocks. With `note`, also writes the sidecar, which a complete blob does
    /// not need because its digest proves it.
    pub(crate) fn spill(&self, note: bool) -> Result<(), StoreError> {
        let slot = self.slot.lock();
        if self.file.get().is_none() && !slot.is_held_by(self) {
            return Err(self.is_gone());
        }
        self.spill_locked(note)
    }

    /// Waits for a place among the blobs that are complete and not stored yet.
    pub(crate) async fn take_place(&self) -> OwnedSemaphorePermit {
        let place = Arc::clone(&self.collecting.unstored).acquire_owned();
        place.await.expect("the semaphore is never closed")
    }

    /// Moves the complete and verified bytes to the file, off the runtime's threads. One job does it for all
    /// blobs that wait.
    pub(crate) async fn spill_whole(self: &Arc<Self>) -> Result<(), StoreError> {
        let (responder, response) = oneshot::channel();
        let spill = Spill { collected: Arc::clone(self), responder };
        let lead = |turn| {
            // Not the store: the last caller may want to open the root again.
            let (spills, jobs) = (Arc::clone(&self.collecting.spills), self.jobs().clone());
            async move {
                let spill = move || {
                    spill_all(&spills);
                    drop(turn);
                    Ok::<_, StoreError>(())
                };
                jobs.run(Sort::Cpu, spill).await
            }
        };
        let response = self.collecting.spills.add(spill, response, lead).await;
        response.unwrap_or_else(|| Err(StoreError::os("spawn_blocking", Path::new(""), Errno::CANCELED)))
    }

    /// Like [`spill`](Self::spill), for a caller that has locked the digest's slot and knows that this is its
    /// latest spool.
    fn spill_locked(&self, note: bool) -> Result<(), StoreError> {
        if self.file.get().is_some() {
            return Ok(());
        }
        if self.is_given_up.load(Ordering::Acquire) {
            return Err(self.is_gone());
        }
        let partial = self.collecting.partial_files.begin(&self.digest, Arc::clone(&self.growth))?;
        let mut share = self.memory.lock();
        let written = self.pieces.runs().iter().try_for_each(|(at, run)| partial.write(*at, run));
        // The sidecar lists only bytes that were written before.
        let noted =
            written.and_then(|()| if note { partial.note_progress(self.growth.has_holes()) } else { Ok(()) });
        if let Err(error) = noted {
            partial.delete();
            return Err(error);
        }
        // Only this line sets it, with the gate locked.
        let _ = self.file.set(Arc::new(partial));
        self.pieces.clear();
        share.shrink_to(0);
        Ok(())
    }

    fn is_gone(&self) -> StoreError {
        let reason = "the spool was discarded, or superseded by another one";
        StoreError::own(StoreErrorKind::Closed, "create", "memory", reason)
    }

    /// The bytes, while they are in memory.
    fn read_memory(&self, offset: u64, len: usize) -> Option<Bytes> {
        let is_in_memory = self.file.get().is_none();
        // Bytes that were moved meanwhile are read from the file.
        let read = is_in_memory.then(|| self.pieces.read(offset, len));
        read.filter(|bytes| !bytes.is_empty() || self.file.get().is_none())
    }

    fn source(&self) -> Option<Arc<dyn ReadAt>> {
        let file = self.file.get()?;
        Some(Arc::clone(file.source()) as Arc<dyn ReadAt>)
    }

    /// Reads bytes from memory or from the file; from the file, this blocks.
    pub(crate) fn read_blocking(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        match (self.read_memory(offset, len), self.file.get()) {
            (None, Some(file)) => file.source().read_blocking(offset, len),
            (read, _) => Ok(read.unwrap_or_default()),
        }
    }
}

impl Tenant for Collected {
    fn vacate(&self, is_resumable: bool) {
        if is_resumable && self.growth.written_bytes() > 0 {
            // If it fails, the bytes in memory are lost.
            let _ = self.spill_locked(true);
        }
        if let Some(file) = self.file.get() {
            file.vacate(is_resumable);
        }
    }
}

#[async_trait]
impl ReadAt for Collected {
    fn try_read(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
        match (self.read_memory(offset, len), self.file.get()) {
            (None, Some(file)) => file.source().try_read(offset, len),
            (read, _) => Ok(Some(read.unwrap_or_default())),
        }
    }

    async fn read(self: Arc<Self>, offset: u64, len: usize) -> io::Result<Bytes> {
        match (self.read_memory(offset, len), self.source()) {
            (None, Some(file)) => file.read(offset, len).await,
            (read, _) => Ok(read.unwrap_or_default()),
        }
    }

    async fn hash(self: Arc<Self>, mut hasher: Hasher, range: ByteRange) -> io::Result<Hasher> {
        let mut offset = range.start;
        while offset < range.end {
            if let Some(file) = self.source() {
                return file.hash(hasher, ByteRange { start: offset, ..range }).await;
            }
            // At most the size of a collected blob.
            match self.read_memory(offset, (range.end - offset) as usize) {
                Some(bytes) if bytes.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(bytes) => {
                    hasher.update(&bytes);
                    offset += bytes.len() as u64;
                }
                None => {}
            }
        }
        Ok(hasher)
    }

    async fn load(self: Arc<Self>, offset: u64, len: usize) -> io::Result<()> {
        match self.source() {
            Some(file) => file.load(offset, len).await,
            None => Ok(()),
        }
    }

    fn validator(&self, size: u64) -> Option<Validator> {
        self.file.get()?.source().validator(size)
    }

    fn as_file(&self) -> Option<&dyn SendAt> {
        self.file.get()?.source().as_file()
    }
}
