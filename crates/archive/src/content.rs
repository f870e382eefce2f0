//! Content that is copied, wherever its bytes are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use oci::{Digest, Hasher};
use storage::OpenBlob;

use crate::blocking::blocking;

/// Bytes read at once.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// Bytes that are copied into a store.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A file of this size in bytes, which others may write to.
    File(Arc<File>, u64),
    /// A verified file of this size that only this process has.
    Own(Arc<File>, u64),
    /// Content of a store.
    Held(OpenBlob),
    /// Bytes in memory.
    Memory(Bytes),
}

impl Content {
    /// The size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File(_, size) | Self::Own(_, size) => *size,
            Self::Held(blob) => blob.size(),
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Whether it is the blob of this digest. A verified content is not read again.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) async fn is_blob(&self, digest: &Digest) -> io::Result<bool> {
        let Self::File(_, size) = self else { return Ok(true) };
        let mut hasher = Hasher::new(digest.algorithm());
        let mut at = 0;
        while at < *size {
            let len = usize::try_from(size - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let piece = self.read(at, len).await?;
            if piece.is_empty() {
                return Err(io::Error::other("the file became shorter while it was read"));
            }
            at += piece.len() as u64;
            hasher.update(&piece);
        }
        Ok(hasher.finish() == *digest)
    }

    /// Up to `len_max` bytes at `offset`; none at the end.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) async fn read(&self, offset: u64, len_max: usize) -> io::Result<Bytes> {
        match self {
            Self::File(file, _) | Self::Own(file, _) => {
                let file = Arc::clone(file);
                let read = move || {
                    let mut piece = vec![0; len_max];
                    let mut len = 0;
                    while len < len_max {
                        match file.read_at(&mut piece[len..], offset + len as u64) {
                            Ok(0) => break,
                            Ok(more) => len += more,
                            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                            Err(error) => return Err(error),
                        }
                    }
                    piece.truncate(len);
                    Ok(piece.into())
                };
                blocking(read).await
            }
            Self::Held(blob) => blob.read(offset, len_max).await,
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(start..bytes.len().min(start.saturating_add(len_max))))
            }
        }
    }
}
