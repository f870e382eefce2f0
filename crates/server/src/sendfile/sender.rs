//! The writing half: what hyper writes goes to the socket, with files in the place of their stand-ins.

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

use super::{Lane, is_stand_in};
use crate::clock::Clock;

/// How long bytes that were in the page cache are taken to be there. A client that keeps a piece waiting for
/// longer costs another look.
const CACHED_FOR: Duration = Duration::from_secs(1);

type Loading = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Sends one connection's files. It belongs to the connection's socket.
#[derive(Default)]
pub(crate) struct Sender {
    lane: Lane,
    /// Until when, and up to which byte of the first file, sending does not wait for the disk.
    cached: Option<(Instant, u64)>,
    /// Brings the first file's bytes, up to this one, into the page cache.
    loading: Option<(u64, Loading)>,
}

/// A stored file whose bytes could not be had: no fault of the client's.
#[derive(Debug, thiserror::Error)]
#[error("a stored file cannot be sent: {0}")]
pub(crate) struct Broken(String);

impl Sender {
    /// Where bodies put their files.
    pub(crate) fn lane(&self) -> Lane {
        self.lane.clone()
    }

    /// Writes the beginning of `slices`: of bytes in memory up to a file, or of one file.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &TcpStream,
        clock: &Clock,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        {
            let queue = self.lane.queue();
            if queue.taken_off > queue.sent {
                return Poll::Ready(Err(io::Error::other("a stand-in for a file was copied")));
            }
        }
        match slices.iter().position(is_stand_in) {
            Some(0) => {
                let shown = slices.iter().take_while(|slice| is_stand_in(slice)).map(|slice| slice.len());
                self.poll_send(cx, stream, clock, shown.sum())
            }
            // The kernel is to put the file's first bytes into the same packet.
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
                    return Poll::Ready(Err(self.broken(error.to_string())));
                }
                // They are not looked for again: some file systems cannot tell.
                self.note_cached(end);
            }
            ready!(poll_writable(cx, stream, clock))?;
            let (blob, offset, length) = self.first(length_max);
            let Some(file) = blob.as_file() else {
                return Poll::Ready(Err(self.broken("its file system cannot send it".to_owned())));
            };
            let end = offset + length as u64;
            if !self.is_cached(end) {
                if !file.is_cached(offset, length) {
                    // The socket takes more; from here on it is not the client who is waited for.
                    clock.sent();
                    self.loading = Some((end, Box::pin(load(blob.clone(), offset, length))));
                    continue;
                }
                self.note_cached(end);
            }
            match stream.try_io(Interest::WRITABLE, || file.send(stream, offset, length)) {
                Ok(0) => return Poll::Ready(Err(self.broken("it is shorter than it was".to_owned()))),
                Ok(count) => {
                    clock.sent();
                    self.account(count as u64);
                    return Poll::Ready(Ok(count));
                }
                // tokio forgets that the socket was writable, so the next look waits for it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if concerns_the_client(&error) => return Poll::Ready(Err(error)),
                Err(error) => return Poll::Ready(Err(self.broken(error.to_string()))),
            }
        }
    }

    fn first(&self, length_max: usize) -> (OpenBlob, u64, usize) {
        let queue = self.lane.queue();
        let piece = &queue.files.front().expect("a chunk stands for a file of the lane").piece;
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
        let mut queue = self.lane.queue();
        queue.sent += count;
        let first = queue.files.front_mut().expect("something of it was sent");
        first.report.taken(count);
        first.piece.offset += count;
        first.piece.length -= count;
        if first.piece.length == 0 {
            queue.files.pop_front();
            self.cached = None;
        }
    }

    fn broken(&self, detail: String) -> io::Error {
        let broken = Broken(detail);
        if let Some(first) = self.lane.queue().files.front() {
            first.report.cut(broken.to_string());
        }
        io::Error::other(broken)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// Brings bytes of a file into the page cache.
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

/// Whether sending failed for the connection's sake, and not the file's (send(2), "Errors").
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
