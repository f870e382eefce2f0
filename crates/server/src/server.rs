//! The server: its listeners, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::ListenAddress;
use crate::admission::{Admission, ConnectionLimit};
use crate::connection::{self, ConnectionContext, Tighter};
use crate::handle::Public;
use crate::lateness;
use crate::listen::{self, BindError, BoundSocket, Listener, Listening};
use crate::permits::Permits;
use crate::renewal;
use crate::request_id::RequestIds;
use crate::settings::Settings;
use crate::side::{SideBounds, SideService};
use crate::snapshot::{Control, Current, Snapshot};
use crate::surface::Surface;
use crate::tls::Tls;
use crate::turns::Turns;
use crate::wrong_port::WrongPorts;

/// The longest time for each step of a connection above the limit, which only gets a refusal.
pub(crate) const TURN_AWAY_WAIT_MAX: Duration = Duration::from_secs(1);

/// The bounds of connections above the limit.
const TURNED_AWAY: Tighter = Tighter { idle_max: None, step_wait_max: Some(TURN_AWAY_WAIT_MAX) };

/// The bounds of connections above the limit of a side service. Its clients are near, and a health probe has
/// a second for its answer, even behind connections without a request.
const SIDE_TURNED_AWAY: Tighter = Tighter { idle_max: Some(Duration::from_millis(250)), ..TURNED_AWAY };

/// The parts of a server.
#[derive(Debug)]
pub struct Parts {
    /// The registries and settings to start with.
    pub snapshot: Snapshot,
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
}

/// The sockets of the public listeners; by default none.
#[derive(Debug, Default)]
pub struct Sockets {
    plain: Vec<BoundSocket>,
    tls: Vec<BoundSocket>,
}

impl Sockets {
    /// Binds every address of the settings.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be bound.
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

/// A server whose sockets listen. It accepts connections once [`serve`](Self::serve) runs.
#[derive(Debug)]
pub struct Server {
    metrics: Arc<Metrics>,
    listeners: Vec<Listening>,
    tls_listeners: Vec<Listening>,
    sides: Vec<Side>,
    control: Control,
}

/// The listener of a side service.
#[derive(Debug)]
struct Side {
    listening: Listening,
    bounds: SideBounds,
    service: Arc<dyn SideService>,
}

impl Server {
    /// Binds every address of the settings and listens there.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(parts: Parts) -> Result<Self, BindError> {
        let sockets = Sockets::bind(&parts.snapshot.settings)?;
        Self::listen(parts, sockets)
    }

    /// Listens on the sockets, which must belong to the settings of `parts`. Call this when everything else
    /// is ready: from now on clients wait instead of being refused.
    ///
    /// # Errors
    /// [`BindError`] for an address on which another process has begun to listen since it was bound here.
    pub fn listen(parts: Parts, sockets: Sockets) -> Result<Self, BindError> {
        let listen_all = |sockets: Vec<BoundSocket>| {
            sockets.into_iter().map(BoundSocket::listen).collect::<Result<Vec<_>, _>>()
        };
        let Parts { snapshot, metrics } = parts;
        let settings = &snapshot.settings;
        let challenges = Arc::default();
        Ok(Self {
            metrics,
            listeners: listen_all(sockets.plain)?,
            tls_listeners: listen_all(sockets.tls)?,
            sides: Vec::new(),
            control: Control {
                answer_permits: Arc::new(Permits::new(settings.answer_count_max)),
                connection_limit: ConnectionLimit::new(
                    settings.connection_count_max,
                    settings.client_connection_count_max,
                ),
                tls: settings.tls.as_ref().map(|tls| Tls::new(tls, Arc::clone(&challenges))),
                challenges,
                current: Current::new(snapshot),
            },
        })
    }

    /// The public listeners' addresses, with the ports that the kernel chose for port 0.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|it| it.address.ip()).collect()
    }

    /// The addresses of the public TLS listeners.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.tls_listeners.iter().filter_map(|it| it.address.ip()).collect()
    }

    /// Also listens on `socket`, for `service`, whose connections have these bounds. Returns the address,
    /// with the port that the kernel chose for port 0.
    ///
    /// # Errors
    /// [`BindError`] if another process has begun to listen there since the socket was bound.
    pub fn attach(
        &mut self,
        socket: BoundSocket,
        bounds: SideBounds,
        service: Arc<dyn SideService>,
    ) -> Result<ListenAddress, BindError> {
        let listening = socket.listen()?;
        let address = listening.address.clone();
        self.sides.push(Side { listening, bounds, service });
        Ok(address)
    }

    /// Returns a handle that changes the served configuration while the server runs.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until `shutdown` is cancelled and every running answer has ended or the grace period is over.
    /// New connections are refused from the cancellation on, so that clients turn to the real registry at
    /// once.
    pub async fn serve(self, shutdown: CancellationToken) {
        let metrics = Arc::clone(&self.metrics);
        let connections = TaskTracker::new();
        self.start(&connections, &shutdown);
        shutdown.cancelled().await;
        metrics.draining();
        connections.close();
        connections.wait().await;
    }

    /// Starts the listeners and the background tasks on `connections`.
    fn start(self, connections: &TaskTracker, shutdown: &CancellationToken) {
        let Self { metrics, listeners, tls_listeners, sides, control } = self;
        let Control { current, answer_permits, connection_limit, tls: encryption, challenges } = control;
        let turns = Arc::new(Turns::default());
        let wrong_ports = Arc::new(WrongPorts::default());
        let context = |surface, tighter| {
            Arc::new(ConnectionContext {
                surface,
                current: current.clone(),
                tighter,
                turns: Arc::clone(&turns),
                wrong_ports: Arc::clone(&wrong_ports),
                metrics: Arc::clone(&metrics),
                shutdown: shutdown.clone(),
            })
        };
        let start = |listener, tls, contexts, limit| {
            accept(listener, tls, contexts, limit, connections, shutdown);
        };

        for Side { listening, bounds, service } in sides {
            let SideBounds { connection_count_max, idle_max } = bounds;
            let limit = ConnectionLimit::new(connection_count_max, connection_count_max);
            let served = Tighter { idle_max: Some(idle_max), step_wait_max: None };
            let contexts = Contexts {
                served: context(Surface::Side(Arc::clone(&service)), served),
                turned_away: context(Surface::SideTurnAway(service), SIDE_TURNED_AWAY),
            };
            start(listening.listener, None, contexts, limit);
        }
        let public = Arc::new(Public {
            current: current.clone(),
            metrics: Arc::clone(&metrics),
            ids: RequestIds::new(),
            answer_permits,
            challenges,
            shutdown: shutdown.clone(),
        });
        let contexts = Contexts {
            served: context(Surface::Public(Arc::clone(&public)), Tighter::default()),
            turned_away: context(Surface::TurnAway(public), TURNED_AWAY),
        };
        let plain = listeners.into_iter().map(|it| (it.listener, None));
        let encrypted = tls_listeners.into_iter().map(|it| (it.listener, encryption.clone()));
        for (listener, tls) in plain.chain(encrypted) {
            start(listener, tls, contexts.clone(), Arc::clone(&connection_limit));
        }

        if let Some(tls) = encryption {
            let watch = renewal::watch(tls, Arc::clone(&metrics));
            connections.spawn(shutdown.clone().run_until_cancelled_owned(watch));
        }
        let watch = lateness::watch(Arc::clone(&metrics));
        connections.spawn(shutdown.clone().run_until_cancelled_owned(watch));
    }
}

/// The contexts of connections that are served, and of those that are refused.
#[derive(Clone)]
struct Contexts {
    served: Arc<ConnectionContext>,
    turned_away: Arc<ConnectionContext>,
}

/// Starts the accept loop of one listener. The loop and its connections are tasks of `connections`.
fn accept(
    listener: Listener,
    tls: Option<Arc<Tls>>,
    contexts: Contexts,
    limit: Arc<ConnectionLimit>,
    connections: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let tracker = connections.clone();
    let accepting = listen::accept(listener, limit, shutdown.clone(), move |stream, peer, admission| {
        let context = Arc::clone(match admission {
            Admission::Served(_) => &contexts.served,
            Admission::TurnedAway(_) => &contexts.turned_away,
            Admission::Closed => return contexts.served.metrics.connection_refused(),
        });
        let tls = tls.clone();
        tracker.spawn(async move {
            connection::serve(stream, peer, context, tls, admission).await;
        });
    });
    connections.spawn(accepting);
}
