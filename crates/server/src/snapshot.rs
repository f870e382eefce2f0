//! The served configuration. A reload replaces it as a whole, so that each request sees one configuration
//! from beginning to end.

use std::sync::Arc;

use access::AccessTable;
use arc_swap::{ArcSwap, Guard};
use cache::Backend;
use certificates::Certificate;
use certificates::challenges::Challenges;
use policy::host::RoutingTable;

use crate::admission::ConnectionLimit;
use crate::clock::Limits;
use crate::permits::Permits;
use crate::settings::Settings;
use crate::tls::Tls;

/// The served registries and the settings.
#[derive(Debug)]
pub struct Snapshot {
    /// Maps requests to registries.
    pub routes: RoutingTable<Arc<Backend>>,
    /// The clients that may pull; `None`: all.
    pub access: Option<Arc<AccessTable>>,
    /// Addresses and bounds. The addresses do not change after the start.
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

/// The current snapshot, shared by all requests.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<ArcSwap<Snapshot>>);

impl Current {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(snapshot)))
    }

    /// The current snapshot, to keep for a whole request.
    pub(crate) fn get(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// The current snapshot, to read a value at once.
    pub(crate) fn peek(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }
}

/// A handle that changes the served configuration of a running server.
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) current: Current,
    pub(crate) answer_permits: Arc<Permits>,
    pub(crate) connection_limit: Arc<ConnectionLimit>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) challenges: Arc<Challenges>,
}

impl Control {
    /// Serves `snapshot` from now on. Running requests keep the old one. The listening addresses stay.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn replace(&self, snapshot: Snapshot) {
        let settings = &snapshot.settings;
        self.answer_permits.resize(settings.answer_count_max);
        self.connection_limit.resize(settings.connection_count_max, settings.client_connection_count_max);
        if let (Some(tls), Some(settings)) = (&self.tls, &settings.tls) {
            tls.replace(settings);
        }
        self.current.0.store(Arc::new(snapshot));
    }

    /// The current snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.get()
    }

    /// Shows these certificates, which an authority issued, beside those of the settings.
    pub fn show_obtained(&self, obtained: Vec<Certificate>) {
        if let Some(tls) = &self.tls {
            tls.obtain(obtained);
        }
    }

    /// The answers that the public listeners give to an authority.
    pub fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.challenges)
    }

    /// The number of requests being answered.
    pub fn running(&self) -> usize {
        self.answer_permits.taken()
    }

    /// The time that running answers have once the server stops.
    pub fn shutdown_grace(&self) -> std::time::Duration {
        self.current.peek().settings.shutdown_grace
    }
}
