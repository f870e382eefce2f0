//! The bytes of an answer, from wherever they come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use oci::ByteRange;
use storage::OpenBlob;

use crate::error::PullError;

/// One blocking read when the page cache does not have the bytes: large, because it costs two hops between
/// threads.
const BLOCKING_READ_BYTES: u64 = 512 * 1024;

/// One read that must not block; small enough for its buffer to stay in the processor's cache.
const INLINE_READ_BYTES: u64 = 64 * 1024;

/// A stream of exactly [`BlobReader::remaining`] bytes, or of fewer and then an error. It never ends early
/// without one.
pub struct BlobReader {
    remaining: u64,
    stored: Option<(OpenBlob, ByteRange)>,
    chunks: BoxStream<'static, Result<Bytes, PullError>>,
}

impl BlobReader {
    /// Reads verified content.
    pub(crate) fn stored(blob: OpenBlob, range: ByteRange) -> Self {
        let chunks = read_stored(blob.clone(), range).boxed();
        Self { remaining: range.end - range.start, stored: Some((blob, range)), chunks }
    }

    /// Reads what `chunks` gives: `length` bytes.
    pub(crate) fn streamed(length: u64, chunks: BoxStream<'static, Result<Bytes, PullError>>) -> Self {
        Self { remaining: length, stored: None, chunks }
    }

    /// How many bytes are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The verified content and the range of it that this reader began with, when it comes from the store:
    /// a connection may then send it without copying.
    pub fn verified(&self) -> Option<&(OpenBlob, ByteRange)> {
        self.stored.as_ref()
    }

    /// The next bytes; never empty ones.
    ///
    /// # Errors
    /// An error is final: the body cannot be completed, and the connection must not end it cleanly.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, PullError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let chunk = std::task::ready!(Pin::new(&mut self.chunks).poll_next(context));
        Poll::Ready(Some(match chunk {
            Some(Ok(mut bytes)) => {
                bytes.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
                self.remaining -= bytes.len() as u64;
                Ok(bytes)
            }
            Some(Err(error)) => Err(error),
            None => Err(PullError::unavailable("the body ended before its last byte")),
        }))
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

fn read_stored(blob: OpenBlob, range: ByteRange) -> impl Stream<Item = Result<Bytes, PullError>> + Send {
    stream::try_unfold((blob, range), |(blob, mut range)| async move {
        if range.start == range.end {
            return Ok(None);
        }
        let bytes = read(&blob, range.start, range.end - range.start).await?;
        range.start += bytes.len() as u64;
        Ok(Some((bytes, (blob, range))))
    })
}

/// Reads up to `length` bytes at `offset`: from the page cache at once, else on a thread that may block.
/// Never returns empty bytes for a `length` above 0.
pub(crate) async fn read(blob: &OpenBlob, offset: u64, length: u64) -> Result<Bytes, PullError> {
    let inline = usize::try_from(length.min(INLINE_READ_BYTES)).expect("64 KiB fit a usize");
    let blocking = usize::try_from(length.min(BLOCKING_READ_BYTES)).expect("512 KiB fit a usize");
    let bytes = match blob.try_read(offset, inline) {
        Ok(Some(bytes)) => Ok(bytes),
        // A read that failed is tried again where it may block: the body under way cannot be had otherwise.
        Ok(None) | Err(_) => blob.read(offset, blocking).await,
    };
    match bytes {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        Ok(_) => Err(PullError::Store { detail: "a stored file is shorter than it was".to_owned() }),
        Err(error) => Err(PullError::Store { detail: format!("reading failed: {}", error.kind()) }),
    }
}
