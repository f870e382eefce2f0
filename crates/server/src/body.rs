//! The body of an answer. Its exact length is known, unless a side service streams it, and its end is
//! reported.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use cache::{BlobReader, Piece, PullError};
use http_body::{Body, Frame, SizeHint};

use tokio::sync::mpsc;

use crate::access_log::Entry;
use crate::multipart::Multipart;
use crate::report::{Answering, Report};
use crate::sendfile::{Chunk, FileQueue};
use crate::turns::{Turns, Wait};

type PolledFrame = Poll<Option<Result<Frame<Chunk>, PullError>>>;

/// The content of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    /// Bytes in memory.
    Whole(Bytes),
    /// A blob or a range of it, read at the client's pace.
    Blob(BlobReader),
    /// Several ranges of a blob. Boxed, because such answers are rare and this is large.
    Parts(Box<Multipart>),
    /// Pieces of an answer of a side service, as they come.
    Streamed(mpsc::Receiver<Bytes>),
    /// The same, with a last piece that may be an error.
    Breakable(mpsc::Receiver<io::Result<Bytes>>),
}

/// An answer's body before it is bound to a connection.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) content: Content,
    /// The content's length in bytes.
    pub(crate) length: u64,
    /// The access-log entry; `None` if the request is not logged.
    pub(crate) entry: Option<Entry>,
}

/// An answer's body. It ends after exactly its declared length, or with an error.
pub(crate) struct AnswerBody {
    content: Content,
    remaining: u64,
    report: Arc<Report>,
    /// Takes pieces of files, if the connection can send files.
    file_queue: Option<FileQueue>,
    /// Shares the thread fairly with the server's other bodies.
    turns: Arc<Turns>,
    /// Bytes sent in this turn.
    burst: usize,
    wait: Option<Wait>,
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

impl AnswerBody {
    /// Binds an answer to a connection. `answering` lives until the whole body is sent. Files go to
    /// `file_queue`; without one they are copied.
    pub(crate) fn new(
        outgoing: Outgoing,
        answering: Answering,
        file_queue: Option<FileQueue>,
        turns: Arc<Turns>,
    ) -> Self {
        let Outgoing { content, length, entry } = outgoing;
        let report = Report::new(length, entry, answering);
        Self { content, remaining: length, report, file_queue, turns, burst: 0, wait: None }
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk, PullError>> {
        let piece = match (&mut self.content, &self.file_queue) {
            (Content::Whole(bytes), _) => Some(Ok(Piece::Bytes(std::mem::take(bytes)))),
            (Content::Blob(reader), Some(_)) => ready!(reader.poll_piece(cx)),
            (Content::Blob(reader), None) => {
                ready!(reader.poll_chunk(cx)).map(|chunk| chunk.map(Piece::Bytes))
            }
            (Content::Parts(parts), file_queue) => ready!(parts.poll_piece(cx, file_queue.is_some())),
            // `poll_stream` reads it.
            (Content::Streamed(_) | Content::Breakable(_), _) => None,
        };
        Poll::Ready(match (piece, &self.file_queue) {
            (Some(Ok(Piece::File(piece))), Some(file_queue)) => {
                Ok(file_queue.push(piece, Arc::clone(&self.report)))
            }
            (Some(Ok(Piece::Bytes(bytes))), _) => {
                self.report.taken(bytes.len() as u64);
                Ok(Chunk::Memory(bytes))
            }
            (Some(Err(error)), _) => Err(error),
            (None | Some(Ok(Piece::File(_))), _) => Err(PullError::UpstreamUnavailable {
                timed_out: false,
                detail: format!("the content ended {} bytes early", self.remaining).into(),
            }),
        })
    }

    /// The next piece of a streamed answer; `None`: the answer is another one.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Option<PolledFrame> {
        let piece = match &mut self.content {
            Content::Streamed(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(Ok)),
            Content::Breakable(pieces) => pieces.poll_recv(cx),
            _ => return None,
        };
        let Poll::Ready(piece) = piece else { return Some(Poll::Pending) };
        if piece.is_none() {
            self.remaining = 0;
        }
        let cut = |error: io::Error| {
            self.report.cut(error.to_string());
            PullError::UpstreamUnavailable { timed_out: false, detail: error.to_string().into() }
        };
        let frame =
            |piece: io::Result<Bytes>| piece.map(|bytes| Frame::data(Chunk::Memory(bytes))).map_err(cut);
        Some(Poll::Ready(piece.map(frame)))
    }

    fn account(&mut self, chunk: &Chunk) {
        self.remaining = self.remaining.saturating_sub(chunk.remaining() as u64);
        self.burst += chunk.remaining();
        if self.burst >= self.turns.bytes(matches!(chunk, Chunk::Memory(_))) {
            self.burst = 0;
            self.wait = Some(self.turns.wait());
        }
    }
}

impl Body for AnswerBody {
    type Data = Chunk;
    type Error = PullError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, PullError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        if let Some(wait) = &mut self.wait {
            ready!(Pin::new(wait).poll(cx));
            self.wait = None;
        }
        if let Some(piece) = self.poll_stream(cx) {
            return piece;
        }
        match ready!(self.poll_content(cx)) {
            Ok(chunk) => {
                self.account(&chunk);
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Err(error) => {
                self.report.cut(telemetry::error_chain(&error));
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        match self.content {
            Content::Streamed(_) | Content::Breakable(_) if self.remaining > 0 => SizeHint::default(),
            _ => SizeHint::with_exact(self.remaining),
        }
    }
}
