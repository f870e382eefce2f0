//! Content that can be read: from a file or from memory, verified or still growing.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;
use oci::{Algorithm, Digest, Hasher};
use rustix::io::Errno;

use crate::buffer_pool::{BUFFER_BYTES, BufferPool};
use crate::error::StoreError;
use crate::fs::collected::Collected;
use crate::fs::disk::Disk;
use crate::fs::jobs::Jobs;
use crate::memory::pieces::Pieces;
use crate::spool::growth::Growth;

/// Readable content; cheap to clone. It stays readable when its name is removed from the store meanwhile.
///
/// Bytes that can be read never change. A read never returns bytes that were not written: not even of a
/// growing file with holes.
#[derive(Clone, Debug)]
pub struct OpenBlob {
    source: Source,
    bound: Bound,
}

#[derive(Clone, Debug)]
enum Source {
    File(Arc<FileAccess>, Arc<File>),
    /// In memory at first, and in a file later.
    Collected(Arc<Collected>),
    Memory(Arc<Pieces>),
}

/// Where the bytes are by now.
enum Place<'a> {
    File(&'a Arc<FileAccess>, &'a Arc<File>),
    Memory(&'a Pieces),
}

/// How far apart bytes are that tell whether those between them are in memory.
const SAMPLE_STEP_BYTES: usize = 128 * 1024;

/// What is hashed in one turn, and read at once for it, in bytes.
const HASH_TURN_BYTES: u64 = 8 << 20;
const HASH_READ_BYTES: usize = 1 << 20;

/// A file's identity, size and times of last change: of its bytes, and of anything about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    numbers: [i128; 2],
    written: [i128; 2],
    changed: [i128; 2],
}

impl Signature {
    /// Whether nobody has written to the file in between. Another name is no other content.
    pub fn has_bytes_of(&self, other: &Self) -> bool {
        (self.numbers, self.written) == (other.numbers, other.written)
    }
}

/// What reading the files of one store takes.
#[derive(Debug, Default)]
pub(crate) struct FileAccess {
    pub(crate) disk: Disk,
    pub(crate) buffers: Arc<BufferPool>,
    pub(crate) jobs: Jobs,
    /// Whether the file system can hand bytes to a socket.
    pub(crate) can_send: bool,
    /// Whether opening what the kernel has in memory asks nobody else.
    pub(crate) is_local: bool,
    /// Whether one call makes all that was written to the file system durable.
    pub(crate) syncs_together: bool,
}

/// Up to where there is anything to read.
#[derive(Clone, Debug)]
enum Bound {
    Verified(u64),
    Growing(Arc<Growth>),
}

impl OpenBlob {
    /// The verified content of a file of `size` bytes.
    pub(crate) fn of_file(access: Arc<FileAccess>, file: Arc<File>, size: u64) -> Self {
        Self { source: Source::File(access, file), bound: Bound::Verified(size) }
    }

    /// A file that is being written.
    pub(crate) fn of_growing_file(access: Arc<FileAccess>, file: Arc<File>, growth: Arc<Growth>) -> Self {
        Self { source: Source::File(access, file), bound: Bound::Growing(growth) }
    }

    /// Memory that is being written.
    pub(crate) fn of_growing_memory(pieces: Arc<Pieces>, growth: Arc<Growth>) -> Self {
        Self { source: Source::Memory(pieces), bound: Bound::Growing(growth) }
    }

    /// What is collected in memory, to go into a file.
    pub(crate) fn of_collected(collected: Arc<Collected>, growth: Arc<Growth>) -> Self {
        Self { source: Source::Collected(collected), bound: Bound::Growing(growth) }
    }

    fn place(&self) -> Place<'_> {
        match &self.source {
            Source::File(access, file) => Place::File(access, file),
            Source::Collected(collected) => match collected.file() {
                Some(partial) => Place::File(partial.access(), partial.file()),
                None => Place::Memory(collected.pieces()),
            },
            Source::Memory(pieces) => Place::Memory(pieces),
        }
    }

    /// The bytes of [`place`](Self::place) where that is memory. What has gone into a file meanwhile is read there.
    fn read_memory(&self, pieces: &Pieces, offset: u64, len: usize) -> io::Result<Bytes> {
        let bytes = pieces.read(offset, len);
        match self.place() {
            Place::File(access, file) if bytes.is_empty() => read_file(access, file, offset, len),
            _ => Ok(bytes),
        }
    }

    /// The same content, once all of its `size` bytes are verified.
    pub(crate) fn verified(&self, size: u64) -> Self {
        Self { source: self.source.clone(), bound: Bound::Verified(size) }
    }

    /// The content's size in bytes. Of content still growing: the size that it is to have, or as long as
    /// that is unknown, how many bytes it has from its beginning.
    pub fn size(&self) -> u64 {
        match &self.bound {
            Bound::Verified(size) => *size,
            Bound::Growing(growth) => growth.size().unwrap_or_else(|| growth.watermark()),
        }
    }

    /// What the file system says of the file's bytes: whoever changes them by any of its calls changes this
    /// too. None: the content is in memory, the file system does not say, or the file is no longer as long as
    /// this content.
    pub fn signature(&self) -> Option<Signature> {
        let Place::File(_, file) = self.place() else { return None };
        let stat = rustix::fs::fstat(file).ok()?;
        // The fields' widths differ between machines.
        let numbers = [i128::from(stat.st_ino), i128::from(stat.st_size)];
        let written = [i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec)];
        let changed = [i128::from(stat.st_ctime), i128::from(stat.st_ctime_nsec)];
        (i128::from(stat.st_size) == i128::from(self.size())).then_some(Signature {
            numbers,
            written,
            changed,
        })
    }

    /// Whether reads never wait for a disk, so that even [`read_blocking`](Self::read_blocking) may be called
    /// on a runtime's thread.
    pub fn read_is_inline(&self) -> bool {
        matches!(self.source, Source::Memory(_))
    }

    /// Reads up to `len_max` bytes at `offset` (of a file: at most 64 KiB, into a pooled buffer) as far as
    /// that takes no waiting for the disk (`preadv2` with `RWF_NOWAIT`).
    ///
    /// `Ok(None)`: it would have to wait, so [`read_blocking`](Self::read_blocking) is next. Empty bytes: the
    /// end of what there is to read.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn try_read(&self, offset: u64, len_max: usize) -> io::Result<Option<Bytes>> {
        let len = self.readable(offset, len_max);
        if len == 0 {
            return Ok(Some(Bytes::new()));
        }
        match self.place() {
            Place::Memory(pieces) => self.read_memory(pieces, offset, len).map(Some),
            Place::File(access, file) => try_read_file(access, file, offset, len.min(BUFFER_BYTES)),
        }
    }

    /// Reads up to `len_max` bytes at `offset`, off the runtime's threads and within the bound on this store's
    /// jobs; from memory at once.
    ///
    /// # Errors
    /// As [`read_blocking`](Self::read_blocking).
    pub async fn read(&self, offset: u64, len_max: usize) -> io::Result<Bytes> {
        self.job(move |blob| blob.read_blocking(offset, len_max)).await
    }

    /// Whether [`send`](Self::send) works here: the content is in a file, on a file system that can do it.
    pub fn can_send(&self) -> bool {
        matches!(self.place(), Place::File(access, _) if access.can_send)
    }

    /// Whether sending these bytes would not wait for the disk, as far as samples tell: the page cache takes
    /// bytes in and drops them in stretches. False too where the file system cannot tell.
    pub fn is_cached(&self, offset: u64, len: usize) -> bool {
        let Place::File(access, file) = self.place() else { return true };
        let Some(last) = self.readable(offset, len).checked_sub(1) else { return true };
        let samples = (0..=last / SAMPLE_STEP_BYTES).map(|step| last - step * SAMPLE_STEP_BYTES);
        let mut byte = [0];
        samples
            .map(|sample| access.disk.read_cached(file, &mut byte, offset + sample as u64))
            .all(|read| read.is_ok_and(|count| count == 1))
    }

    /// Brings these bytes into the page cache, off the runtime's threads and within the bound on this
    /// store's jobs. It may bring fewer: where the file ends, and where memory is short.
    ///
    /// # Errors
    /// As [`read_blocking`](Self::read_blocking).
    pub async fn load(&self, offset: u64, len: usize) -> io::Result<()> {
        self.job(move |blob| blob.load_blocking(offset, len)).await
    }

    fn load_blocking(&self, offset: u64, len: usize) -> io::Result<()> {
        let Place::File(access, file) = self.place() else { return Ok(()) };
        let mut buffer = access.buffers.lend();
        let (mut offset, end) = (offset, offset + self.readable(offset, len) as u64);
        while offset < end {
            match access.disk.read(file, buffer.as_mut_slice(), offset)? {
                0 => break,
                count => offset += count as u64,
            }
        }
        Ok(())
    }

    /// Hands up to `len` bytes at `offset` to a socket that does not block, without copying them. It waits
    /// for the disk unless they [are cached](Self::is_cached). 0: the end of what there is to read.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the socket takes nothing now; [`io::ErrorKind::Unsupported`] where
    /// it [does not work](Self::can_send); the socket's and the disk's.
    pub fn send(&self, socket: impl AsFd, offset: u64, len: usize) -> io::Result<usize> {
        let Place::File(access, file) = self.place() else { return Err(io::ErrorKind::Unsupported.into()) };
        let len = self.readable(offset, len);
        Ok(access.disk.send(file, socket.as_fd(), offset, len)?)
    }

    /// Hashes all bytes, in turns, so that other long work of the store comes in between. Its reads do not wait
    /// for that.
    ///
    /// # Errors
    /// Those of the disk; [`io::ErrorKind::UnexpectedEof`] when the file is shorter than it was.
    pub async fn digest(&self, algorithm: Algorithm) -> io::Result<Digest> {
        let mut hasher = Hasher::new(algorithm);
        let mut offset = 0;
        while offset < self.size() {
            (hasher, offset) = self.long_job(move |blob| blob.hash_turn(hasher, offset)).await?;
        }
        Ok(hasher.finish())
    }

    fn hash_turn(&self, mut hasher: Hasher, mut offset: u64) -> io::Result<(Hasher, u64)> {
        let end = self.size().min(offset + HASH_TURN_BYTES);
        while offset < end {
            let bytes = self.read_blocking(offset, HASH_READ_BYTES)?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(&bytes);
            offset += bytes.len() as u64;
        }
        Ok((hasher, offset))
    }

    async fn job<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Place::File(access, _) = self.place() else { return work(self) };
        let blob = self.clone();
        let done = access.jobs.read(move || Ok::<_, StoreError>(work(&blob))).await;
        done.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    async fn long_job<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Place::File(access, _) = self.place() else { return work(self) };
        let blob = self.clone();
        let done = access.jobs.long(move || Ok::<_, StoreError>(work(&blob))).await;
        done.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Reads up to `len_max` bytes at `offset`, waiting for the disk: to be called where blocking is allowed.
    /// 256 KiB to 1 MiB at a time are sensible. Fewer bytes than asked for come only at the end of what there
    /// is to read.
    ///
    /// # Errors
    /// Those of the disk. A file that was cut short behind the store's back is no error here: its bytes end
    /// early, which the caller can tell by [`size`](Self::size).
    pub fn read_blocking(&self, offset: u64, len_max: usize) -> io::Result<Bytes> {
        let len = self.readable(offset, len_max);
        match self.place() {
            Place::Memory(pieces) => self.read_memory(pieces, offset, len),
            Place::File(access, file) => read_file(access, file, offset, len),
        }
    }

    fn readable(&self, offset: u64, len_max: usize) -> usize {
        let available = match &self.bound {
            Bound::Verified(size) => size.saturating_sub(offset),
            Bound::Growing(growth) => growth.available_from(offset),
        };
        usize::try_from(available).unwrap_or(usize::MAX).min(len_max)
    }
}

fn read_file(access: &FileAccess, file: &File, offset: u64, len: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match access.disk.read(file, &mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    buffer.truncate(filled);
    Ok(buffer.into())
}

fn try_read_file(access: &FileAccess, file: &File, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
    let mut buffer = access.buffers.lend();
    match access.disk.read_cached(file, &mut buffer.as_mut_slice()[..len], offset) {
        // Some kernels report the end of the file for a page that is not in memory; a blocking read knows.
        Ok(0) => Ok(None),
        Ok(count) => Ok(Some(buffer.freeze(count))),
        // AGAIN: not in memory. OPNOTSUPP, INVAL, NOSYS: the file system or the kernel cannot tell.
        Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests;
