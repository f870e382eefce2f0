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
use crate::multipart::Multipart;
use crate::report::{Answering, Report};
use crate::sendfile::{Chunk, Lane};
use crate::turns::{Turns, Wait};

/// What an answer carries.
#[derive(Debug)]
pub(crate) enum Content {
    /// Bytes in memory.
    Whole(Bytes),
    /// A blob or a part of one, read as the client takes it.
    Blob(BlobReader),
    /// Several parts of a blob. Boxed, because few answers are that.
    Parts(Box<Multipart>),
}

/// What an answer sends, before it has a connection to send it on.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) content: Content,
    /// The content's length in bytes.
    pub(crate) length: u64,
    /// Is told of every byte and of the end; none: the request is not logged.
    pub(crate) entry: Option<Entry>,
}

/// An answer's body. It ends after exactly the length it was made with, or with an error.
pub(crate) struct AnswerBody {
    content: Content,
    remaining: u64,
    report: Arc<Report>,
    /// Where files go, if the connection can send them.
    lane: Option<Lane>,
    /// The turns that it takes with the other bodies of the server.
    turns: Arc<Turns>,
    /// What it has sent since its turn came, in bytes.
    burst: usize,
    wait: Option<Wait>,
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

impl AnswerBody {
    /// The body of an answer on one connection. `answering` is kept until all of it is out. Files go into `lane`; without
    /// one they are copied.
    pub(crate) fn new(
        outgoing: Outgoing,
        answering: Answering,
        lane: Option<Lane>,
        turns: Arc<Turns>,
    ) -> Self {
        let Outgoing { content, length, entry } = outgoing;
        let report = Report::new(length, entry, answering);
        Self { content, remaining: length, report, lane, turns, burst: 0, wait: None }
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk, PullError>> {
        let piece = match (&mut self.content, &self.lane) {
            (Content::Whole(bytes), _) => Some(Ok(Piece::Bytes(std::mem::take(bytes)))),
            (Content::Blob(reader), Some(_)) => ready!(reader.poll_piece(cx)),
            (Content::Blob(reader), None) => {
                ready!(reader.poll_chunk(cx)).map(|chunk| chunk.map(Piece::Bytes))
            }
            (Content::Parts(parts), lane) => ready!(parts.poll_piece(cx, lane.is_some())),
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
