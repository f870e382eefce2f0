//! Limits the unsent bytes in a socket's send buffer: few for a client that may be slow, more for one that
//! has proved fast.
//!
//! A connection's clock notices that a client reads when the socket takes more bytes. A send buffer can grow
//! to megabytes, all of which would have to drain first, so that a slow client would look like one that does
//! not read. For a fast client the small limit only costs more turns, which fill the socket less each.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The unsent bytes for a client that has not proved fast.
const UNSENT_BYTES_MAX: u32 = 256 * 1024;

/// The unsent bytes for a fast client: enough for the kernel to keep sending while other connections have
/// their turn. A client that slows down again has a minute for half of them before it counts as not reading.
const FAST_UNSENT_BYTES_MAX: u32 = 4 << 20;

/// A client that takes this many bytes within this time is fast.
const FAST_BYTES: usize = 8 << 20;
const FAST_TIME: Duration = Duration::from_secs(1);

/// Measures how fast one client takes bytes.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// The start of the measurement and the bytes since; `None` once the client has proved fast.
    taken: Option<(Instant, usize)>,
}

impl Unsent {
    /// Sets the limit for a new client.
    ///
    /// A Unix socket has no such limit; its buffer is small anyway.
    pub(crate) fn limit(stream: Option<&TcpStream>) -> Self {
        // Emulated kernels lack the option. Without it only the slowest clients suffer.
        let bounded =
            stream.is_some_and(|it| SockRef::from(it).set_tcp_notsent_lowat(UNSENT_BYTES_MAX).is_ok());
        Self { taken: bounded.then(|| (Instant::now(), 0)) }
    }

    /// Records that the socket took `count` more bytes, and raises the limit once the client is fast.
    pub(crate) fn record(&mut self, count: usize, stream: Option<&TcpStream>) {
        let (Some((since, taken)), Some(stream)) = (&mut self.taken, stream) else { return };
        *taken += count;
        if *taken < FAST_BYTES {
            return;
        }
        if since.elapsed() > FAST_TIME {
            (*since, *taken) = (Instant::now(), 0);
            return;
        }
        self.taken = None;
        // If this fails, the small limit stays, which only costs more turns.
        let _ = SockRef::from(stream).set_tcp_notsent_lowat(FAST_UNSENT_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests;
