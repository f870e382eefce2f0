//! The only way from foreign bytes to stored content. A spool is written at any offset, hashed from its
//! beginning, readable meanwhile, and passed on only if the digest is right.

pub(crate) mod backing;
pub(crate) mod finish;
mod front;

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use oci::{ByteRange, Digest, Hasher};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tracing::debug;

use crate::content::OpenBlob;
use crate::error::{StoreError, StoreErrorKind};
use crate::growth::{Growth, Refusal};
use backing::{Backing, Work};
use front::Front;

/// Bytes that one write hashes beyond its own when it closes a hole. Later writes and the end hash the rest,
/// so that no write takes long.
const CATCH_UP_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes that are read back and hashed in one job, so that other jobs of the disk get a turn.
const HASH_TURN_BYTES: u64 = 8 << 20;

/// The unverified bytes of a blob.
///
/// The file of a dropped spool stays, and the next spool for the digest resumes it. Only a small blob (up to
/// 256 KiB) may still be in memory then, and its bytes are lost.
#[derive(Debug)]
pub struct Spool {
    wanted: Digest,
    growth: Arc<Growth>,
    front: Mutex<Front>,
    backing: Arc<dyn Backing>,
}

impl Spool {
    /// A spool over `backing`, in which `growth` says which bytes exist. Those are not hashed yet.
    pub(crate) fn new(wanted: &Digest, growth: Arc<Growth>, backing: Arc<dyn Backing>) -> Arc<Self> {
        let front = Mutex::new(Front::new(Hasher::new(wanted.algorithm())));
        Arc::new(Self { wanted: wanted.clone(), growth, front, backing })
    }

    /// The whole content's size in bytes, if it was ever set, even by an earlier process.
    pub fn size(&self) -> Option<u64> {
        self.growth.size()
    }

    /// Sets the whole content's size. The next write records it in the sidecar.
    ///
    /// # Errors
    /// [`StoreErrorKind::Size`] when it contradicts the size set before or bytes already written;
    /// [`StoreErrorKind::Closed`] when the writing has ended.
    pub fn set_size(&self, size: u64) -> Result<(), StoreError> {
        self.growth.set_size(size).map_err(|refusal| self.refused("set_size", refusal))
    }

    /// The bytes written so far; readable while more are written and after the blob was admitted.
    pub fn content(&self) -> OpenBlob {
        OpenBlob::growing(Arc::clone(&self.backing).source(), Arc::clone(&self.growth))
    }

    /// Writes the consecutive pieces of `batch` at `offset`, and hashes the bytes that have become
    /// contiguous. Calls for different offsets may run at the same time. Bytes that were written before are
    /// not overwritten.
    ///
    /// Blocking work runs off the runtime's threads, and to its end even when the caller drops the future.
    ///
    /// # Errors
    /// I/O errors, after which no byte of the batch counts as written; [`StoreErrorKind::Size`] when it
    /// reaches beyond the size; [`StoreErrorKind::Closed`] when the writing has ended.
    pub async fn write(self: &Arc<Self>, offset: u64, batch: Vec<Bytes>) -> Result<(), StoreError> {
        if let Some(written) = self.write_inline(offset, &batch) {
            return written;
        }
        let write = move |spool: &Arc<Self>| {
            spool.backing.spill()?;
            spool.write_blocking(offset, &batch)
        };
        self.run(Work::Write, write).await
    }

    fn write_inline(&self, offset: u64, batch: &[Bytes]) -> Option<Result<(), StoreError>> {
        let len = batch.iter().map(|piece| piece.len() as u64).sum();
        let mut write = || self.write_blocking(offset, batch);
        self.backing.write_inline(len, offset.saturating_add(len), &mut write)
    }

    fn write_blocking(&self, offset: u64, batch: &[Bytes]) -> Result<(), StoreError> {
        let len: u64 = batch.iter().map(|piece| piece.len() as u64).sum();
        let refused = |refusal| self.refused("write", refusal);
        let end = offset.checked_add(len).ok_or_else(|| refused(Refusal::Size))?;
        let claim = self.growth.claim(ByteRange { start: offset, end }).map_err(refused)?;
        let parts: Vec<_> =
            claim.ranges().iter().map(|range| (range.start, cut(offset, batch, *range))).collect();
        self.backing.note_progress(claim.is_scattered())?;
        parts.iter().try_for_each(|(start, pieces)| self.backing.write_at(*start, pieces))?;
        claim.complete();
        self.backing.checkpoint();
        self.hash(&parts)
    }

    /// Takes the first `size` bytes of `file` without copying them: both files share their blocks on disk,
    /// until one of them is written. Returns false where the bytes must be written instead: the file system
    /// cannot share blocks, the files are on two of them, or some bytes are here already. The bytes are
    /// hashed when the spool is finished.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn share(self: &Arc<Self>, file: Arc<File>, size: u64) -> Result<bool, StoreError> {
        self.run(Work::Write, move |spool: &Arc<Self>| spool.share_blocking(&file, size)).await
    }

    fn share_blocking(&self, file: &File, size: u64) -> Result<bool, StoreError> {
        let whole = ByteRange { start: 0, end: size };
        if !self.is_empty() || size == 0 {
            return Ok(false);
        }
        let claim = self.growth.claim(whole).map_err(|refusal| self.refused("write", refusal))?;
        if claim.ranges() != [whole] {
            return Ok(false);
        }
        self.backing.spill()?;
        self.backing.note_progress(false)?;
        let is_whole = self.backing.share(file)?.is_some_and(|len| len >= size);
        if is_whole {
            claim.complete();
        }
        Ok(is_whole)
    }

    /// Hashes `parts` if the front has reached them, and then reads back and hashes the bytes after them.
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
        let caught_up = front.catch_up(&*self.backing, until);
        caught_up.map_err(|error| StoreError::new(StoreErrorKind::Io, "pread", self.backing.target(), error))
    }

    /// Whether no byte is written.
    pub fn is_empty(&self) -> bool {
        self.growth.written_bytes() == 0
    }

    /// The length of the contiguous beginning.
    pub fn watermark(&self) -> u64 {
        self.growth.watermark()
    }

    /// The number of contiguous bytes at `offset`.
    pub fn available_from(&self, offset: u64) -> u64 {
        self.growth.available_from(offset)
    }

    /// The missing ranges of the first `size` bytes.
    pub fn gaps(&self, size: u64) -> Vec<ByteRange> {
        self.growth.gaps(size)
    }

    /// The hash of the contiguous beginning, and its length: for continuing without the store after it
    /// failed. It covers less if bytes that were written out of order cannot be read back.
    pub async fn hash_front(self: &Arc<Self>) -> (Hasher, u64) {
        if let Err(error) = self.run(Work::ReadBack, |spool| spool.hash_front_blocking()).await {
            debug!(digest = %self.wanted, %error, "could not read back written bytes");
        }
        self.front()
    }

    fn hash_front_blocking(&self) -> Result<(), StoreError> {
        let mut front = self.lock_front();
        self.catch_up(&mut front, self.watermark())
    }

    /// Hashes the contiguous beginning in several jobs, so that other jobs of the disk get a turn.
    pub(crate) async fn hash_in_turns(self: &Arc<Self>) -> Result<(), StoreError> {
        while self.backlog_bytes() > 0 {
            self.run(Work::ReadBack, |spool| spool.hash_turn()).await?;
        }
        Ok(())
    }

    fn hash_turn(&self) -> Result<(), StoreError> {
        let mut front = self.lock_front();
        let until = self.watermark().min(front.hashed().saturating_add(HASH_TURN_BYTES));
        self.catch_up(&mut front, until)
    }

    /// How many bytes of the contiguous beginning are not hashed yet.
    fn backlog_bytes(&self) -> u64 {
        self.watermark().saturating_sub(self.lock_front().hashed())
    }

    /// The hash of the first bytes, and how many it covers by now. If all writes came in order, it covers the
    /// whole contiguous beginning.
    pub fn front(&self) -> (Hasher, u64) {
        let front = self.lock_front();
        (front.hasher(), front.hashed())
    }

    /// Deletes the bytes; readers that have them open can finish. Has no effect when the spool was finished,
    /// parked, or superseded by another one.
    pub async fn discard(self: Arc<Self>) {
        let delete = |spool: &Arc<Self>| {
            if spool.growth.close() {
                spool.backing.delete();
            }
            Ok(())
        };
        self.end("discard", Work::Delete, delete).await;
    }

    /// Makes the written bytes durable for a later process: for a graceful stop. Has no effect when the spool
    /// was finished, discarded, or superseded by another one.
    pub async fn park(self: Arc<Self>) {
        let park = |spool: &Arc<Self>| if spool.growth.close() { spool.backing.park() } else { Ok(()) };
        self.end("park", Work::Cached, park).await;
    }

    /// Leaves the written bytes to a later spool, until the machine restarts: for a transfer that broke off.
    /// Has no effect when the spool was finished, discarded, parked, or superseded by another one.
    pub async fn leave(self: Arc<Self>) {
        let leave = |spool: &Arc<Self>| if spool.growth.close() { spool.backing.leave() } else { Ok(()) };
        self.end("leave", Work::Cached, leave).await;
    }

    async fn end(
        self: Arc<Self>,
        what: &'static str,
        work: Work,
        end: impl FnOnce(&Arc<Self>) -> Result<(), StoreError> + Send + 'static,
    ) {
        if let Err(error) = self.run(work, end).await {
            debug!(digest = %self.wanted, %error, "could not {what} the partial file");
        }
    }

    /// Runs a job where the backing wants it.
    async fn run<T, E>(
        self: &Arc<Self>,
        work: Work,
        job: impl FnOnce(&Arc<Self>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if self.backing.runs_inline(work) {
            return job(self);
        }
        let (responder, response) = oneshot::channel();
        let spool = Arc::clone(self);
        let job = move || {
            // The caller may have dropped its future.
            let _ = responder.send(job(&spool));
        };
        self.backing.run(work, Box::new(job)).await?;
        response.await.unwrap_or_else(|_| Err(self.refused("spawn_blocking", Refusal::Closed).into()))
    }

    fn refused(&self, call: &'static str, refusal: Refusal) -> StoreError {
        let (kind, reason) = match refusal {
            Refusal::Closed => (StoreErrorKind::Closed, "the spool accepts no more bytes"),
            Refusal::Size => (StoreErrorKind::Size, "contradicts the recorded size"),
        };
        StoreError::own(kind, call, self.backing.target(), reason)
    }

    fn lock_front(&self) -> MutexGuard<'_, Front> {
        // If a panic has left hasher and length inconsistent, the digest comes out wrong and is refused.
        self.front.lock()
    }
}

/// The bytes of `batch`, which begins at `offset`, within `range`.
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
