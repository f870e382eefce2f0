//! A client's socket. It reports every byte that moves to the connection's clock.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::clock::{Clock, Overdue};
use crate::sendfile::{FileQueue, Sender};
use crate::unsent::Unsent;

/// Bytes that are read and discarded after the last answer, before the connection is closed regardless.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// A connection's byte stream, plain or TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Through a socket file of this machine.
    Local(UnixStream),
}

impl Stream {
    /// The TLS stream, if this is one.
    pub(crate) fn tls(&self) -> Option<&TlsStream<TcpStream>> {
        match self {
            Self::Tls(stream) => Some(stream),
            Self::Plain(_) | Self::Local(_) => None,
        }
    }

    /// The TCP stream below, if there is one.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Local(_) => None,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Local(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Local(stream) => Pin::new(stream).poll_shutdown(cx),
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
    /// Whether hyper does not know yet that the client has shut its sending side.
    hides_eof: bool,
    is_shut: bool,
    discarded: usize,
}

impl Socket {
    /// Wraps an accepted stream.
    pub(crate) fn new(stream: Stream, clock: Arc<Clock>) -> Self {
        let unsent = Unsent::limit(stream.tcp());
        Self {
            stream,
            clock,
            sender: Sender::default(),
            unsent,
            hides_eof: false,
            is_shut: false,
            discarded: 0,
        }
    }

    /// The queue for files that this socket sends. `None` on TLS, whose bytes must pass through memory.
    pub(crate) fn file_queue(&self) -> Option<FileQueue> {
        matches!(self.stream, Stream::Plain(_)).then(|| self.sender.file_queue())
    }

    /// Whether our side is closed.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut
    }

    fn report<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &written {
            Poll::Pending => self.clock.blocked(),
            Poll::Ready(Ok(_)) => self.clock.sent(),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    /// Reads until the client closes its side. If we closed while it still sends (an unread push, for
    /// example), the kernel would send a reset, which can overtake our answer.
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
            // The client may have shut only its sending side. hyper would treat that as a disconnect; with
            // its half-close setting it would not read again, and would miss a reset.
            self.hides_eof = true;
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
                socket.report(written)
            }
            Stream::Local(stream) => {
                let written = Pin::new(stream).poll_write_vectored(cx, slices);
                socket.report(written)
            }
        };
        let count = ready!(written)?;
        socket.unsent.record(count, socket.stream.tcp());
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        // Makes hyper pass body chunks on instead of copying them behind the head. The stand-in for a file
        // must not be copied.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hides_eof && !self.clock.is_answering() {
            // All answers are complete: let hyper read again and find the end.
            self.hides_eof = false;
            cx.waker().wake_by_ref();
        }
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Local(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => {
                // Encrypted bytes may still wait for the client.
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
            // Without this the kernel would retransmit buffered bytes for minutes to a client that does not
            // read. If the option cannot be set, it does.
            let _ = self.stream.tcp().map(TcpStream::set_zero_linger);
        }
    }
}
