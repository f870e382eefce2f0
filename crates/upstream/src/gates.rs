//! The gates of all hosts that one upstream leads to. Each host has its own failures and limits: a content
//! network that is down does not stop the registry.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use policy::host_health::{RequestOutcome, Target};
use policy::lru::LruMap;
use reqwest::Response;
use telemetry::RegistryMetrics;
use tokio::time::Instant;
use url::Url;

use crate::error::Error;
use crate::gate::{ClientPauses, Gate, HostRole, outcome_of, version_request};
use crate::location::host_of;
use crate::transport::{Allowance, Outgoing, Transport};

/// The most other hosts to remember.
const HOST_COUNT_MAX: usize = 32;
/// The most failing targets of the registry to remember, and the most groups.
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
    others: Arc<Mutex<LruMap<String, Arc<Gate>>>>,
    /// The pauses of a client's login; `None`: those of the hosts hold.
    pauses: Option<ClientPauses>,
}

impl Gates {
    /// Makes the gates of a registry with the root `root`, and of the hosts that it redirects to.
    pub(crate) fn of_registry(
        registry: &str,
        metrics: Arc<RegistryMetrics>,
        root: &Url,
        role: HostRole,
    ) -> Self {
        let gate = Gate::new(registry, metrics.clone(), role, root.clone(), REMEMBERED_MAX);
        Self { home: Some((host_of(root), gate)), ..Self::of_others(registry, metrics) }
    }

    /// Makes the gates of token services. If a service shares its host with the registry, their failures are
    /// still counted apart.
    pub(crate) fn of_others(registry: &str, metrics: Arc<RegistryMetrics>) -> Self {
        let others = Arc::new(Mutex::new(LruMap::new(HOST_COUNT_MAX)));
        Self { registry: registry.to_owned(), metrics, home: None, others, pauses: None }
    }

    /// Makes the gates of one client with its own login. They share the health of the hosts with these, and
    /// no pause after a 429, because a registry limits each login apart.
    pub(crate) fn for_client(&self) -> Self {
        Self {
            registry: self.registry.clone(),
            metrics: Arc::clone(&self.metrics),
            home: self.home.clone(),
            others: Arc::clone(&self.others),
            pauses: Some(ClientPauses::default()),
        }
    }

    /// Sends a request through its host's gate.
    ///
    /// # Errors
    /// Errors of [`Gate::enter`] and [`Transport::send`].
    pub(crate) async fn send(
        &self,
        transport: &Transport,
        outgoing: &Outgoing,
        allowance: &mut Allowance,
    ) -> Result<Response, Error> {
        let gate = self.of(&outgoing.url);
        if outgoing.is_further {
            gate.check_further(&outgoing.target, self.pauses.as_ref())?;
            return transport.send(outgoing, allowance).await;
        }
        let permit = gate.enter(transport, &outgoing.target, self.pauses.as_ref(), allowance).await?;
        let sent = transport.send(outgoing, allowance).await;
        permit.report(&sent);
        sent
    }

    /// Tells whether the registry's own host answers a probe: any answer below 502 counts. The result is not
    /// recorded here.
    pub(crate) async fn is_home_up(&self, transport: &Transport) -> bool {
        let Some((_, gate)) = &self.home else { return false };
        let mut allowance = Allowance::until(Instant::now() + transport.header_timeout);
        let sent = transport.send(&version_request(&gate.probe), &mut allowance).await;
        !matches!(
            outcome_of(&sent),
            RequestOutcome::Failed | RequestOutcome::NotConnected | RequestOutcome::Abandoned
        )
    }

    /// `host` answered 429 to this path.
    pub(crate) fn throttle(&self, host: &str, target: &Target, pause: Duration) {
        if let Some(gate) = self.known(host) {
            gate.throttle(target, self.pauses.as_ref(), pause);
        }
    }

    /// `host` said when this path is to be asked for again.
    pub(crate) fn pause_target(&self, host: &str, target: &Arc<Target>, pause: Duration) {
        if let Some(gate) = self.known(host) {
            gate.pause_target(target, pause);
        }
    }

    /// Notes that what `host` began to give for this path came whole, or is `lost`.
    pub(crate) fn conclude(&self, host: &str, target: &Arc<Target>, lost: Option<&Error>) {
        if let Some(gate) = self.known(host) {
            gate.conclude(target, lost);
        }
    }

    /// A host without a gate got no request lately.
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
            // The probe requests the front page: a path or a query may be a secret.
            let mut probe = url.clone();
            probe.set_path("/");
            probe.set_query(None);
            Gate::new(&self.registry, self.metrics.clone(), HostRole::Other, probe, REMEMBERED_OF_OTHERS_MAX)
        };
        let mut others = self.others.lock();
        Arc::clone(others.get_or_insert_with(&host, make))
    }
}
