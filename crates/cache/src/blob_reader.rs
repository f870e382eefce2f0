//! The bytes of an answer, from wherever they come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use oci::ByteRange;
use storage::OpenBlob;

use crate::error::PullError;

/// The longest piece of a file, in bytes: what one connection sends before the others of its thread get a
/// turn.
pub(crate) const PIECE_BYTES_MAX: u64 = 512 * 1024;

/// One blocking read when the page cache does not have the bytes. It costs two hops between threads, and the system
/// reads ahead meanwhile; what is larger keeps the others of the connection's thread waiting when it is sent.
const BLOCKING_READ_BYTES: u64 = 128 * 1024;

/// One read that must not block; small enough for its buffer to stay in the processor's cache.
const INLINE_READ_BYTES: u64 = 64 * 1024;

/// A part of an answer's bytes.
#[derive(Debug)]
pub enum Piece {
    /// In memory; never empty.
    Bytes(Bytes),
    /// In a file that can be handed to a socket.
    File(FilePiece),
}

/// Bytes of readable content: not necessarily verified, but never to change.
#[derive(Clone, Debug)]
pub struct FilePiece {
    /// The content; it is [a file](OpenBlob::as_file) where a [`Piece`] says so.
    pub blob: OpenBlob,
    /// Where the piece begins.
    pub offset: u64,
    /// Its length in bytes: at least 1, at most 512 KiB.
    pub length: u64,
}

impl FilePiece {
    /// The beginning of what there is to be read between `offset` and `end`, which is beyond it.
    pub(crate) fn first(blob: OpenBlob, offset: u64, end: u64) -> Self {
        Self { blob, offset, length: (end - offset).min(PIECE_BYTES_MAX) }
    }
}

/// A stream of exactly [`BlobReader::remaining`] bytes, or of fewer and then an error. It never ends early
/// without one.
pub struct BlobReader {
    remaining: u64,
    source: Source,
    /// The piece that is being copied, in several reads.
    copied: Option<FilePiece>,
    /// One of these reads, which waits for the disk.
    reading: Option<BoxFuture<'static, Result<Bytes, PullError>>>,
}

enum Source {
    /// Verified content, from this offset on.
    Stored(OpenBlob, u64),
    Streamed(BoxStream<'static, Result<Piece, PullError>>),
}

impl BlobReader {
    /// Reads verified content.
    pub(crate) fn stored(blob: OpenBlob, range: ByteRange) -> Self {
        Self::of(range.len(), Source::Stored(blob, range.start))
    }

    /// Reads what `pieces` gives: `length` bytes. A file among them need not be one that can be sent.
    pub(crate) fn streamed(length: u64, pieces: BoxStream<'static, Result<Piece, PullError>>) -> Self {
        Self::of(length, Source::Streamed(pieces))
    }

    fn of(remaining: u64, source: Source) -> Self {
        Self { remaining, source, copied: None, reading: None }
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next bytes, copied where they are in a file; never empty ones.
    ///
    /// # Errors
    /// An error is final: the body cannot be completed, and the connection must not end it cleanly.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, PullError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let chunk = match ready!(self.poll_source(context)) {
            Ok(Piece::Bytes(bytes)) => Ok(bytes),
            Ok(Piece::File(piece)) => ready!(self.poll_copy(context, piece)),
            Err(error) => Err(error),
        };
        Poll::Ready(Some(chunk.inspect(|bytes| self.remaining -= bytes.len() as u64)))
    }

    /// The next piece, for a connection that can send files. Where a file cannot be sent, bytes come instead.
    ///
    /// # Errors
    /// As [`poll_chunk`](Self::poll_chunk). Also when sending the piece of a file fails, the body cannot be
    /// completed.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, PullError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let piece = match ready!(self.poll_source(context)) {
            Ok(Piece::File(piece)) if piece.blob.as_file().is_some() => {
                self.remaining -= piece.length;
                return Poll::Ready(Some(Ok(Piece::File(piece))));
            }
            Ok(Piece::File(piece)) => ready!(self.poll_copy(context, piece)),
            Ok(Piece::Bytes(bytes)) => Ok(bytes),
            Err(error) => Err(error),
        };
        let piece = piece.inspect(|bytes| self.remaining -= bytes.len() as u64);
        Poll::Ready(Some(piece.map(Piece::Bytes)))
    }

    /// The next piece, cut to the remaining length.
    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Result<Piece, PullError>> {
        if let Some(piece) = self.copied.take() {
            return Poll::Ready(Ok(Piece::File(piece)));
        }
        let piece = match &mut self.source {
            Source::Stored(blob, offset) => {
                let piece = FilePiece::first(blob.clone(), *offset, *offset + self.remaining);
                *offset += piece.length;
                Ok(Piece::File(piece))
            }
            Source::Streamed(pieces) => match ready!(Pin::new(pieces).poll_next(context)) {
                Some(Ok(Piece::Bytes(mut bytes))) => {
                    bytes.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
                    Ok(Piece::Bytes(bytes))
                }
                Some(Ok(Piece::File(mut piece))) => {
                    piece.length = piece.length.min(self.remaining);
                    Ok(Piece::File(piece))
                }
                Some(Err(error)) => Err(error),
                None => Err(PullError::unavailable("the body ended before its last byte")),
            },
        };
        Poll::Ready(piece)
    }

    /// The first bytes of `piece`; the rest of it is what comes next.
    fn poll_copy(
        &mut self,
        context: &mut Context<'_>,
        mut piece: FilePiece,
    ) -> Poll<Result<Bytes, PullError>> {
        let read = if let Some(reading) = &mut self.reading {
            reading.as_mut().poll(context)
        } else {
            match read_cached(&piece) {
                Some(bytes) => Poll::Ready(Ok(bytes)),
                None => self.reading.insert(Box::pin(read(piece.clone()))).as_mut().poll(context),
            }
        };
        let Poll::Ready(read) = read else {
            self.copied = Some(piece);
            return Poll::Pending;
        };
        self.reading = None;
        if let Ok(bytes) = &read {
            piece.offset += bytes.len() as u64;
            piece.length -= bytes.len() as u64;
            self.copied = (piece.length > 0).then_some(piece);
        }
        Poll::Ready(read)
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

/// The first bytes of a piece, if they can be had without waiting.
fn read_cached(piece: &FilePiece) -> Option<Bytes> {
    let length = usize::try_from(piece.length.min(INLINE_READ_BYTES)).expect("64 KiB fit a usize");
    // A read that failed is tried again where it may block: the body under way cannot be had otherwise.
    piece.blob.try_read(piece.offset, length).ok().flatten().filter(|bytes| !bytes.is_empty())
}

/// Reads the first bytes of a piece on a thread that may block. Never returns empty bytes.
async fn read(piece: FilePiece) -> Result<Bytes, PullError> {
    let length = usize::try_from(piece.length.min(BLOCKING_READ_BYTES)).expect("128 KiB fit a usize");
    match piece.blob.read(piece.offset, length).await {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        Ok(_) => Err(PullError::Store { detail: "a stored file is shorter than it was".to_owned() }),
        Err(error) => Err(PullError::Store { detail: format!("reading failed: {}", error.kind()) }),
    }
}
