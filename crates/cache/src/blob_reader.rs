//! The body of an answer, from the store or from a fill.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use inventory::Inventory;
use oci::{ByteRange, Digest};
use storage::OpenBlob;

use crate::bandwidth::{Bandwidths, LIMITED_PIECE_BYTES, Throttle};
use crate::detail::Detail;
use crate::error::PullError;
use crate::reading::Reading;

/// The longest piece of a file, in bytes: one connection sends this much before the others of its thread get
/// a turn.
pub(crate) const PIECE_BYTES_MAX: u64 = 512 * 1024;

/// The size of one blocking read, for bytes that are not in the page cache. It costs two thread switches, and
/// the kernel reads ahead meanwhile; a larger one would delay the other connections of the thread when it is
/// sent.
const BLOCKING_READ_BYTES: u64 = 128 * 1024;

/// The size of one non-blocking read; its buffer fits into the processor's cache.
const INLINE_READ_BYTES: u64 = 64 * 1024;

/// A part of an answer's bytes.
#[derive(Debug)]
pub enum Piece {
    /// In memory; never empty.
    Bytes(Bytes),
    /// In a file that can be sent to a socket directly.
    File(FilePiece),
}

/// Bytes of readable content: perhaps not verified yet, but immutable.
#[derive(Clone, Debug)]
pub struct FilePiece {
    /// The content; it is [a file](OpenBlob::as_file) if a [`Piece`] says so.
    pub blob: OpenBlob,
    /// The offset of the piece.
    pub offset: u64,
    /// The length of the piece in bytes: at least 1, at most 512 KiB.
    pub length: u64,
}

impl FilePiece {
    /// The first piece of the bytes from `offset` to `end`, which is larger.
    pub(crate) fn first(blob: OpenBlob, offset: u64, end: u64) -> Self {
        Self { blob, offset, length: (end - offset).min(PIECE_BYTES_MAX) }
    }
}

/// A stream of exactly [`BlobReader::remaining`] bytes, or of fewer and then an error. It never ends early
/// without an error.
pub struct BlobReader {
    remaining: u64,
    source: Source,
    /// The rest of the piece that is being copied.
    copied: Option<FilePiece>,
    /// The blocking read of that piece, if one is in progress.
    read: Option<BoxFuture<'static, Result<Bytes, PullError>>>,
    /// Keeps it below the limit for clients, if there is one.
    throttle: Option<Box<Throttle>>,
    /// Keeps the blob in the store. `None`: one piece is all.
    reading: Option<Box<Reading>>,
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

    /// Reads `length` bytes from `pieces`. A file among them need not be one that can be sent.
    pub(crate) fn streamed(length: u64, pieces: BoxStream<'static, Result<Piece, PullError>>) -> Self {
        Self::of(length, Source::Streamed(pieces))
    }

    fn of(remaining: u64, source: Source) -> Self {
        Self { remaining, source, copied: None, read: None, throttle: None, reading: None }
    }

    /// The same, below the limit for clients.
    pub(crate) fn limited(self, bandwidths: &Arc<Bandwidths>) -> Self {
        Self { throttle: Throttle::of(bandwidths), ..self }
    }

    /// The same; the inventory hears of its reader now and then.
    pub(crate) fn of_blob(mut self, inventory: &Arc<Inventory>, digest: &Digest) -> Self {
        if self.remaining > PIECE_BYTES_MAX {
            self.reading = Some(Box::new(Reading::new(inventory, digest)));
        }
        self
    }

    fn taken(&mut self, bytes: u64) {
        self.remaining -= bytes;
        if let Some(reading) = &mut self.reading {
            reading.goes_on();
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.sent(bytes);
        }
    }

    /// The number of remaining bytes.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next bytes, copied if they are in a file; never empty.
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
        Poll::Ready(Some(chunk.inspect(|bytes| self.taken(bytes.len() as u64))))
    }

    /// The next piece, for a connection that can send files. If a file cannot be sent, returns bytes instead.
    ///
    /// # Errors
    /// As [`poll_chunk`](Self::poll_chunk). The body also cannot be completed when sending a piece of a file
    /// fails.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, PullError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let piece = match ready!(self.poll_source(context)) {
            Ok(Piece::File(piece)) if piece.blob.as_file().is_some() => {
                self.taken(piece.length);
                return Poll::Ready(Some(Ok(Piece::File(piece))));
            }
            Ok(Piece::File(piece)) => ready!(self.poll_copy(context, piece)),
            Ok(Piece::Bytes(bytes)) => Ok(bytes),
            Err(error) => Err(error),
        };
        let piece = piece.inspect(|bytes| self.taken(bytes.len() as u64));
        Poll::Ready(Some(piece.map(Piece::Bytes)))
    }

    /// The next piece, cut to the remaining length.
    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Result<Piece, PullError>> {
        if let Some(throttle) = &mut self.throttle {
            ready!(throttle.poll(context));
        }
        if let Some(piece) = self.copied.take() {
            return Poll::Ready(Ok(Piece::File(piece)));
        }
        let piece = match &mut self.source {
            Source::Stored(blob, offset) => {
                let mut piece = FilePiece::first(blob.clone(), *offset, *offset + self.remaining);
                if self.throttle.is_some() {
                    piece.length = piece.length.min(LIMITED_PIECE_BYTES);
                }
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

    /// The first bytes of `piece`; the rest becomes the next piece.
    fn poll_copy(
        &mut self,
        context: &mut Context<'_>,
        mut piece: FilePiece,
    ) -> Poll<Result<Bytes, PullError>> {
        let read = if let Some(read) = &mut self.read {
            read.as_mut().poll(context)
        } else {
            match read_cached(&piece) {
                Some(bytes) => Poll::Ready(Ok(bytes)),
                None => self.read.insert(Box::pin(read(piece.clone()))).as_mut().poll(context),
            }
        };
        let Poll::Ready(read) = read else {
            self.copied = Some(piece);
            return Poll::Pending;
        };
        self.read = None;
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

/// The first bytes of a piece, if they can be read without blocking.
fn read_cached(piece: &FilePiece) -> Option<Bytes> {
    let length = usize::try_from(piece.length.min(INLINE_READ_BYTES)).expect("64 KiB fit a usize");
    // A failed read is repeated as a blocking read: that may still save the body.
    piece.blob.try_read(piece.offset, length).ok().flatten().filter(|bytes| !bytes.is_empty())
}

/// Reads the first bytes of a piece on a blocking thread. Never returns empty bytes.
async fn read(piece: FilePiece) -> Result<Bytes, PullError> {
    let length = usize::try_from(piece.length.min(BLOCKING_READ_BYTES)).expect("128 KiB fit a usize");
    match piece.blob.read(piece.offset, length).await {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        Ok(_) => Err(PullError::Store { detail: "a stored file has become shorter".into() }),
        Err(error) => {
            let text = format!("reading failed: {}", error.kind());
            Err(PullError::Store { detail: Detail::hiding(text, error) })
        }
    }
}
