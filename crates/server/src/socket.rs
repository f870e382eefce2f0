//! A client's socket, which tells the connection's clock of every byte that moves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::clock::{Clock, Overdue};
use crate::sendfile::{Lane, Sender};

/// What is read and thrown away after the last answer, in bytes, before the connection is closed regardless.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// A TCP stream under a [`Clock`].
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    clock: Arc<Clock>,
    sender: Sender,
    is_shut: bool,
    discarded: usize,
}

impl Socket {
    /// Takes an accepted stream.
    pub(crate) fn new(stream: TcpStream, clock: Arc<Clock>) -> Self {
        Self { stream, clock, sender: Sender::default(), is_shut: false, discarded: 0 }
    }

    /// Where bodies put files that this socket is to send.
    pub(crate) fn lane(&self) -> Lane {
        self.sender.lane()
    }

    /// Reads until the client closes its side. Closing while it still sends (a push whose body nobody reads)
    /// would make the kernel answer with a reset, and a reset can overtake our answer.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0_u8; 4096];
        while self.discarded < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
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
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.clock.received();
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
        socket.sender.poll_write(cx, &socket.stream, &socket.clock, slices)
    }

    fn is_write_vectored(&self) -> bool {
        // Then hyper hands body chunks over as they are, instead of copying them behind the head: what
        // stands for a file must not be copied.
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
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
            let _ = self.stream.set_zero_linger();
        }
    }
}
