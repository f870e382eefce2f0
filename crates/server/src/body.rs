//! The body of an answer: its exact length is known, and its end is reported.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use cache::{BlobReader, Piece, PullError};
use http_body::{Body, Frame, SizeHint};

use crate::access::Entry;
use crate::report::{Answering, Report};
use crate::sendfile::{Chunk, Lane};

/// How much of files one connection sends before the others of its thread get a turn, in bytes.
const TURN_BYTES: usize = 512 << 10;

/// The same where bytes are copied, and perhaps encrypted: each costs several times as much.
const COPYING_TURN_BYTES: usize = 128 << 10;

/// What an answer carries.
#[derive(Debug)]
pub(crate) enum Content {
    /// Bytes in memory.
    Whole(Bytes),
    /// A blob or a part of one, read as the client takes it.
    Blob(BlobReader),
}

/// An answer's body. It ends after exactly the length it was made with, or with an error.
pub(crate) struct AnswerBody {
    content: Content,
    remaining: u64,
    report: Arc<Report>,
    /// Where files go, if the connection can send them.
    lane: Option<Lane>,
    burst: usize,
    turn: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

impl AnswerBody {
    /// A body of `content`, which has `length` bytes. The entry, if any, is told of every byte and of the end.
    pub(crate) fn new(content: Content, length: u64, entry: Option<Entry>) -> Self {
        let report = Report::new(length, entry);
        Self { content, remaining: length, report, lane: None, burst: 0, turn: None }
    }

    /// Keeps `answering` until all of the body is out. Files go into `lane`; without one they are copied.
    pub(crate) fn hold(&mut self, answering: Answering, lane: Option<Lane>) {
        self.report.hold(answering);
        self.lane = lane;
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk, PullError>> {
        let piece = match (&mut self.content, &self.lane) {
            (Content::Whole(bytes), _) => Some(Ok(Piece::Bytes(std::mem::take(bytes)))),
            (Content::Blob(reader), Some(_)) => ready!(reader.poll_piece(cx)),
            (Content::Blob(reader), None) => {
                ready!(reader.poll_chunk(cx)).map(|chunk| chunk.map(Piece::Bytes))
            }
        };
        Poll::Ready(match (piece, &self.lane) {
            (Some(Ok(Piece::File(piece))), Some(lane)) => Ok(lane.push(piece, Arc::clone(&self.report))),
            (Some(Ok(Piece::Bytes(bytes))), _) => {
                self.report.taken(bytes.len() as u64);
                Ok(Chunk::Memory(bytes))
            }
            (Some(Err(error)), _) => Err(error),
            (None | Some(Ok(Piece::File(_))), _) => Err(PullError::UpstreamUnavailable {
                timed_out: false,
                detail: format!("the content ended {} bytes early", self.remaining),
            }),
        })
    }

    fn account(&mut self, chunk: &Chunk) {
        self.remaining = self.remaining.saturating_sub(chunk.remaining() as u64);
        self.burst += chunk.remaining();
        let turn_bytes = match chunk {
            Chunk::File(..) => TURN_BYTES,
            Chunk::Memory(_) => COPYING_TURN_BYTES,
        };
        if self.burst >= turn_bytes {
            self.burst = 0;
            // Waking ourselves would not do: the runtime polls a woken task again before it looks at the
            // sockets, and wakes a yielded one after.
            self.turn = Some(Box::pin(tokio::task::yield_now()));
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
        if let Some(turn) = &mut self.turn {
            ready!(turn.as_mut().poll(cx));
            self.turn = None;
        }
        match ready!(self.poll_content(cx)) {
            Ok(chunk) => {
                self.account(&chunk);
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Err(error) => {
                self.report.cut(error.to_string());
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
