//! The body of an answer: its exact length is known, and its end is reported.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use cache::{BlobReader, PullError};
use http_body::{Body, Frame, SizeHint};

use crate::access::Entry;
use crate::clock::Clock;

/// How much one connection sends before the others of its thread get a turn, in bytes.
const TURN_BYTES: usize = 1 << 20;

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
    entry: Option<Entry>,
    answering: Option<Answering>,
    burst: usize,
    turn: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

/// Held while a request is answered: its drop tells the connection's clock that the answer is over.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Clock>);

impl Answering {
    /// A request's head is complete.
    pub(crate) fn begin(clock: &Arc<Clock>) -> Self {
        clock.request_began();
        Self(Arc::clone(clock))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answer_ended();
    }
}

impl AnswerBody {
    /// A body of `content`, which has `length` bytes. The entry, if any, is told of every byte and of the end.
    pub(crate) fn new(content: Content, length: u64, mut entry: Option<Entry>) -> Self {
        if let (0, Some(entry)) = (length, &mut entry) {
            entry.sent(0);
            entry.complete();
        }
        Self { content, remaining: length, entry, answering: None, burst: 0, turn: None }
    }

    /// Keeps `answering` until the body has ended.
    pub(crate) fn hold(&mut self, answering: Answering) {
        self.answering = Some(answering);
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, PullError>> {
        match &mut self.content {
            Content::Whole(bytes) => Poll::Ready(Ok(std::mem::take(bytes))),
            Content::Blob(reader) => match ready!(reader.poll_chunk(cx)) {
                Some(chunk) => Poll::Ready(chunk),
                None => Poll::Ready(Err(PullError::UpstreamUnavailable {
                    timed_out: false,
                    detail: format!("the content ended {} bytes early", self.remaining),
                })),
            },
        }
    }

    fn account(&mut self, chunk: &Bytes) {
        self.remaining = self.remaining.saturating_sub(chunk.len() as u64);
        if let Some(entry) = &mut self.entry {
            entry.sent(chunk.len());
            if self.remaining == 0 {
                entry.complete();
            }
        }
        self.burst += chunk.len();
        if self.burst >= TURN_BYTES {
            self.burst = 0;
            // Waking ourselves would not do: the runtime polls a woken task again before it looks at the
            // sockets, and wakes a yielded one after.
            self.turn = Some(Box::pin(tokio::task::yield_now()));
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = PullError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PullError>>> {
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
                if let Some(entry) = &mut self.entry {
                    entry.cut(error.to_string());
                }
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
