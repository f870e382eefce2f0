//! A small blob on its way: its bytes stay in memory until they are all there and verified, and then go into a file
//! at once. A kill costs what was in memory; whoever is answered finds the file, which the kernel keeps.
//!
//! It turns into a file earlier when it turns out not to be small, when all that is collected takes enough memory, and
//! when its transfer ends before the blob does.

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
use super::slots::{Slot, Tenant};
use super::take_up::COLLECTED_BYTES_MAX;
use crate::content::{ReadAt, SendAt, Validator};
use crate::error::{StoreError, StoreErrorKind};
use crate::extents::Extents;
use crate::growth::Growth;
use crate::pieces::Pieces;

/// The state that the collected blobs of one store share.
#[derive(Debug)]
pub(crate) struct Collecting {
    partial_files: Arc<PartialFiles>,
    /// The bound on their bytes in memory; `None`: they go into files at once.
    pub(super) bytes: Option<Budget>,
    /// Places of those that are whole and not stored yet, each with an open file.
    pub(super) unstored: Arc<Semaphore>,
    /// How many such places there are.
    unstored_count_max: Mutex<usize>,
    /// Whole blobs that wait to be put into files.
    settles: Arc<Batcher<Settling>>,
}

/// One of them.
#[derive(Debug)]
struct Settling {
    collected: Arc<Collected>,
    tell: oneshot::Sender<Result<(), StoreError>>,
}

/// The bytes of one blob.
#[derive(Debug)]
pub(crate) struct Collected {
    digest: Digest,
    growth: Arc<Growth>,
    collecting: Arc<Collecting>,
    slot: Arc<Mutex<Slot>>,
    pieces: Pieces,
    /// Held by whoever puts bytes into memory, or takes them away to the file.
    gate: Mutex<Share>,
    file: OnceLock<Arc<Partial>>,
    /// Whether the bytes are of no use to anybody but those who read them already.
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
        Self { partial_files, bytes, unstored, unstored_count_max, settles: Arc::default() }
    }

    /// Changes the bound on their bytes in memory, in a store that collects at all.
    pub(super) fn set_bytes_max(&self, bytes_max: u64) {
        if let Some(bytes) = &self.bytes {
            bytes.resize(bytes_max);
        }
    }

    /// Changes how many may be whole and not stored yet. Places that are in use when the bound is lowered stay.
    pub(super) fn set_unstored_count_max(&self, count_max: usize) {
        let mut now = self.unstored_count_max.lock();
        if count_max >= *now {
            self.unstored.add_permits(count_max - *now);
            *now = count_max;
        } else {
            *now -= self.unstored.forget_permits(*now - count_max);
        }
    }

    /// Begins to collect a blob whose slot the caller has locked. `None`: all that is collected takes enough memory.
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
            gate: Mutex::new(share),
            file: OnceLock::new(),
            is_given_up: AtomicBool::new(false),
        }))
    }
}

/// Puts all that waits into files, and what comes meanwhile.
fn settle_all(settles: &Batcher<Settling>) {
    loop {
        let waiting = settles.take();
        if waiting.is_empty() {
            return;
        }
        let settle = |Settling { collected, tell }: Settling| (collected.settle(false), tell);
        // Told together, so that threads are woken once.
        let settled: Vec<_> = waiting.into_iter().map(settle).collect();
        for (settled, tell) in settled {
            // Nobody may wait for it any more.
            let _ = tell.send(settled);
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

    /// The file that the bytes have gone into; `None`: they are in memory.
    pub(crate) fn file(&self) -> Option<&Arc<Partial>> {
        self.file.get()
    }

    pub(crate) fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// Takes care that no file is made of what is in memory.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    /// Leave to put `len` more bytes into memory, of which the last comes before `end`; as long as it is held, they
    /// stay there. `None`: they belong into the file.
    pub(crate) fn admit(&self, len: u64, end: u64) -> Option<MutexGuard<'_, Share>> {
        let end = end.max(self.growth.size().unwrap_or(0));
        let mut share = self.gate.lock();
        let is_taken = end <= COLLECTED_BYTES_MAX && self.file.get().is_none() && {
            let bytes = share.bytes() + len;
            share.grow_to(bytes)
        };
        is_taken.then_some(share)
    }

    /// Moves the bytes into the file, where blocking is allowed. With `note`, also says beside it what is there: what
    /// is complete needs no note, for its digest tells.
    pub(crate) fn settle(&self, note: bool) -> Result<(), StoreError> {
        let slot = self.slot.lock();
        if self.file.get().is_none() && !slot.is_held_by(self) {
            return Err(self.is_gone());
        }
        self.settle_locked(note)
    }

    /// A place among the blobs that are whole and not stored yet, for as long as it is held.
    pub(crate) async fn take_place(&self) -> OwnedSemaphorePermit {
        let place = Arc::clone(&self.collecting.unstored).acquire_owned();
        place.await.expect("the semaphore is never closed")
    }

    /// Moves the bytes, which are whole and right, into the file, off the runtime's threads: one job takes all blobs
    /// that wait for that.
    pub(crate) async fn settle_whole(self: &Arc<Self>) -> Result<(), StoreError> {
        let (tell, told) = oneshot::channel();
        let settling = Settling { collected: Arc::clone(self), tell };
        let lead = |turn| {
            // Not the store: whoever is told last may want to open the root anew.
            let (settles, jobs) = (Arc::clone(&self.collecting.settles), self.jobs().clone());
            async move {
                let settle = move || {
                    settle_all(&settles);
                    drop(turn);
                    Ok::<_, StoreError>(())
                };
                jobs.run(Sort::Cpu, settle).await
            }
        };
        let told = self.collecting.settles.add(settling, told, lead).await;
        told.unwrap_or_else(|| Err(StoreError::os("spawn_blocking", Path::new(""), Errno::CANCELED)))
    }

    /// As [`settle`](Self::settle), for who has locked the digest's slot and knows that this is its latest spool.
    fn settle_locked(&self, note: bool) -> Result<(), StoreError> {
        if self.file.get().is_some() {
            return Ok(());
        }
        if self.is_given_up.load(Ordering::Acquire) {
            return Err(self.is_gone());
        }
        let partial = self.collecting.partial_files.begin(&self.digest, Arc::clone(&self.growth))?;
        let mut share = self.gate.lock();
        let written = self.pieces.runs().iter().try_for_each(|(at, run)| partial.write(*at, run));
        // What is listed was written before.
        let noted =
            written.and_then(|()| if note { partial.note_progress(self.growth.has_holes()) } else { Ok(()) });
        if let Err(error) = noted {
            partial.delete();
            return Err(error);
        }
        // Only this sets it, with the gate held.
        let _ = self.file.set(Arc::new(partial));
        self.pieces.clear();
        share.shrink_to(0);
        Ok(())
    }

    fn is_gone(&self) -> StoreError {
        let reason = "the spool was given up, or succeeded by another one";
        StoreError::own(StoreErrorKind::Closed, "create", "memory", reason)
    }

    /// The bytes, as long as they are in memory.
    fn read_memory(&self, offset: u64, len: usize) -> Option<Bytes> {
        let is_in_memory = self.file.get().is_none();
        // What has gone into a file meanwhile is read there.
        let read = is_in_memory.then(|| self.pieces.read(offset, len));
        read.filter(|bytes| !bytes.is_empty() || self.file.get().is_none())
    }

    fn source(&self) -> Option<Arc<dyn ReadAt>> {
        let file = self.file.get()?;
        Some(Arc::clone(file.source()) as Arc<dyn ReadAt>)
    }

    /// Reads bytes wherever they are by now; where they are in a file, this blocks.
    pub(crate) fn read_blocking(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        match (self.read_memory(offset, len), self.file.get()) {
            (None, Some(file)) => file.source().read_blocking(offset, len),
            (read, _) => Ok(read.unwrap_or_default()),
        }
    }
}

impl Tenant for Collected {
    fn vacate(&self, may_be_gone_on_with: bool) {
        if may_be_gone_on_with && self.growth.written_bytes() > 0 {
            // A failure costs what was in memory.
            let _ = self.settle_locked(true);
        }
        if let Some(file) = self.file.get() {
            file.vacate(may_be_gone_on_with);
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
            // At most a collected blob.
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
