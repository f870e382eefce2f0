//! Content that can be read, wherever an engine has its bytes: verified, or still growing.

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

/// How many bytes are hashed in one turn.
const HASH_TURN_BYTES: u64 = 8 << 20;

/// Readable content; cheap to clone. It stays readable when its name is removed from the store meanwhile.
///
/// Bytes that can be read never change. A read never returns bytes that were not written: not even of a
/// growing file with holes.
#[derive(Clone, Debug)]
pub struct OpenBlob {
    source: Arc<dyn ReadAt>,
    bound: Bound,
}

/// Up to where there is anything to read.
#[derive(Clone, Debug)]
enum Bound {
    Verified(u64),
    Growing(Arc<Growth>),
}

/// Where the bytes of one content are. An engine is asked for bytes that were written, and for no others.
#[async_trait]
pub(crate) trait ReadAt: fmt::Debug + Send + Sync + 'static {
    /// Reads some of the `len` bytes at `offset`, as far as that takes no waiting; `None`: it would have to wait.
    fn try_read(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>>;

    /// Reads `len` bytes at `offset`, where waiting holds nobody up. Fewer come only where the content is shorter than
    /// it was.
    async fn read(self: Arc<Self>, offset: u64, len: usize) -> io::Result<Bytes>;

    /// Hashes the bytes of `range`, where that holds nobody up.
    async fn hash(self: Arc<Self>, hasher: Hasher, range: ByteRange) -> io::Result<Hasher>;

    /// Brings `len` bytes at `offset` to where [`try_read`](Self::try_read) has them, as far as there is such a place.
    async fn load(self: Arc<Self>, _offset: u64, _len: usize) -> io::Result<()> {
        Ok(())
    }

    /// The validator of the content, which has `size` bytes; `None`: the engine has none, or the size is another.
    fn validator(&self, size: u64) -> Option<Validator>;

    /// Whether nobody but this process can change the bytes.
    fn is_immutable(&self) -> bool {
        false
    }

    /// The file that the bytes are in, if a socket can be handed bytes of it.
    fn as_file(&self) -> Option<&dyn SendAt> {
        None
    }
}

/// A file whose bytes a socket can be handed without a copy.
pub(crate) trait SendAt: Send + Sync {
    /// Whether sending these bytes would not wait for the disk.
    fn is_cached(&self, offset: u64, len: usize) -> bool;

    /// Hands up to `len` bytes at `offset` to a socket that does not block; 0: the file ends there.
    fn send(&self, socket: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<usize>;
}

impl OpenBlob {
    /// Content of which all `size` bytes are verified.
    pub(crate) fn verified(source: Arc<dyn ReadAt>, size: u64) -> Self {
        Self { source, bound: Bound::Verified(size) }
    }

    /// Content that is being written.
    pub(crate) fn growing(source: Arc<dyn ReadAt>, growth: Arc<Growth>) -> Self {
        Self { source, bound: Bound::Growing(growth) }
    }

    /// The content's size in bytes. Of content still growing: the size that it is to have, or as long as
    /// that is unknown, how many bytes it has from its beginning.
    pub fn size(&self) -> u64 {
        match &self.bound {
            Bound::Verified(size) => *size,
            Bound::Growing(growth) => growth.size().unwrap_or_else(|| growth.watermark()),
        }
    }

    /// The validator of the content: it changes when anybody changes the bytes. `None`: the engine has none, or the
    /// content is no longer as long as it was.
    pub fn validator(&self) -> Option<Validator> {
        self.source.validator(self.size())
    }

    /// Whether nobody but this process can change the bytes, so that they need not be verified twice.
    pub fn is_immutable(&self) -> bool {
        self.source.is_immutable()
    }

    /// Reads up to `len_max` bytes at `offset` (of a file: at most 64 KiB, into a pooled buffer) as far as that takes no
    /// waiting.
    ///
    /// `Ok(None)`: it would have to wait, so [`read`](Self::read) is next. Empty bytes: the end of what there is to
    /// read.
    ///
    /// # Errors
    /// I/O errors.
    pub fn try_read(&self, offset: u64, len_max: usize) -> io::Result<Option<Bytes>> {
        match self.readable(offset, len_max) {
            0 => Ok(Some(Bytes::new())),
            len => self.source.try_read(offset, len),
        }
    }

    /// Reads up to `len_max` bytes at `offset`, off the runtime's threads where that blocks, and within the store's own
    /// bounds. 128 KiB to 1 MiB at a time are sensible. Fewer bytes than asked for come only at the end of what there is
    /// to read.
    ///
    /// # Errors
    /// I/O errors. A file that was cut short behind the store's back is no error here: its bytes end early, which the
    /// caller can tell by [`size`](Self::size).
    pub async fn read(&self, offset: u64, len_max: usize) -> io::Result<Bytes> {
        match self.readable(offset, len_max) {
            0 => Ok(Bytes::new()),
            len => Arc::clone(&self.source).read(offset, len).await,
        }
    }

    /// Hashes all bytes, in turns, so that other long work of the store comes in between. Its reads do not wait
    /// for that.
    ///
    /// # Errors
    /// I/O errors; [`io::ErrorKind::UnexpectedEof`] when the content is shorter than it was.
    pub async fn digest(&self, algorithm: Algorithm) -> io::Result<Digest> {
        let mut hasher = Hasher::new(algorithm);
        let mut start = 0;
        while start < self.size() {
            let end = self.size().min(start + HASH_TURN_BYTES);
            hasher = Arc::clone(&self.source).hash(hasher, ByteRange { start, end }).await?;
            start = end;
        }
        Ok(hasher.finish())
    }

    /// The content as a file that can be sent without a copy. `None`: it is elsewhere, or its file system cannot do
    /// that.
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
    /// Whether sending these bytes would not wait for the disk, as far as samples tell. False too where the file system
    /// cannot tell.
    pub fn is_cached(&self, offset: u64, len: usize) -> bool {
        match self.blob.readable(offset, len) {
            0 => true,
            len => self.file.is_cached(offset, len),
        }
    }

    /// Brings these bytes into the page cache, off the runtime's threads and within the store's own bounds. It may
    /// bring fewer: where the file ends, and where memory is short.
    ///
    /// # Errors
    /// As [`OpenBlob::read`].
    pub async fn load(&self, offset: u64, len: usize) -> io::Result<()> {
        Arc::clone(&self.blob.source).load(offset, self.blob.readable(offset, len)).await
    }

    /// Hands up to `len` bytes at `offset` to a socket that does not block. It waits for the disk unless the bytes
    /// [are cached](Self::is_cached). 0: the end of what there is to read.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the socket takes nothing now; the socket's and the disk's.
    pub fn send(&self, socket: impl AsFd, offset: u64, len: usize) -> io::Result<usize> {
        self.file.send(socket.as_fd(), offset, self.blob.readable(offset, len))
    }
}

impl fmt::Debug for OpenFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenFile").field(self.blob).finish()
    }
}
