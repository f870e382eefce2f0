//! A listening port that the test can open and close.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::log::{Connected, Log};
use super::route::Endpoint;

/// What happens to new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// They are served.
    #[default]
    Open,
    /// `ECONNREFUSED`, and all existing connections are cut, as when the process dies. The port stays
    /// reserved.
    Refuse,
    /// Accepted and closed without a byte.
    CloseOnAccept,
    /// Accepted, and neither read nor answered until the door is set again, which closes them. With TLS the
    /// handshake stalls.
    Mute,
}

/// A reserved port without a listener.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    /// Bound and never listening: reserves the port while the door refuses.
    placeholder: TcpSocket,
}

impl Port {
    pub(crate) fn reserve() -> io::Result<Self> {
        let placeholder = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { address: placeholder.local_addr()?, placeholder })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens, and passes every connection to `serve`.
    pub(crate) fn listen<S, F>(self, endpoint: Endpoint, log: Arc<Log>, serve: S) -> io::Result<Listener>
    where
        S: Fn(TcpStream, Connected) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let socket = listen(self.address)?;
        let (door, doors) = watch::channel(Door::Open);
        let (effective, in_effect) = watch::channel(Door::Open);
        let address = self.address;
        let accepting = Accepting { address, endpoint, log, serve, effective, doors };
        let task = tokio::spawn(accepting.run(socket)).abort_handle();
        Ok(Listener { address, door, in_effect, task, _placeholder: self.placeholder })
    }
}

/// A port in use; stops and cuts its connections when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    address: SocketAddr,
    door: watch::Sender<Door>,
    in_effect: watch::Receiver<Door>,
    task: AbortHandle,
    _placeholder: TcpSocket,
}

impl Listener {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the door; in force when this returns.
    pub(crate) async fn set_door(&self, door: Door) {
        self.door.send_replace(door);
        let mut in_effect = self.in_effect.clone();
        let is_set = in_effect.wait_for(|effective| *effective == door).await.is_ok();
        assert!(is_set, "the task that accepts lives as long as its listener");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Accepting<S> {
    address: SocketAddr,
    endpoint: Endpoint,
    log: Arc<Log>,
    serve: S,
    effective: watch::Sender<Door>,
    doors: watch::Receiver<Door>,
}

impl<S, F> Accepting<S>
where
    S: Fn(TcpStream, Connected) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    async fn run(mut self, first: TcpListener) {
        let mut socket = Some(first);
        let mut connections = JoinSet::new();
        let mut muted = Vec::new();
        loop {
            let door = *self.doors.borrow_and_update();
            if door != *self.effective.borrow() {
                muted.clear();
            }
            if door == Door::Refuse {
                socket = None;
                connections.shutdown().await;
            } else if socket.is_none() {
                socket = Some(listen(self.address).expect("the placeholder keeps the port"));
            }
            self.effective.send_replace(door);
            tokio::select! {
                biased;
                changed = self.doors.changed() => if changed.is_err() { return },
                Some(_) = connections.join_next() => {}
                stream = accept(socket.as_ref()) => {
                    let connected = self.log.connected(self.endpoint);
                    match door {
                        Door::Open => { connections.spawn((self.serve)(stream, connected)); }
                        Door::Mute => muted.push((stream, connected)),
                        Door::CloseOnAccept | Door::Refuse => {}
                    }
                }
            }
        }
    }
}

/// The next connection; never returns without a socket. A connection that died in the queue is skipped.
async fn accept(socket: Option<&TcpListener>) -> TcpStream {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        if let Ok((stream, _)) = socket.accept().await {
            return stream;
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen(1024)
}

/// `SO_REUSEPORT` lets the placeholder and the listener share the port; only the one that listens gets
/// connections.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}
