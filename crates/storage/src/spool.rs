//! The only road from foreign bytes to stored content: written at any offset, hashed from the front, readable
//! meanwhile, and handed on only when the digest is right.

mod finish;
mod front;
pub(crate) mod growth;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use oci::{ByteRange, Digest, Hasher};
use tracing::debug;

use crate::error::{StoreError, StoreErrorKind};
use crate::extents::Extents;
use crate::fs::collected::Collected;
use crate::fs::jobs::Jobs;
use crate::fs::partial::Partial;
use crate::memory::pieces::Pieces;
use crate::open_blob::OpenBlob;
use front::Front;
use growth::{Growth, Refusal};

pub use finish::VerifiedSpool;

/// How much one write hashes beyond its own bytes when it closes a hole. The rest is taken by later writes
/// and by the end, so that no write takes long.
const CATCH_UP_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What is hashed at once of what is read back while others wait for the disk.
const HASH_TURN_BYTES: u64 = 8 << 20;

/// Unverified bytes on their way to becoming the content of a digest.
///
/// A spool that is dropped stays on disk, to be taken up by the next one for the digest. Only the bytes of a small
/// blob (up to 256 KiB) may still be in memory then, and go.
#[derive(Debug)]
pub struct Spool {
    wanted: Digest,
    growth: Arc<Growth>,
    front: Mutex<Front>,
    backing: Backing,
}

#[derive(Debug)]
enum Backing {
    File(Arc<Partial>),
    /// In memory at first, and in a file later.
    Collected(Arc<Collected>),
    Memory(Arc<Pieces>),
}

/// Where the bytes are by now.
enum Place<'a> {
    File(&'a Arc<Partial>),
    Memory(&'a Pieces),
}

impl Spool {
    /// A spool that keeps its bytes in memory. Its futures complete at once, on the caller's thread, so that
    /// simulated time and order stay in the caller's hands.
    pub fn in_memory(wanted: &Digest) -> Arc<Self> {
        let growth = Growth::new(Extents::default(), None);
        Self::new(wanted, Arc::new(growth), Backing::Memory(Arc::default()))
    }

    /// A spool on a file. What is there already is not hashed yet.
    pub(crate) fn on_file(wanted: &Digest, partial: Arc<Partial>) -> Arc<Self> {
        Self::new(wanted, Arc::clone(partial.growth()), Backing::File(partial))
    }

    /// A spool that has its bytes in memory as long as they are few.
    pub(crate) fn collecting(wanted: &Digest, collected: Arc<Collected>) -> Arc<Self> {
        Self::new(wanted, Arc::clone(collected.growth()), Backing::Collected(collected))
    }

    fn new(wanted: &Digest, growth: Arc<Growth>, backing: Backing) -> Arc<Self> {
        let front = Mutex::new(Front::new(Hasher::new(wanted.algorithm())));
        Arc::new(Self { wanted: wanted.clone(), growth, front, backing })
    }

    /// The whole content's size in bytes, if it was ever told, by an earlier process too.
    pub fn size(&self) -> Option<u64> {
        self.growth.size()
    }

    /// Notes the whole content's size. It reaches the disk with the next write.
    ///
    /// # Errors
    /// [`StoreErrorKind::Size`] when it contradicts a size noted before or bytes already written;
    /// [`StoreErrorKind::Closed`] when the writing has ended.
    pub fn set_size(&self, size: u64) -> Result<(), StoreError> {
        self.growth.set_size(size).map_err(|refusal| self.refused("set_size", refusal))
    }

    /// The bytes written so far, readable while more are written and after the blob was admitted.
    pub fn content(&self) -> OpenBlob {
        let growth = || Arc::clone(&self.growth);
        match &self.backing {
            Backing::File(partial) => partial.content(),
            Backing::Collected(collected) => match collected.file() {
                Some(partial) => partial.content(),
                None => OpenBlob::of_collected(Arc::clone(collected), growth()),
            },
            Backing::Memory(pieces) => OpenBlob::of_growing_memory(Arc::clone(pieces), growth()),
        }
    }

    fn place(&self) -> Place<'_> {
        match &self.backing {
            Backing::File(partial) => Place::File(partial),
            Backing::Collected(collected) => {
                collected.file().map_or(Place::Memory(collected.pieces()), Place::File)
            }
            Backing::Memory(pieces) => Place::Memory(pieces),
        }
    }

    /// The file that the bytes are in; none: they are in memory.
    fn partial(&self) -> Option<&Arc<Partial>> {
        match self.place() {
            Place::File(partial) => Some(partial),
            Place::Memory(_) => None,
        }
    }

    /// Writes `batch`, one piece after the other, at `offset`, and hashes what has become contiguous. Several
    /// calls for different offsets may be under way at once. Bytes that were written before stay as they are.
    ///
    /// On a file this runs where blocking is allowed, and to its end even when the caller drops the future.
    ///
    /// # Errors
    /// Those of the disk, after which nothing of the batch counts as written; [`StoreErrorKind::Size`] when
    /// it reaches beyond the noted size; [`StoreErrorKind::Closed`] when the writing has ended.
    pub async fn write(self: &Arc<Self>, offset: u64, batch: Vec<Bytes>) -> Result<(), StoreError> {
        let jobs = match &self.backing {
            Backing::Memory(_) => return self.write_now(offset, &batch),
            Backing::File(partial) => partial.jobs(),
            Backing::Collected(collected) => {
                let len = batch.iter().map(|piece| piece.len() as u64).sum();
                if let Some(_gate) = collected.admit(len, offset.saturating_add(len)) {
                    return self.write_now(offset, &batch);
                }
                collected.jobs()
            }
        };
        let spool = Arc::clone(self);
        let write = move || {
            if let Backing::Collected(collected) = &spool.backing {
                collected.settle(true)?;
            }
            spool.write_now(offset, &batch)
        };
        jobs.busy(write).await
    }

    fn write_now(&self, offset: u64, batch: &[Bytes]) -> Result<(), StoreError> {
        let len: u64 = batch.iter().map(|piece| piece.len() as u64).sum();
        let refused = |refusal| self.refused("write", refusal);
        let end = offset.checked_add(len).ok_or_else(|| refused(Refusal::Size))?;
        let claim = self.growth.claim(ByteRange { start: offset, end }).map_err(refused)?;
        let parts: Vec<_> =
            claim.ranges().iter().map(|range| (range.start, cut(offset, batch, *range))).collect();
        match self.place() {
            Place::File(partial) => {
                partial.note_progress(claim.is_scattered())?;
                parts.iter().try_for_each(|(start, pieces)| partial.write(*start, pieces))?;
                claim.complete();
                partial.checkpoint();
            }
            Place::Memory(memory) => {
                memory.insert_all(&parts);
                claim.complete();
            }
        }
        self.hash(&parts)
    }

    /// Hashes `parts` where the front has reached them, and what lies behind them by reading it back.
    fn hash(&self, parts: &[(u64, Vec<Bytes>)]) -> Result<(), StoreError> {
        let watermark = self.growth.watermark();
        if parts.iter().all(|(start, _)| *start >= watermark) {
            return Ok(());
        }
        let mut front = self.lock_front();
        parts.iter().for_each(|(start, pieces)| front.absorb(*start, pieces));
        let until = watermark.min(front.hashed().saturating_add(CATCH_UP_BYTES_MAX));
        self.catch_up(&mut front, until)
    }

    fn catch_up(&self, front: &mut Front, until: u64) -> Result<(), StoreError> {
        let caught_up = front.catch_up(&self.content(), until);
        caught_up.map_err(|error| StoreError::io("pread", self.path(), &error))
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.growth.written_bytes() == 0
    }

    /// How many bytes are there from the beginning without a gap.
    pub fn watermark(&self) -> u64 {
        self.growth.watermark()
    }

    /// How many bytes can be read at `offset` without a gap.
    pub fn available_from(&self, offset: u64) -> u64 {
        self.growth.available_from(offset)
    }

    /// Which of the first `size` bytes are missing.
    pub fn gaps(&self, size: u64) -> Vec<ByteRange> {
        self.growth.gaps(size)
    }

    /// The hash of all bytes before the first that was not written, and how many they are: for going on without
    /// the store after it failed. Fewer, if what was written out of turn cannot be read back.
    pub async fn hash_front(self: &Arc<Self>) -> (Hasher, u64) {
        let hashed = match self.partial() {
            None => self.hash_front_now(),
            Some(partial) => {
                let spool = Arc::clone(self);
                partial.jobs().long(move || spool.hash_front_now()).await
            }
        };
        if let Err(error) = hashed {
            debug!(digest = %self.wanted, %error, "could not read back what was written");
        }
        self.front()
    }

    fn hash_front_now(&self) -> Result<(), StoreError> {
        let mut front = self.lock_front();
        self.catch_up(&mut front, self.watermark())
    }

    /// Hashes what is there from the beginning, in turns, so that other work on the disk comes in between.
    pub(crate) async fn hash_in_turns(self: &Arc<Self>) -> Result<(), StoreError> {
        while self.backlog_bytes() > 0 {
            match self.partial() {
                None => self.hash_front_now()?,
                Some(partial) => {
                    let spool = Arc::clone(self);
                    partial.jobs().long(move || spool.hash_turn()).await?;
                }
            }
        }
        Ok(())
    }

    fn hash_turn(&self) -> Result<(), StoreError> {
        let mut front = self.lock_front();
        let until = self.watermark().min(front.hashed().saturating_add(HASH_TURN_BYTES));
        self.catch_up(&mut front, until)
    }

    /// How many bytes from the beginning are there and not hashed yet.
    fn backlog_bytes(&self) -> u64 {
        self.watermark().saturating_sub(self.lock_front().hashed())
    }

    /// The hash of the first bytes, and how many they are by now. Where writes came in order, these are all
    /// bytes before the first that was not written.
    pub fn front(&self) -> (Hasher, u64) {
        let front = self.lock_front();
        (front.hasher(), front.hashed())
    }

    /// Gives the bytes up and deletes them; readers that have them open can finish. Nothing happens when the
    /// spool was finished, parked, or succeeded by another one.
    pub async fn discard(self: Arc<Self>) {
        if self.partial().is_none() {
            if self.growth.close() {
                self.delete();
            }
            return;
        }
        self.end("discard", |spool| {
            if spool.growth.close() {
                spool.delete();
            }
            Ok(())
        })
        .await;
    }

    /// Leaves what is there to a later process, made durable: for a graceful stop. Nothing happens when the
    /// spool was finished, discarded, or succeeded by another one.
    pub async fn park(self: Arc<Self>) {
        self.end("park", |spool| spool.put_away(Partial::park)).await;
    }

    /// Leaves what is there to a later spool, as long as the machine goes on: for a transfer that broke off.
    /// Nothing happens when the spool was finished, discarded, parked, or succeeded by another one.
    pub async fn leave(self: Arc<Self>) {
        self.end("note", |spool| spool.put_away(Partial::leave)).await;
    }

    /// Closes, and lets `keep` keep what is there, in a file.
    fn put_away(&self, keep: impl FnOnce(&Partial) -> Result<(), StoreError>) -> Result<(), StoreError> {
        if matches!(self.backing, Backing::Memory(_)) || !self.growth.close() {
            return Ok(());
        }
        if let Backing::Collected(collected) = &self.backing {
            collected.settle(true)?;
        }
        self.partial().map_or(Ok(()), |partial| keep(partial))
    }

    async fn end(
        self: Arc<Self>,
        what: &'static str,
        end: impl FnOnce(&Self) -> Result<(), StoreError> + Send + 'static,
    ) {
        let ended = match self.jobs() {
            None => end(&self),
            Some(jobs) => {
                let spool = Arc::clone(&self);
                jobs.write(move || end(&spool)).await
            }
        };
        if let Err(error) = ended {
            debug!(digest = %self.wanted, %error, "could not {what} the partial file");
        }
    }

    /// Where what may block is done; none: nothing here does.
    fn jobs(&self) -> Option<&Jobs> {
        match &self.backing {
            Backing::File(partial) => Some(partial.jobs()),
            Backing::Collected(collected) => Some(collected.jobs()),
            Backing::Memory(_) => None,
        }
    }

    fn delete(&self) {
        if let Backing::Collected(collected) = &self.backing {
            collected.give_up();
        }
        if let Some(partial) = self.partial() {
            partial.delete();
        }
    }

    /// A spool in memory that goes on with what this one has. None: that is of no use, or
    /// somebody counts on it, or it is on disk.
    pub(crate) fn succeeded_in_memory(&self) -> Option<Arc<Self>> {
        let Backing::Memory(pieces) = &self.backing else { return None };
        if !self.growth.close() {
            return None;
        }
        let growth = Growth::new(self.growth.settled(), self.growth.size());
        let successor = Self::new(&self.wanted, Arc::new(growth), Backing::Memory(Arc::clone(pieces)));
        successor.hash_front_now().ok()?;
        Some(successor)
    }

    fn refused(&self, call: &'static str, refusal: Refusal) -> StoreError {
        let (kind, reason) = match refusal {
            Refusal::Closed => (StoreErrorKind::Closed, "the spool takes no more"),
            Refusal::Size => (StoreErrorKind::Size, "contradicts the size that is on record"),
        };
        StoreError::own(kind, call, self.path(), reason)
    }

    fn path(&self) -> &Path {
        self.partial().map_or(Path::new("memory"), |partial| partial.path())
    }

    fn lock_front(&self) -> MutexGuard<'_, Front> {
        // Should a panic have left hasher and length apart, the digest comes out wrong, which is refused.
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those bytes of `batch`, which begins at `offset`, that lie in `range`.
fn cut(offset: u64, batch: &[Bytes], range: ByteRange) -> Vec<Bytes> {
    let mut pieces = Vec::with_capacity(batch.len());
    let mut start = offset;
    for piece in batch {
        let end = start + piece.len() as u64;
        let (first, behind) = (start.max(range.start), end.min(range.end));
        if first < behind {
            // Both lie within a piece in memory, so the differences fit.
            pieces.push(piece.slice((first - start) as usize..(behind - start) as usize));
        }
        start = end;
    }
    pieces
}

#[cfg(test)]
mod tests;
