//! Content in a file: reads it into pooled buffers, sends it without a copy, hashes it off the runtime's
//! threads.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use oci::{ByteRange, Hasher};
use rustix::io::Errno;

use super::buffer_pool::{BUFFER_BYTES, BufferPool};
use super::capabilities::Capabilities;
use super::disk::Disk;
use super::jobs::{Jobs, Sort};
use crate::content::{ReadAt, SendAt, Validator};

/// The distance between samples that tell whether the bytes between them are in memory: the page cache loads
/// and drops bytes in stretches.
const SAMPLE_STEP_BYTES: usize = 128 * 1024;

/// Bytes of one read for hashing.
const HASH_READ_BYTES: u64 = 1 << 20;

/// The shared means of access to the files of one store.
#[derive(Debug, Default)]
pub(crate) struct FileAccess {
    pub(crate) disk: Disk,
    pub(crate) buffers: Arc<BufferPool>,
    pub(crate) jobs: Jobs,
    pub(crate) can: Capabilities,
}

/// An open file of a store.
#[derive(Debug)]
pub(crate) struct FileSource {
    access: Arc<FileAccess>,
    file: File,
    /// Hashing leaves no bytes in the page cache that were not there before.
    is_cold: bool,
}

impl FileSource {
    pub(crate) fn new(access: Arc<FileAccess>, file: File) -> Self {
        Self { access, file, is_cold: false }
    }

    /// A file that is read only to hash it.
    pub(crate) fn new_cold(access: Arc<FileAccess>, file: File) -> Self {
        Self { access, file, is_cold: true }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Reads `len` bytes at `offset`; blocks. Returns fewer only at the end of the file.
    pub(crate) fn read_blocking(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut buffer = vec![0; len];
        let count = self.access.disk.read_full(&self.file, &mut buffer, offset)?;
        buffer.truncate(count);
        Ok(buffer.into())
    }

    fn load_blocking(&self, mut offset: u64, len: usize) -> io::Result<()> {
        let mut buffer = self.access.buffers.lend();
        let end = offset + len as u64;
        while offset < end {
            match self.access.disk.read(&self.file, buffer.as_mut_slice(), offset)? {
                0 => break,
                count => offset += count as u64,
            }
        }
        Ok(())
    }

    fn hash_blocking(&self, mut hasher: Hasher, range: ByteRange) -> io::Result<Hasher> {
        let mut offset = range.start;
        while offset < range.end {
            // At most a mebibyte.
            let len = (range.end - offset).min(HASH_READ_BYTES) as usize;
            let was_cached = !self.is_cold || self.is_cached(offset, len);
            let bytes = self.read_blocking(offset, len)?;
            if !was_cached {
                self.access.disk.drop_cached(&self.file, offset, len as u64);
            }
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(&bytes);
            offset += bytes.len() as u64;
        }
        Ok(hasher)
    }

    async fn run<T: Send + 'static>(
        self: Arc<Self>,
        sort: Sort,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let source = Arc::clone(&self);
        self.access.jobs.run(sort, move || work(&source)).await
    }
}

#[async_trait]
impl ReadAt for FileSource {
    /// Reads at most 64 KiB from the page cache into a pooled buffer (`preadv2` with `RWF_NOWAIT`).
    fn try_read(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
        let mut buffer = self.access.buffers.lend();
        let wanted = &mut buffer.as_mut_slice()[..len.min(BUFFER_BYTES)];
        match self.access.disk.read_cached(&self.file, wanted, offset) {
            // Some kernels report the end of the file for a page that is not in memory; a blocking read
            // knows.
            Ok(0) => Ok(None),
            Ok(count) => Ok(Some(buffer.freeze(count))),
            // AGAIN: not in memory. OPNOTSUPP, INVAL, NOSYS: the file system or the kernel cannot tell.
            Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    async fn read(self: Arc<Self>, offset: u64, len: usize) -> io::Result<Bytes> {
        self.run(Sort::Read, move |file| file.read_blocking(offset, len)).await
    }

    async fn hash(self: Arc<Self>, hasher: Hasher, range: ByteRange) -> io::Result<Hasher> {
        self.run(Sort::Long, move |file| file.hash_blocking(hasher, range)).await
    }

    async fn load(self: Arc<Self>, offset: u64, len: usize) -> io::Result<()> {
        self.run(Sort::Read, move |file| file.load_blocking(offset, len)).await
    }

    /// Made of inode, size and times of the file: every system call that changes its bytes changes one of
    /// them.
    fn validator(&self, size: u64) -> Option<Validator> {
        let stat = rustix::fs::fstat(&self.file).ok()?;
        if u64::try_from(stat.st_size) != Ok(size) {
            return None;
        }
        // The fields' widths and signs differ between machines; only a change of a field matters.
        let number = |field: i128| field as u64;
        let written = [number(stat.st_mtime.into()), number(stat.st_mtime_nsec.into())];
        let changed = [number(stat.st_ctime.into()), number(stat.st_ctime_nsec.into())];
        Some(Validator::new([number(stat.st_ino.into()), size, written[0], written[1]], changed))
    }

    fn as_file(&self) -> Option<&dyn SendAt> {
        self.access.can.can_send.then_some(self as &dyn SendAt)
    }
}

impl SendAt for FileSource {
    fn is_cached(&self, offset: u64, len: usize) -> bool {
        let Some(last) = len.checked_sub(1) else { return true };
        let mut samples = (0..=last / SAMPLE_STEP_BYTES).map(|step| last - step * SAMPLE_STEP_BYTES);
        let mut byte = [0];
        samples.all(|sample| {
            let read = self.access.disk.read_cached(&self.file, &mut byte, offset + sample as u64);
            read.is_ok_and(|count| count == 1)
        })
    }

    fn send(&self, socket: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<usize> {
        Ok(self.access.disk.send(&self.file, socket, offset, len)?)
    }
}

#[cfg(test)]
mod tests;
