//! Listening sockets, and accepting from them under a limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::seats::{Seat, Seats};

/// Connections that the kernel may hold for us until they are accepted.
const BACKLOG_COUNT: u32 = 4096;

/// How long accepting rests when the process is out of descriptors or memory: trying again at once would
/// fail again and burn a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// A socket that nobody can connect to yet: to be had before anything is done that a start which fails for it would leave
/// behind.
#[derive(Debug)]
pub struct BoundSocket {
    socket: TcpSocket,
    address: SocketAddr,
}

impl BoundSocket {
    /// Binds a socket to `address`. Its port can be taken over at once from a process that just ended.
    ///
    /// # Errors
    /// [`BindError`] if the address cannot be had.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        };
        let socket = bind().map_err(|source| BindError { address, source })?;
        Ok(Self { socket, address })
    }

    /// Lets clients connect. This fails where another process that was bound too has begun to listen.
    pub(crate) fn listen(self) -> Result<Listening, BindError> {
        let Self { socket, address } = self;
        let listening = socket.listen(BACKLOG_COUNT).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok(Listening { listener, address })
        });
        listening.map_err(|source| BindError { address, source })
    }
}

/// A socket that clients can connect to.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    /// Its address, with the port that was chosen for port 0.
    pub(crate) address: SocketAddr,
}

/// Accepts until `shutdown` is cancelled, and closes the listening socket then. Each connection gets
/// one of `seats`.
pub(crate) async fn accept(
    listener: TcpListener,
    seats: Arc<Seats>,
    shutdown: CancellationToken,
    mut start: impl FnMut(TcpStream, SocketAddr, Seat),
) {
    let mut is_short = false;
    let accept_next = async {
        loop {
            match listener.accept().await {
                Ok((stream, client)) => {
                    is_short = false;
                    let seat = seats.take(client.ip()).await;
                    start(stream, client, seat);
                }
                Err(error) if concerns_one_client(&error) => {}
                Err(error) => {
                    if !is_short {
                        tracing::warn!(%error, "accepting connections rests: the process is short of something");
                    }
                    is_short = true;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept_next => {}
    }
}

/// Whether `accept` failed for a connection that is already gone (accept(2), "Error handling").
fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}
