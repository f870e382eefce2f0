//! The configuration that is served. A reload replaces it as a whole, so that each request sees one configuration from its beginning to
//! its end.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use cache::Backend;
use policy::host::RoutingTable;

use crate::clock::Limits;
use crate::permits::Permits;
use crate::seats::Seats;
use crate::settings::Settings;
use crate::tls::Certificates;

/// The registries that are served and the settings that they are served with.
#[derive(Debug)]
pub struct Snapshot {
    /// Which registry a request is meant for.
    pub routes: RoutingTable<Arc<Backend>>,
    /// Addresses and bounds. The addresses are those that the server was started with.
    pub settings: Settings,
}

impl Snapshot {
    pub(crate) fn limits(&self) -> Limits {
        let settings = &self.settings;
        Limits {
            header_wait_max: settings.header_wait_max,
            idle_max: settings.idle_max,
            stall_max: settings.stall_max,
            silence_max: settings.silence_max,
            half_closed_max: settings.half_closed_max,
            linger_max: settings.linger_max,
        }
    }
}

/// The snapshot in use, shared by all that answer.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<ArcSwap<Snapshot>>);

impl Current {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(snapshot)))
    }

    /// The snapshot, for a whole request.
    pub(crate) fn get(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// The snapshot, for a look at it.
    pub(crate) fn peek(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }
}

/// Changes what a server serves while it runs.
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) current: Current,
    /// Places for requests that are being answered.
    pub(crate) places: Arc<Permits>,
    /// Seats for client connections.
    pub(crate) seats: Arc<Seats>,
    pub(crate) certificates: Option<Arc<Certificates>>,
}

impl Control {
    /// Serves `snapshot` from now on. Requests under way go on with what they began with. The addresses that are listened
    /// on stay.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn replace(&self, snapshot: Snapshot) {
        let settings = &snapshot.settings;
        self.places.resize(settings.answer_count_max);
        self.seats.resize(settings.connection_count_max, settings.client_connection_count_max);
        if let (Some(certificates), Some(tls)) = (&self.certificates, &settings.tls) {
            certificates.show(&tls.identity);
        }
        self.current.0.store(Arc::new(snapshot));
    }

    /// The snapshot in use.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.get()
    }

    /// How many requests are being answered.
    pub fn running(&self) -> usize {
        self.places.taken()
    }

    /// How long running answers may go on once the server is told to stop.
    pub fn shutdown_grace(&self) -> std::time::Duration {
        self.current.peek().settings.shutdown_grace
    }
}
