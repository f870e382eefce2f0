//! The server: its listeners, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{self, Terms};
use crate::handle::Public;
use crate::lateness;
use crate::listen::{self, BindError, BoundSocket, Listening};
use crate::permits::Permits;
use crate::renewal;
use crate::request_id::RequestIds;
use crate::seats::{Seat, Seats};
use crate::settings::Settings;
use crate::side::SideService;
use crate::snapshot::{Control, Current, Snapshot};
use crate::surface::Surface;
use crate::tls::Certificates;
use crate::turns::Turns;
use crate::wrong_port::WrongPorts;

/// The longest that a client beyond the bounds takes for each step until it is turned away.
pub(crate) const TURN_AWAY_WAIT_MAX: Duration = Duration::from_secs(1);

/// What a server is made of.
#[derive(Debug)]
pub struct Parts {
    /// The registries and settings to begin with.
    pub snapshot: Snapshot,
    /// The process's numbers.
    pub metrics: Arc<Metrics>,
}

/// The sockets of the public listeners.
#[derive(Debug)]
pub struct Sockets {
    plain: Vec<BoundSocket>,
    tls: Vec<BoundSocket>,
}

impl Sockets {
    /// Binds every address of the settings.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be had.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        let bind = |address: &SocketAddr| BoundSocket::bind(*address);
        Ok(Self {
            plain: settings.listen.iter().map(bind).collect::<Result<_, _>>()?,
            tls: settings.tls.iter().flat_map(|tls| &tls.listen).map(bind).collect::<Result<_, _>>()?,
        })
    }
}

/// A server whose sockets listen and which accepts nobody yet.
#[derive(Debug)]
pub struct Server {
    metrics: Arc<Metrics>,
    listeners: Vec<Listening>,
    tls_listeners: Vec<Listening>,
    sides: Vec<Side>,
    control: Control,
}

/// A listener beside the public ones.
#[derive(Debug)]
struct Side {
    listening: Listening,
    connection_count_max: usize,
    service: Arc<dyn SideService>,
}

impl Server {
    /// Binds every address of the settings and listens there.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be had.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(parts: Parts) -> Result<Self, BindError> {
        let sockets = Sockets::bind(&parts.snapshot.settings)?;
        Self::listen(parts, sockets)
    }

    /// Listens on the sockets, which are those of the parts' settings. To be called once everything that answers is
    /// ready, because from here on clients are kept waiting instead of being refused.
    ///
    /// # Errors
    /// [`BindError`] for an address on which another process listens since it was bound here.
    pub fn listen(parts: Parts, sockets: Sockets) -> Result<Self, BindError> {
        let listen_all = |sockets: Vec<BoundSocket>| {
            sockets.into_iter().map(BoundSocket::listen).collect::<Result<Vec<_>, _>>()
        };
        let Parts { snapshot, metrics } = parts;
        let settings = &snapshot.settings;
        Ok(Self {
            metrics,
            listeners: listen_all(sockets.plain)?,
            tls_listeners: listen_all(sockets.tls)?,
            sides: Vec::new(),
            control: Control {
                places: Arc::new(Permits::new(settings.answer_count_max)),
                seats: Seats::new(settings.connection_count_max, settings.client_connection_count_max),
                certificates: settings.tls.as_ref().map(|tls| Certificates::new(&tls.identity)),
                current: Current::new(snapshot),
            },
        })
    }

    /// The public listeners' addresses, with the ports that were chosen for port 0.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|it| it.address).collect()
    }

    /// The addresses of the public listeners that speak TLS.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.tls_listeners.iter().map(|it| it.address).collect()
    }

    /// Listens on `socket` too, for `service`, which has at most `connection_count_max` connections at once. Returns the
    /// address, with the port that was chosen for port 0.
    ///
    /// # Errors
    /// [`BindError`] if another process listens there since it was bound.
    pub fn attach(
        &mut self,
        socket: BoundSocket,
        connection_count_max: usize,
        service: Arc<dyn SideService>,
    ) -> Result<SocketAddr, BindError> {
        let listening = socket.listen()?;
        let address = listening.address;
        self.sides.push(Side { listening, connection_count_max, service });
        Ok(address)
    }

    /// Changes what is served while the server runs.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until `shutdown` is cancelled and every running answer is finished, or the grace period for
    /// them is over. New connections are refused from the moment of cancellation, so that clients turn to
    /// the real registry at once.
    pub async fn serve(self, shutdown: CancellationToken) {
        let metrics = Arc::clone(&self.metrics);
        let connections = TaskTracker::new();
        self.start(&connections, &shutdown);
        shutdown.cancelled().await;
        metrics.draining();
        connections.close();
        connections.wait().await;
    }

    /// Starts the listeners and the watches as tasks of `connections`.
    fn start(self, connections: &TaskTracker, shutdown: &CancellationToken) {
        let Self { metrics, listeners, tls_listeners, sides, control } = self;
        let Control { current, places, seats, certificates } = control;
        let turns = Arc::new(Turns::default());
        let wrong_ports = Arc::new(WrongPorts::default());
        let terms = |surface, hurry| {
            Arc::new(Terms {
                surface,
                current: current.clone(),
                hurry,
                turns: Arc::clone(&turns),
                wrong_ports: Arc::clone(&wrong_ports),
                metrics: Arc::clone(&metrics),
                shutdown: shutdown.clone(),
            })
        };
        let start = |listener, tls, doors, seats| accept(listener, tls, doors, seats, connections, shutdown);

        for Side { listening, connection_count_max, service } in sides {
            let seats = Seats::new(connection_count_max, connection_count_max);
            let terms = terms(Surface::Side(service), None);
            start(listening.listener, None, Doors { own: Arc::clone(&terms), extra: terms }, seats);
        }
        let public = Arc::new(Public {
            current: current.clone(),
            metrics: Arc::clone(&metrics),
            ids: RequestIds::new(),
            places,
            shutdown: shutdown.clone(),
        });
        let doors = Doors {
            own: terms(Surface::Public(Arc::clone(&public)), None),
            extra: terms(Surface::Crowded(public), Some(TURN_AWAY_WAIT_MAX)),
        };
        let acceptor = certificates.as_ref().map(Certificates::acceptor);
        let plain = listeners.into_iter().map(|it| (it.listener, None));
        let encrypted = tls_listeners.into_iter().map(|it| (it.listener, acceptor.clone()));
        for (listener, tls) in plain.chain(encrypted) {
            start(listener, tls, doors.clone(), Arc::clone(&seats));
        }

        if let Some(certificates) = certificates {
            let watch = renewal::watch(certificates, Arc::clone(&metrics));
            connections.spawn(shutdown.clone().run_until_cancelled_owned(watch));
        }
        let watch = lateness::watch(Arc::clone(&metrics));
        connections.spawn(shutdown.clone().run_until_cancelled_owned(watch));
    }
}

/// The terms for connections with a seat of their own, and for those with an extra one.
#[derive(Clone)]
struct Doors {
    own: Arc<Terms>,
    extra: Arc<Terms>,
}

/// Starts the accepting task of one listener; it and the connections are tasks of `connections`.
fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    doors: Doors,
    seats: Arc<Seats>,
    connections: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let tracker = connections.clone();
    let accepting = listen::accept(listener, seats, shutdown.clone(), move |stream, client, seat| {
        let terms = Arc::clone(match seat {
            Seat::Own(_) => &doors.own,
            Seat::Extra(_) => &doors.extra,
            Seat::Nothing => return doors.own.metrics.connection_refused(),
        });
        let tls = tls.clone();
        tracker.spawn(async move {
            connection::serve(stream, client, terms, tls).await;
            drop(seat);
        });
    });
    connections.spawn(accepting);
}
