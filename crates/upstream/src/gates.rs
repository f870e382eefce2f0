//! The gates of all hosts that one upstream leads to. Each host's failures and limits are its own: a content
//! network that is down stops what it serves, and not the registry.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use policy::host_health::Target;
use policy::lru::LruMap;
use reqwest::Response;
use telemetry::RegistryMetrics;
use url::Url;

use crate::error::Error;
use crate::gate::{Gate, Role};
use crate::location::host_of;
use crate::transport::{Allowance, Outgoing, Transport};

/// Other hosts whose state is remembered.
const HOST_COUNT_MAX: usize = 32;
/// Paths of the registry, and repositories of it, whose failures are remembered.
const REMEMBERED_MAX: usize = 512;
/// The same for each other host.
const REMEMBERED_OF_OTHERS_MAX: usize = 64;

/// A gate for each host.
#[derive(Debug)]
pub(crate) struct Gates {
    registry: String,
    metrics: Arc<RegistryMetrics>,
    /// The registry's own host and its gate.
    home: Option<(String, Arc<Gate>)>,
    others: Mutex<LruMap<String, Arc<Gate>>>,
}

impl Gates {
    /// The gates of a registry whose own `/v2/` is `root`, and of those that it redirects to.
    pub(crate) fn of_registry(registry: &str, metrics: Arc<RegistryMetrics>, root: &Url) -> Self {
        let gate = Gate::new(registry, metrics.clone(), Role::Registry, root.clone(), REMEMBERED_MAX);
        Self { home: Some((host_of(root), gate)), ..Self::of_others(registry, metrics) }
    }

    /// The gates of token services. They are no registry's: where both have the same host, the failures of
    /// one are not the other's.
    pub(crate) fn of_others(registry: &str, metrics: Arc<RegistryMetrics>) -> Self {
        let others = Mutex::new(LruMap::new(HOST_COUNT_MAX));
        Self { registry: registry.to_owned(), metrics, home: None, others }
    }

    /// Sends a request through its host's gate.
    ///
    /// # Errors
    /// Those of [`Gate::enter`] and [`Transport::send`].
    pub(crate) async fn send(
        &self,
        transport: &Transport,
        outgoing: &Outgoing,
        allowance: &mut Allowance,
    ) -> Result<Response, Error> {
        let gate = self.of(&outgoing.url);
        if outgoing.is_further {
            gate.check_further(&outgoing.target)?;
            return transport.send(outgoing, allowance).await;
        }
        let permit = gate.enter(transport, &outgoing.target, allowance).await?;
        let sent = transport.send(outgoing, allowance).await;
        permit.report(&sent);
        sent
    }

    /// `host` answered 429 to this path.
    pub(crate) fn rest(&self, host: &str, target: &Target, pause: Duration) {
        if let Some(gate) = self.known(host) {
            gate.rest(target, pause);
        }
    }

    /// `host` said when this path is to be asked for again.
    pub(crate) fn rest_path(&self, host: &str, target: &Arc<Target>, pause: Duration) {
        if let Some(gate) = self.known(host) {
            gate.rest_path(target, pause);
        }
    }

    /// Notes that what `host` began to give for this path came whole, or is `lost`.
    pub(crate) fn conclude(&self, host: &str, target: &Arc<Target>, lost: Option<&Error>) {
        if let Some(gate) = self.known(host) {
            gate.conclude(target, lost);
        }
    }

    /// A gate that is not there has been asked nothing lately.
    fn known(&self, host: &str) -> Option<Arc<Gate>> {
        match &self.home {
            Some((home, gate)) if home == host => Some(Arc::clone(gate)),
            _ => self.others.lock().get_mut(host).cloned(),
        }
    }

    fn of(&self, url: &Url) -> Arc<Gate> {
        let host = host_of(url);
        if let Some((home, gate)) = &self.home
            && *home == host
        {
            return Arc::clone(gate);
        }
        let make = || {
            // Its front page is what a host answers to anybody; a path or a query may be a secret.
            let mut probe = url.clone();
            probe.set_path("/");
            probe.set_query(None);
            Gate::new(&self.registry, self.metrics.clone(), Role::Other, probe, REMEMBERED_OF_OTHERS_MAX)
        };
        let mut others = self.others.lock();
        Arc::clone(others.get_or_insert_with(&host, make))
    }
}
