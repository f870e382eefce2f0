//! The only road from foreign bytes to stored content: written at any offset, hashed from the front, readable
//! meanwhile, and handed on only when the digest is right.

mod front;
pub(crate) mod growth;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use oci::{ByteRange, Digest, Hasher};
use tracing::debug;

use crate::error::{StoreError, StoreErrorKind, VerifyError};
use crate::fs::partial::Partial;
use crate::memory::pieces::Pieces;
use crate::open_blob::{OpenBlob, Signature};
use front::Front;
use growth::{Growth, Refusal, Unfinished};

/// How much one write hashes beyond its own bytes when it closes a hole. The rest is taken by later writes
/// and by the end, so that no write takes long.
const CATCH_UP_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Unverified bytes on their way to becoming the content of a digest.
///
/// A spool that is dropped stays on disk, to be taken up by the next one for the digest.
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
    Memory(Arc<Pieces>),
}

/// A spool whose bytes are complete and have the digest they were asked by. Only [`Spool::finish`] makes one.
#[derive(Debug)]
pub struct VerifiedSpool {
    spool: Arc<Spool>,
    size: u64,
    signature: Option<Signature>,
}

impl Spool {
    /// A spool that keeps its bytes in memory. Its futures complete at once, on the caller's thread, so that
    /// simulated time and order stay in the caller's hands.
    pub fn in_memory(wanted: &Digest) -> Arc<Self> {
        Self::in_memory_with(wanted, Bytes::new(), None)
    }

    /// A spool in memory that already has `front`, its first bytes.
    pub(crate) fn in_memory_with(wanted: &Digest, front: Bytes, size: Option<u64>) -> Arc<Self> {
        let mut hasher = Hasher::new(wanted.algorithm());
        hasher.update(&front);
        let length = front.len() as u64;
        let pieces = Pieces::default();
        pieces.insert(0, front);
        Arc::new(Self {
            wanted: wanted.clone(),
            growth: Arc::new(Growth::new(length, size)),
            front: Mutex::new(Front::new(hasher, length)),
            backing: Backing::Memory(Arc::new(pieces)),
        })
    }

    /// A spool on a file whose first `front` bytes were hashed by `hasher`.
    pub(crate) fn on_file(wanted: &Digest, partial: Arc<Partial>, hasher: Hasher, front: u64) -> Arc<Self> {
        Arc::new(Self {
            wanted: wanted.clone(),
            growth: Arc::clone(partial.growth()),
            front: Mutex::new(Front::new(hasher, front)),
            backing: Backing::File(partial),
        })
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
        match &self.backing {
            Backing::File(partial) => partial.content(),
            Backing::Memory(pieces) => {
                OpenBlob::of_growing_memory(Arc::clone(pieces), Arc::clone(&self.growth))
            }
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
        match &self.backing {
            Backing::Memory(_) => self.write_now(offset, &batch),
            Backing::File(partial) => {
                let spool = Arc::clone(self);
                partial.jobs().busy(move || spool.write_now(offset, &batch)).await
            }
        }
    }

    fn write_now(&self, offset: u64, batch: &[Bytes]) -> Result<(), StoreError> {
        let len: u64 = batch.iter().map(|piece| piece.len() as u64).sum();
        let refused = |refusal| self.refused("write", refusal);
        let end = offset.checked_add(len).ok_or_else(|| refused(Refusal::Size))?;
        let claim = self.growth.claim(ByteRange { start: offset, end }).map_err(refused)?;
        let parts: Vec<_> =
            claim.ranges().iter().map(|range| (range.start, cut(offset, batch, *range))).collect();
        match &self.backing {
            Backing::File(partial) => {
                partial.note_progress(claim.is_scattered())?;
                parts.iter().try_for_each(|(start, pieces)| partial.write(*start, pieces))?;
            }
            Backing::Memory(memory) => {
                for (start, pieces) in &parts {
                    let mut at = *start;
                    for piece in pieces {
                        memory.insert(at, piece.clone());
                        at += piece.len() as u64;
                    }
                }
            }
        }
        claim.complete();
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
        let hashed = match &self.backing {
            Backing::Memory(_) => self.hash_front_now(),
            Backing::File(partial) => {
                let spool = Arc::clone(self);
                partial.jobs().read(move || spool.hash_front_now()).await
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

    /// The hash of the first bytes, and how many they are by now. Where writes came in order, these are all
    /// bytes before the first that was not written.
    pub fn front(&self) -> (Hasher, u64) {
        let front = self.lock_front();
        (front.hasher(), front.hashed())
    }

    /// Ends the writing: all of the `size` bytes must be there and have the digest.
    ///
    /// # Errors
    /// [`VerifyError::Incomplete`] leaves the spool as it is; after any other error it is deleted.
    pub async fn finish(self: Arc<Self>, size: u64) -> Result<VerifiedSpool, VerifyError> {
        match &self.backing {
            Backing::Memory(_) => self.finish_now(size),
            Backing::File(partial) => {
                let jobs = partial.jobs().clone();
                jobs.write(move || self.finish_now(size)).await
            }
        }
    }

    fn finish_now(self: Arc<Self>, size: u64) -> Result<VerifiedSpool, VerifyError> {
        match self.growth.finish(size) {
            Ok(()) => {}
            Err(Unfinished::Closed) => return Err(self.refused("finish", Refusal::Closed).into()),
            Err(Unfinished::Incomplete { missing }) => return Err(VerifyError::Incomplete { size, missing }),
            Err(Unfinished::TooLong { end }) => {
                self.delete();
                return Err(VerifyError::TooLong { size, end });
            }
        }
        // Taken when the last byte is written and before any is read back, so that a change from then on shows.
        let signature = self.content().verified(size).signature();
        let mut front = self.lock_front();
        let hashed = self.catch_up(&mut front, size);
        let found = front.hasher().finish();
        drop(front);
        if let Err(error) = hashed {
            self.delete();
            return Err(error.into());
        }
        if found != self.wanted {
            self.delete();
            return Err(VerifyError::Mismatch { wanted: self.wanted.clone(), found });
        }
        Ok(VerifiedSpool { spool: self, size, signature })
    }

    /// Gives the bytes up and deletes them; readers that have them open can finish. Nothing happens when the
    /// spool was finished, parked, or succeeded by another one.
    pub async fn discard(self: Arc<Self>) {
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
        self.end("park", |spool| match &spool.backing {
            Backing::File(partial) if spool.growth.close() => partial.park(),
            Backing::File(_) | Backing::Memory(_) => Ok(()),
        })
        .await;
    }

    async fn end(
        self: Arc<Self>,
        what: &'static str,
        end: impl FnOnce(&Self) -> Result<(), StoreError> + Send + 'static,
    ) {
        let ended = match &self.backing {
            Backing::Memory(_) => end(&self),
            Backing::File(partial) => {
                let jobs = partial.jobs().clone();
                let spool = Arc::clone(&self);
                jobs.write(move || end(&spool)).await
            }
        };
        if let Err(error) = ended {
            debug!(digest = %self.wanted, %error, "could not {what} the partial file");
        }
    }

    fn delete(&self) {
        if let Backing::File(partial) = &self.backing {
            partial.delete();
        }
    }

    /// The contiguous bytes in memory, for a successor; none: on disk, or no longer of use.
    pub(crate) fn retire_memory(&self) -> Option<Bytes> {
        match &self.backing {
            Backing::Memory(pieces) if self.growth.close() => {
                let len = usize::try_from(self.growth.watermark()).unwrap_or(usize::MAX);
                Some(pieces.read(0, len))
            }
            _ => None,
        }
    }

    fn refused(&self, call: &'static str, refusal: Refusal) -> StoreError {
        let (kind, reason) = match refusal {
            Refusal::Closed => (StoreErrorKind::Closed, "the spool takes no more"),
            Refusal::Size => (StoreErrorKind::Size, "contradicts the size that is on record"),
        };
        StoreError::own(kind, call, self.path(), reason)
    }

    fn path(&self) -> &Path {
        match &self.backing {
            Backing::File(partial) => partial.path(),
            Backing::Memory(_) => Path::new("memory"),
        }
    }

    fn lock_front(&self) -> MutexGuard<'_, Front> {
        // Should a panic have left hasher and length apart, the digest comes out wrong, which is refused.
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VerifiedSpool {
    /// The verified content.
    pub fn content(&self) -> OpenBlob {
        self.spool.content().verified(self.size)
    }

    /// The digest that it has.
    pub fn digest(&self) -> &Digest {
        &self.spool.wanted
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The signature of the file that was verified, under whatever name; none: as [`OpenBlob::signature`].
    pub fn signature(&self) -> Option<Signature> {
        self.signature
    }

    /// The file behind it; none: it is in memory.
    pub(crate) fn partial(&self) -> Option<&Arc<Partial>> {
        match &self.spool.backing {
            Backing::File(partial) => Some(partial),
            Backing::Memory(_) => None,
        }
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
