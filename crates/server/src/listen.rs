//! Listening sockets, and accepting connections from them under a limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, ConnectionLimit};

/// Connections that the kernel queues until they are accepted.
const BACKLOG_COUNT: u32 = 4096;

/// The pause after `accept` failed for want of descriptors or memory. An immediate retry would fail again and
/// burn a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The system's error.
    pub source: io::Error,
}

/// A bound socket that does not listen yet. A start binds its sockets first, so that a failure leaves nothing
/// behind.
#[derive(Debug)]
pub struct BoundSocket {
    socket: TcpSocket,
    address: SocketAddr,
}

impl BoundSocket {
    /// Binds a socket to `address`. The port of a process that has just ended can be reused at once.
    ///
    /// # Errors
    /// [`BindError`] if the address cannot be bound.
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

    /// Lets clients connect. Fails if another process has bound the address too and already listens.
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
    /// Its address, with the port that the kernel chose for port 0.
    pub(crate) address: SocketAddr,
}

/// Accepts connections under `limit` until `shutdown` is cancelled, then closes the listening socket.
pub(crate) async fn accept(
    listener: TcpListener,
    limit: Arc<ConnectionLimit>,
    shutdown: CancellationToken,
    mut start: impl FnMut(TcpStream, SocketAddr, Admission),
) {
    let mut is_short = false;
    let accept_next = async {
        loop {
            match listener.accept().await {
                Ok((stream, client)) => {
                    is_short = false;
                    let admission = limit.admit(client.ip()).await;
                    start(stream, client, admission);
                }
                Err(error) if concerns_one_client(&error) => {}
                Err(error) => {
                    if !is_short {
                        let error = telemetry::error_chain(&error);
                        tracing::warn!(
                            error,
                            "accept paused: the process is out of file descriptors or memory"
                        );
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

/// Whether `accept` failed because of the one connection, which is gone (accept(2), "Error handling").
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
