//! Readable content, verified or still growing, wherever an engine stores its bytes.

mod validator;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use oci::{Algorithm, ByteRange, Digest, Hasher};

use crate::growth::Growth;

pub use validator::Validator;

/// Bytes hashed in one job, so that other long jobs of the store get a turn.
const HASH_TURN_BYTES: u64 = 8 << 20;

/// Readable content; cheap to clone. It stays readable when it is removed from the store.
///
/// Readable bytes never change. A read never returns bytes that were not written, not even from a growing
/// file with holes.
#[derive(Clone, Debug)]
pub struct OpenBlob {
    source: Arc<dyn ReadAt>,
    bound: Bound,
}

/// The extent of the readable bytes.
#[derive(Clone, Debug)]
enum Bound {
    Verified(u64),
    Growing(Arc<Growth>),
}

/// The bytes of one content in an engine. Callers read only bytes that were written.
#[async_trait]
pub(crate) trait ReadAt: fmt::Debug + Send + Sync + 'static {
    /// Reads some of the `len` bytes at `offset` without blocking; `None`: that would block.
    fn try_read(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>>;

    /// Reads `len` bytes at `offset`, off the runtime's threads if that blocks. Returns fewer only if the
    /// content has become shorter.
    async fn read(self: Arc<Self>, offset: u64, len: usize) -> io::Result<Bytes>;

    /// Hashes the bytes of `range`, off the runtime's threads if that blocks.
    async fn hash(self: Arc<Self>, hasher: Hasher, range: ByteRange) -> io::Result<Hasher>;

    /// Loads `len` bytes at `offset` so that [`try_read`](Self::try_read) finds them, if the engine can do
    /// that.
    async fn load(self: Arc<Self>, _offset: u64, _len: usize) -> io::Result<()> {
        Ok(())
    }

    /// The validator of the content of `size` bytes; `None`: the engine has none, or the size has changed.
    fn validator(&self, size: u64) -> Option<Validator>;

    /// Whether only this process can change the bytes.
    fn is_immutable(&self) -> bool {
        false
    }

    /// The file of the bytes, if it can be sent to a socket directly.
    fn as_file(&self) -> Option<&dyn SendAt> {
        None
    }
}

/// A file that can be sent to a socket without a copy.
pub(crate) trait SendAt: Send + Sync {
    /// Whether these bytes can be sent without waiting for the disk.
    fn is_cached(&self, offset: u64, len: usize) -> bool;

    /// Sends up to `len` bytes at `offset` to a non-blocking socket; 0: the file ends there.
    fn send(&self, socket: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<usize>;
}

impl OpenBlob {
    /// Content whose `size` bytes are all verified.
    pub(crate) fn verified(source: Arc<dyn ReadAt>, size: u64) -> Self {
        Self { source, bound: Bound::Verified(size) }
    }

    /// Content that is being written.
    pub(crate) fn growing(source: Arc<dyn ReadAt>, growth: Arc<Growth>) -> Self {
        Self { source, bound: Bound::Growing(growth) }
    }

    /// The content's size in bytes. For growing content: its final size, or while that is unknown, the length
    /// of its contiguous beginning.
    pub fn size(&self) -> u64 {
        match &self.bound {
            Bound::Verified(size) => *size,
            Bound::Growing(growth) => growth.size().unwrap_or_else(|| growth.watermark()),
        }
    }

    /// The validator of the content, which changes with its bytes. `None`: the engine has none, or the size
    /// has changed.
    pub fn validator(&self) -> Option<Validator> {
        self.source.validator(self.size())
    }

    /// Whether only this process can change the bytes, so that verifying them once is enough.
    pub fn is_immutable(&self) -> bool {
        self.source.is_immutable()
    }

    /// Reads up to `len_max` bytes at `offset` without blocking (from a file: at most 64 KiB, into a pooled
    /// buffer).
    ///
    /// `Ok(None)`: that would block, so call [`read`](Self::read). Empty bytes: the end of the readable
    /// bytes.
    ///
    /// # Errors
    /// I/O errors.
    pub fn try_read(&self, offset: u64, len_max: usize) -> io::Result<Option<Bytes>> {
        match self.readable(offset, len_max) {
            0 => Ok(Some(Bytes::new())),
            len => self.source.try_read(offset, len),
        }
    }

    /// Reads up to `len_max` bytes at `offset`, off the runtime's threads if that blocks, and within the
    /// store's bounds. 128 KiB to 1 MiB at a time are sensible. Returns fewer bytes only at the end of the
    /// readable bytes.
    ///
    /// # Errors
    /// I/O errors. A file that another program truncated is no error: its bytes end before
    /// [`size`](Self::size).
    pub async fn read(&self, offset: u64, len_max: usize) -> io::Result<Bytes> {
        match self.readable(offset, len_max) {
            0 => Ok(Bytes::new()),
            len => Arc::clone(&self.source).read(offset, len).await,
        }
    }

    /// Hashes all bytes in several jobs, so that other long jobs of the store get a turn. The store's reads
    /// do not queue behind them.
    ///
    /// # Errors
    /// I/O errors; [`io::ErrorKind::UnexpectedEof`] if the content has become shorter.
    pub async fn digest(&self, algorithm: Algorithm) -> io::Result<Digest> {
        let mut hasher = Hasher::new(algorithm);
        let mut start = 0;
        while start < self.size() {
            let end = self.size().min(start + HASH_TURN_BYTES);
            hasher = self.hash(hasher, ByteRange { start, end }).await?;
            start = end;
        }
        Ok(hasher.finish())
    }

    /// Hashes the bytes of `range`, which ends at [`size`](Self::size) at the latest, in one job. Some MiB at
    /// a time are sensible.
    ///
    /// # Errors
    /// As [`digest`](Self::digest).
    pub async fn hash(&self, hasher: Hasher, range: ByteRange) -> io::Result<Hasher> {
        Arc::clone(&self.source).hash(hasher, range).await
    }

    /// The content as a file that can be sent without a copy. `None`: it is not in a file, or its file system
    /// does not support that.
    pub fn as_file(&self) -> Option<OpenFile<'_>> {
        self.source.as_file().map(|file| OpenFile { blob: self, file })
    }

    fn readable(&self, offset: u64, len_max: usize) -> usize {
        let available = match &self.bound {
            Bound::Verified(size) => size.saturating_sub(offset),
            Bound::Growing(growth) => growth.available_from(offset),
        };
        usize::try_from(available).unwrap_or(usize::MAX).min(len_max)
    }
}

/// Content in a file that can be sent without a copy.
#[derive(Clone, Copy)]
pub struct OpenFile<'a> {
    blob: &'a OpenBlob,
    file: &'a dyn SendAt,
}

impl OpenFile<'_> {
    /// Whether these bytes can be sent without waiting for the disk, judged from samples. False if the file
    /// system cannot tell.
    pub fn is_cached(&self, offset: u64, len: usize) -> bool {
        match self.blob.readable(offset, len) {
            0 => true,
            len => self.file.is_cached(offset, len),
        }
    }

    /// Reads these bytes into the page cache, off the runtime's threads and within the store's bounds. It may
    /// read fewer at the end of the file or when memory is short.
    ///
    /// # Errors
    /// As [`OpenBlob::read`].
    pub async fn load(&self, offset: u64, len: usize) -> io::Result<()> {
        Arc::clone(&self.blob.source).load(offset, self.blob.readable(offset, len)).await
    }

    /// Sends up to `len` bytes at `offset` to a non-blocking socket. It waits for the disk unless the bytes
    /// [are cached](Self::is_cached). 0: the end of the readable bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the socket's buffer is full; errors of the socket and of the disk.
    pub fn send(&self, socket: impl AsFd, offset: u64, len: usize) -> io::Result<usize> {
        self.file.send(socket.as_fd(), offset, self.blob.readable(offset, len))
    }
}

impl fmt::Debug for OpenFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenFile").field(self.blob).finish()
    }
}
