//! What the kernel holds of an answer beyond what it has sent: little for a client whose line may be thin, more
//! for one that has proved fast.
//!
//! A connection's clock feels that a client reads when the socket takes more bytes. With as much unsent as a
//! send buffer grows to, megabytes would have to drain before it does, and a client on a thin line would look
//! like one that does not read. To a fast client the same bound only means more turns: each fills the socket
//! less, and costs as much.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What may be unsent for a client that has not proved fast, in bytes.
const UNSENT_BYTES_MAX: u32 = 256 * 1024;

/// The same for one that has, in bytes: what lets the kernel send on by itself while other connections have
/// their turn. One that slows down again has a minute for half of it before it counts as not reading.
const UNSENT_BYTES_MAX_IF_FAST: u32 = 4 << 20;

/// A client that takes so many bytes in so much time is fast.
const PROOF_BYTES: usize = 8 << 20;
const PROOF_TIME: Duration = Duration::from_secs(1);

/// Watches how fast one client takes what it is sent.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// Since when, and how many bytes the socket took since; none once the client has proved fast.
    taken: Option<(Instant, usize)>,
}

impl Unsent {
    /// Bounds what the kernel holds for a client that is yet unknown.
    pub(crate) fn bounded(stream: &TcpStream) -> Self {
        // Emulated kernels do not have it; there only the thinnest lines suffer.
        let bounded = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
        Self { taken: bounded.is_ok().then(|| (Instant::now(), 0)) }
    }

    /// The socket took `count` more bytes; raises the bound once that was fast.
    pub(crate) fn took(&mut self, count: usize, stream: &TcpStream) {
        let Some((since, taken)) = &mut self.taken else { return };
        *taken += count;
        if *taken < PROOF_BYTES {
            return;
        }
        if since.elapsed() > PROOF_TIME {
            (*since, *taken) = (Instant::now(), 0);
            return;
        }
        self.taken = None;
        // A socket that refuses is as good as before, only dearer.
        let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX_IF_FAST);
    }
}

#[cfg(test)]
mod tests;
