//! The writing half: writes hyper's bytes to the socket, with files in place of their stand-ins.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use storage::OpenBlob;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::{FileQueue, is_stand_in};
use crate::clock::Clock;

/// The time for which bytes found in the page cache are assumed to stay there. A slower client costs another
/// check.
const CACHED_FOR: Duration = Duration::from_secs(1);

type Loading = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Sends one connection's files. It belongs to the connection's socket.
#[derive(Default)]
pub(crate) struct Sender {
    file_queue: FileQueue,
    /// The time until which, and the byte up to which, the first file is in the page cache.
    cached: Option<(Instant, u64)>,
    /// Reads the first file, up to this byte, into the page cache.
    loading: Option<(u64, Loading)>,
}

/// A stored file that cannot be sent. The client did not cause it.
#[derive(Debug, thiserror::Error)]
#[error("cannot send a stored file")]
pub(crate) struct FileSendError(#[source] io::Error);

impl Sender {
    /// The queue into which bodies put their files.
    pub(crate) fn file_queue(&self) -> FileQueue {
        self.file_queue.clone()
    }

    /// Writes the beginning of `slices`: either the bytes in memory before a file, or one file.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &TcpStream,
        clock: &Clock,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        {
            let queue = self.file_queue.state();
            if queue.consumed > queue.sent {
                return Poll::Ready(Err(io::Error::other("hyper copied the stand-in for a file")));
            }
        }
        match slices.iter().position(is_stand_in) {
            Some(0) => {
                let shown = slices.iter().take_while(|slice| is_stand_in(slice)).map(|slice| slice.len());
                self.poll_send(cx, stream, clock, shown.sum())
            }
            // `MORE` lets the kernel put the file's first bytes into the same packet.
            Some(count) => poll_memory(cx, stream, clock, &slices[..count], SendFlags::MORE),
            None => poll_memory(cx, stream, clock, slices, SendFlags::empty()),
        }
    }

    /// Sends up to `length_max` bytes of the first file.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &TcpStream,
        clock: &Clock,
        length_max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some((end, loading)) = &mut self.loading {
                let (end, loaded) = (*end, ready!(loading.as_mut().poll(cx)));
                self.loading = None;
                if let Err(error) = loaded {
                    return Poll::Ready(Err(self.fail(error)));
                }
                // No second check: some file systems cannot tell what is cached.
                self.note_cached(end);
            }
            ready!(poll_writable(cx, stream, clock))?;
            let (blob, offset, length) = self.first(length_max);
            let Some(file) = blob.as_file() else {
                return Poll::Ready(Err(self.fail(io::Error::other("its file system does not support it"))));
            };
            let end = offset + length as u64;
            if !self.is_cached(end) {
                if !file.is_cached(offset, length) {
                    // The socket has room, so the answer now waits for the disk, not for the client.
                    clock.sent();
                    self.loading = Some((end, Box::pin(load(blob.clone(), offset, length))));
                    continue;
                }
                self.note_cached(end);
            }
            match stream.try_io(Interest::WRITABLE, || file.send(stream, offset, length)) {
                Ok(0) => return Poll::Ready(Err(self.fail(io::Error::other("it is shorter than before")))),
                Ok(count) => {
                    clock.sent();
                    self.account(count as u64);
                    return Poll::Ready(Ok(count));
                }
                // tokio clears the socket's readiness, so the next poll waits for it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if concerns_the_client(&error) => return Poll::Ready(Err(error)),
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
    }

    fn first(&self, length_max: usize) -> (OpenBlob, u64, usize) {
        let queue = self.file_queue.state();
        let piece = &queue.pieces.front().expect("each stand-in has a piece in the queue").piece;
        let length = usize::try_from(piece.length).unwrap_or(usize::MAX).min(length_max);
        (piece.blob.clone(), piece.offset, length)
    }

    fn note_cached(&mut self, end: u64) {
        self.cached = Some((Instant::now() + CACHED_FOR, end));
    }

    fn is_cached(&self, end: u64) -> bool {
        self.cached.is_some_and(|(until, cached_to)| end <= cached_to && Instant::now() < until)
    }

    fn account(&mut self, count: u64) {
        let mut queue = self.file_queue.state();
        queue.sent += count;
        let first = queue.pieces.front_mut().expect("the piece was just sent");
        first.report.taken(count);
        first.piece.offset += count;
        first.piece.length -= count;
        if first.piece.length == 0 {
            queue.pieces.pop_front();
            self.cached = None;
        }
    }

    /// Breaks the answer off, and returns the error for hyper.
    fn fail(&self, cause: io::Error) -> io::Error {
        let error = FileSendError(cause);
        if let Some(first) = self.file_queue.state().pieces.front() {
            first.report.cut(telemetry::error_chain(&error));
        }
        io::Error::other(error)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("file_queue", &self.file_queue).finish_non_exhaustive()
    }
}

/// Reads bytes of a file into the page cache.
async fn load(blob: OpenBlob, offset: u64, length: usize) -> io::Result<()> {
    match blob.as_file() {
        Some(file) => file.load(offset, length).await,
        None => Ok(()),
    }
}

fn poll_memory(
    cx: &mut Context<'_>,
    stream: &TcpStream,
    clock: &Clock,
    slices: &[IoSlice<'_>],
    flags: SendFlags,
) -> Poll<io::Result<usize>> {
    let flags = flags | SendFlags::NOSIGNAL;
    loop {
        ready!(poll_writable(cx, stream, clock))?;
        let send = || Ok(sendmsg(stream, slices, &mut SendAncillaryBuffer::default(), flags)?);
        match stream.try_io(Interest::WRITABLE, send) {
            Ok(count) => {
                clock.sent();
                return Poll::Ready(Ok(count));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

fn poll_writable(cx: &mut Context<'_>, stream: &TcpStream, clock: &Clock) -> Poll<io::Result<()>> {
    let writable = stream.poll_write_ready(cx);
    if writable.is_pending() {
        clock.blocked();
    }
    writable
}

/// Whether sending failed because of the connection, not the file (send(2), "Errors").
fn concerns_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}
