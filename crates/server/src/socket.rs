//! A client's socket, which tells the connection's clock of every byte that moves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::clock::{Clock, Overdue};
use crate::sendfile::{Lane, Sender};
use crate::unsent::Unsent;

/// What is read and thrown away after the last answer, in bytes, before the connection is closed regardless.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// A connection's bytes, in the clear or encrypted.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The stream of a connection that is encrypted.
    pub(crate) fn tls(&self) -> Option<&TlsStream<TcpStream>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => Some(stream),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A stream under a [`Clock`].
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    clock: Arc<Clock>,
    sender: Sender,
    unsent: Unsent,
    /// Whether hyper has yet to learn that the client sends no more.
    hides_end: bool,
    is_shut: bool,
    discarded: usize,
}

impl Socket {
    /// Takes an accepted stream.
    pub(crate) fn new(stream: Stream, clock: Arc<Clock>) -> Self {
        let unsent = Unsent::bounded(stream.tcp());
        Self {
            stream,
            clock,
            sender: Sender::default(),
            unsent,
            hides_end: false,
            is_shut: false,
            discarded: 0,
        }
    }

    /// Where bodies put files that this socket is to send; none: what is encrypted passes through memory.
    pub(crate) fn lane(&self) -> Option<Lane> {
        matches!(self.stream, Stream::Plain(_)).then(|| self.sender.lane())
    }

    /// Whether our side is closed.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut
    }

    fn note<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &written {
            Poll::Pending => self.clock.blocked(),
            Poll::Ready(Ok(_)) => self.clock.sent(),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    /// Reads until the client closes its side. Closing while it still sends (a push whose body nobody reads)
    /// would make the kernel answer with a reset, and a reset can overtake our answer.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0_u8; 4096];
        while self.discarded < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(self.stream.poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.discarded += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(self.stream.poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.clock.received();
        } else if self.clock.half_closed() {
            // The client may have shut its sending side alone. hyper would take it for gone, and its own setting
            // for that would never look again, so that it would not see a reset.
            self.hides_end = true;
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = &mut *self;
        let written = match &mut socket.stream {
            Stream::Plain(stream) => socket.sender.poll_write(cx, stream, &socket.clock, slices),
            Stream::Tls(stream) => {
                let written = Pin::new(stream).poll_write_vectored(cx, slices);
                socket.note(written)
            }
        };
        let count = ready!(written)?;
        socket.unsent.took(count, socket.stream.tcp());
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        // Then hyper hands body chunks over as they are, instead of copying them behind the head: what
        // stands for a file must not be copied.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hides_end && !self.clock.is_answering() {
            // All is said; hyper is to read once more, and to find the end.
            self.hides_end = false;
            cx.waker().wake_by_ref();
        }
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => {
                // What was encrypted may still be waiting for the client.
                let flushed = Pin::new(stream).poll_flush(cx);
                match &flushed {
                    Poll::Pending => self.clock.blocked(),
                    Poll::Ready(Ok(())) => self.clock.flushed(),
                    Poll::Ready(Err(_)) => {}
                }
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(self.stream.poll_shutdown(cx))?;
            self.is_shut = true;
            self.clock.lingering();
        }
        ready!(self.poll_discard(cx));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.clock.given_up() == Some(Overdue::Client) {
            // The kernel would go on for minutes to offer what is buffered to a client that does not read.
            // When the option cannot be set, that is all that happens.
            let _ = self.stream.tcp().set_zero_linger();
        }
    }
}
