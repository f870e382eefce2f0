//! The server: its listeners, and its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cache::Backend;
use policy::host::RoutingTable;
use telemetry::Metrics;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::Admin;
use crate::clock::Limits;
use crate::connection::{self, Terms};
use crate::handle::Public;
use crate::lateness;
use crate::listen;
use crate::renewal;
use crate::request_id::RequestIds;
use crate::seats::{Seat, Seats};
use crate::settings::Settings;
use crate::surface::Surface;
use crate::turns::Turns;
use crate::wrong_port::WrongPorts;

/// Connections of the admin listener open at once: a scraper or two and a person.
const ADMIN_CONNECTION_COUNT_MAX: usize = 64;

/// The longest that a client beyond the bounds takes for each step until it is turned away.
pub(crate) const TURN_AWAY_WAIT_MAX: Duration = Duration::from_secs(1);

/// What a server is made of.
#[derive(Debug)]
pub struct Parts {
    /// The registries, in the order that `routes` was made from.
    pub registries: Vec<Arc<Backend>>,
    /// Which registry a request is meant for.
    pub routes: RoutingTable,
    /// The process's numbers.
    pub metrics: Arc<Metrics>,
    /// Addresses and bounds.
    pub settings: Settings,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// The sockets of a server, which nobody can connect to yet: to be had before anything is done that a start which
/// fails for them would leave behind.
#[derive(Debug)]
pub struct Sockets {
    plain: Vec<(TcpSocket, SocketAddr)>,
    tls: Vec<(TcpSocket, SocketAddr)>,
    admin: Option<(TcpSocket, SocketAddr)>,
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
        let bind = |address: &SocketAddr| {
            let bound = listen::bind(*address).map(|socket| (socket, *address));
            bound.map_err(|source| BindError { address: *address, source })
        };
        Ok(Self {
            plain: settings.listen.iter().map(bind).collect::<Result<_, _>>()?,
            tls: settings.tls.iter().flat_map(|tls| &tls.listen).map(bind).collect::<Result<_, _>>()?,
            admin: settings.admin.as_ref().map(|admin| bind(&admin.listen)).transpose()?,
        })
    }
}

/// A server whose sockets listen and which accepts nobody yet.
#[derive(Debug)]
pub struct Server {
    parts: Parts,
    listeners: Vec<(TcpListener, SocketAddr)>,
    tls_listeners: Vec<(TcpListener, SocketAddr)>,
    admin: Option<(TcpListener, SocketAddr)>,
    /// Places for requests that are being answered.
    places: Arc<Semaphore>,
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
        let sockets = Sockets::bind(&parts.settings)?;
        Self::listen(parts, sockets)
    }

    /// Listens on the sockets, which are those of the parts' settings. To be called once everything that answers is
    /// ready, because from here on clients are kept waiting instead of being refused.
    ///
    /// # Errors
    /// [`BindError`] for an address on which another process listens since it was bound here.
    pub fn listen(parts: Parts, sockets: Sockets) -> Result<Self, BindError> {
        let listen_all = |sockets: Vec<_>| sockets.into_iter().map(listen_on).collect::<Result<Vec<_>, _>>();
        let listeners = listen_all(sockets.plain)?;
        let tls_listeners = listen_all(sockets.tls)?;
        let admin = sockets.admin.map(listen_on).transpose()?;
        let places = Arc::new(Semaphore::new(parts.settings.answer_count_max));
        Ok(Self { parts, listeners, tls_listeners, admin, places })
    }

    /// The public listeners' addresses, with the ports that were chosen for port 0.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(_, address)| *address).collect()
    }

    /// The addresses of the public listeners that speak TLS.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.tls_listeners.iter().map(|(_, address)| *address).collect()
    }

    /// The admin listener's address, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// What counts the requests that are being answered.
    pub fn running(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let (places, place_count) = (Arc::clone(&self.places), self.parts.settings.answer_count_max);
        move || place_count.saturating_sub(places.available_permits())
    }

    /// Serves until `shutdown` is cancelled and every running answer is finished, or the grace period for
    /// them is over. New connections are refused from the moment of cancellation, so that clients turn to
    /// the real registry at once.
    pub async fn serve(self, shutdown: CancellationToken) {
        let Self { parts, listeners, tls_listeners, admin, places } = self;
        let Parts { registries, routes, metrics, settings } = parts;
        let connections = TaskTracker::new();
        let turns = Arc::new(Turns::default());
        let wrong_ports = Arc::new(WrongPorts::default());
        let terms = |surface, limits| {
            Arc::new(Terms {
                surface,
                limits,
                sendfile: settings.sendfile,
                turns: Arc::clone(&turns),
                wrong_ports: Arc::clone(&wrong_ports),
                metrics: Arc::clone(&metrics),
                shutdown_grace: settings.shutdown_grace,
                shutdown: shutdown.clone(),
            })
        };
        let start =
            |listener, tls, doors, seats| accept(listener, tls, doors, seats, &connections, &shutdown);

        if let Some((listener, _)) = admin {
            let token = settings.admin.as_ref().and_then(|admin| admin.token.as_ref());
            let hosts = settings.admin_hosts.clone();
            let admin = Admin::new(&registries, Arc::clone(&metrics), token, hosts, shutdown.clone());
            let seats = Seats::new(ADMIN_CONNECTION_COUNT_MAX, ADMIN_CONNECTION_COUNT_MAX);
            let terms = terms(Surface::Admin(admin), limits(&settings));
            start(listener, None, Doors { own: Arc::clone(&terms), extra: terms }, seats);
        }
        let public = Arc::new(Public {
            registries,
            routes,
            metrics: Arc::clone(&metrics),
            ids: RequestIds::new(),
            places,
            answer_wait_max: settings.answer_wait_max,
            shutdown: shutdown.clone(),
        });
        let doors = Doors {
            own: terms(Surface::Public(Arc::clone(&public)), limits(&settings)),
            extra: terms(Surface::Crowded(public), limits(&settings).within(TURN_AWAY_WAIT_MAX)),
        };
        let seats = Seats::new(settings.connection_count_max, settings.client_connection_count_max);
        let acceptor = settings.tls.as_ref().map(|tls| tls.identity.acceptor());
        let plain = listeners.into_iter().map(|(listener, _)| (listener, None));
        let encrypted = tls_listeners.into_iter().map(|(listener, _)| (listener, acceptor.clone()));
        for (listener, tls) in plain.chain(encrypted) {
            start(listener, tls, doors.clone(), Arc::clone(&seats));
        }

        if let Some(tls) = &settings.tls {
            let watch = renewal::watch(tls.identity.clone(), Arc::clone(&metrics));
            connections.spawn(shutdown.clone().run_until_cancelled_owned(watch));
        }
        let watch = lateness::watch(Arc::clone(&metrics));
        connections.spawn(shutdown.clone().run_until_cancelled_owned(watch));
        shutdown.cancelled().await;
        metrics.draining();
        connections.close();
        connections.wait().await;
    }
}

/// Listens on a socket; its address gets the port that was chosen for port 0.
fn listen_on((socket, address): (TcpSocket, SocketAddr)) -> Result<(TcpListener, SocketAddr), BindError> {
    let listening = listen::listen(socket).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    listening.map_err(|source| BindError { address, source })
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        header_wait_max: settings.header_wait_max,
        idle_max: settings.idle_max,
        stall_max: settings.stall_max,
        silence_max: settings.silence_max,
        half_closed_max: settings.half_closed_max,
        linger_max: settings.linger_max,
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
