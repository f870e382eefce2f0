//! Listening sockets, and accepting connections from them under a limit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::address::ListenAddress;
use crate::admission::{Admission, ConnectionLimit};
use crate::socket_file::LocalListener;

/// Connections that the kernel queues until they are accepted.
const BACKLOG_COUNT: u32 = 4096;

/// The pause after `accept` failed for want of descriptors or memory. An immediate retry would fail again and
/// burn a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Stands for the address of a client that came through a socket file: it is on this machine.
const LOCAL_CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: ListenAddress,
    /// The system's error.
    pub source: io::Error,
}

/// A bound socket. A start binds its sockets first, so that a failure leaves nothing behind.
#[derive(Debug)]
pub struct BoundSocket {
    socket: Bound,
    address: ListenAddress,
}

#[derive(Debug)]
enum Bound {
    /// It does not listen yet.
    Tcp(TcpSocket),
    /// It listens already, because a file whose socket does not listen counts as left behind.
    Local(LocalListener),
}

impl BoundSocket {
    /// Binds a socket to `address`. The port of a process that has just ended can be reused at once, and a
    /// socket file that a process left behind is replaced.
    ///
    /// # Errors
    /// [`BindError`] if the address cannot be bound.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(address: impl Into<ListenAddress>) -> Result<Self, BindError> {
        let address = address.into();
        let bound = match &address {
            ListenAddress::Ip(address) => bind_tcp(*address).map(Bound::Tcp),
            ListenAddress::File(file) => LocalListener::bind(file).map(Bound::Local),
        };
        match bound {
            Ok(socket) => Ok(Self { socket, address }),
            Err(source) => Err(BindError { address, source }),
        }
    }

    /// Lets clients connect. Fails if another process has bound the address too and already listens.
    pub(crate) fn listen(self) -> Result<Listening, BindError> {
        let Self { socket, address } = self;
        let socket = match socket {
            Bound::Tcp(socket) => socket,
            Bound::Local(listener) => return Ok(Listening { listener: Listener::Local(listener), address }),
        };
        let listening = socket.listen(BACKLOG_COUNT).and_then(|listener| {
            let address = listener.local_addr()?.into();
            Ok(Listening { listener: Listener::Tcp(listener), address })
        });
        listening.map_err(|source| BindError { address, source })
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A socket that clients can connect to.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: Listener,
    /// Its address, with the port that the kernel chose for port 0.
    pub(crate) address: ListenAddress,
}

/// A socket that accepts connections.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Local(LocalListener),
}

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(TcpStream),
    Local(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().await.map(|(stream, client)| (Accepted::Tcp(stream), client))
            }
            Self::Local(local) => {
                local.listener.accept().await.map(|(stream, _)| (Accepted::Local(stream), LOCAL_CLIENT))
            }
        }
    }
}

/// Accepts connections under `limit` until `shutdown` is cancelled, then closes the listening socket.
pub(crate) async fn accept(
    listener: Listener,
    limit: Arc<ConnectionLimit>,
    shutdown: CancellationToken,
    mut start: impl FnMut(Accepted, SocketAddr, Admission),
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
