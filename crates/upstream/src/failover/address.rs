//! One address of an upstream, and its health.

use std::sync::Arc;

use oci::Digest;
use parking_lot::Mutex;
use policy::failover::AddressHealth;
use secret::RedactedUrl;
use tokio::time::Instant;
use tracing::{info, warn};
use url::Url;

use crate::contract::AddressStatus;
use crate::error::{Error, ErrorKind};
use crate::location::host_of;
use crate::registry::Registry;

/// One address.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) registry: Registry,
    url: Url,
    host: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    health: AddressHealth,
    /// The failure that began the rest.
    failure: Option<Error>,
}

impl Address {
    pub(super) fn new(registry: Registry) -> Self {
        let url = registry.address.clone();
        Self { host: host_of(&url), url, registry, state: Mutex::default() }
    }

    pub(super) fn is_resting(&self) -> bool {
        self.state.lock().health.is_resting()
    }

    /// Notes that it answered, whatever it said.
    pub(super) fn note_answer(&self) {
        let mut state = self.state.lock();
        state.failure = None;
        if state.health.answer() {
            self.say_back();
        }
    }

    /// Notes a failure. The address rests if it was not reached or stayed silent; a failure of a target, or
    /// of a host that it refers to, has a breaker of its own.
    pub(super) fn note_failure(&self, error: &Error) {
        let is_silence = error.kind() == ErrorKind::TimedOut;
        if error.host() != self.host || !(error.is_unconnected() || is_silence) {
            return;
        }
        let mut state = self.state.lock();
        if state.health.fail(Instant::now().into_std()) {
            state.failure = Some(error.clone());
            let (registry, host) = (&self.registry.transport.registry, &self.host);
            let error = telemetry::error_chain(error);
            warn!(%registry, %host, error, "an address of the upstream fails; requests go to the next one");
        }
    }

    /// Notes that the next address answered while this one stayed silent.
    pub(super) fn note_silence(&self) {
        self.note_failure(&Error::new(ErrorKind::TimedOut, &self.host, "did not answer in time"));
    }

    /// Returns an error for the rest, which says why it began.
    pub(super) fn resting_error(&self) -> Error {
        let failure = self.state.lock().failure.clone();
        failure.unwrap_or_else(|| Error::new(ErrorKind::Resting, &self.host, "keeps failing"))
    }

    pub(super) fn status(&self) -> AddressStatus {
        let state = self.state.lock();
        let url = RedactedUrl::from(self.url.clone()).to_string();
        AddressStatus {
            url: url.trim_end_matches('/').to_owned(),
            is_resting: state.health.is_resting(),
            failure: state.failure.clone(),
        }
    }

    /// Starts a probe if one is due, in a task of its own, so that no client delays or cancels it.
    pub(super) fn probe_if_due(self: &Arc<Self>) {
        if self.state.lock().health.take_probe(Instant::now().into_std()) {
            tokio::spawn(Probing { address: Arc::clone(self), is_up: None }.run());
        }
    }

    /// Says that others get requests for this digest first. The cache has said which bytes were wrong.
    pub(super) fn say_wrong(&self, digest: &Digest) {
        let (registry, host) = (&self.registry.transport.registry, &self.host);
        warn!(%registry, %host, %digest, "an address of the upstream sent wrong bytes; others are asked first");
    }

    fn say_back(&self) {
        let (registry, host) = (&self.registry.transport.registry, &self.host);
        info!(%registry, %host, "an address of the upstream answers again");
    }
}

/// A probe in flight. Its end is noted however it ends.
struct Probing {
    address: Arc<Address>,
    /// The result; `None` while there is none.
    is_up: Option<bool>,
}

impl Probing {
    async fn run(mut self) {
        let registry = &self.address.registry;
        let mut closing = registry.transport.connections.closing();
        self.is_up = tokio::select! {
            biased;
            // The registry is offline.
            _ = closing.changed() => None,
            is_up = registry.gates.is_home_up(&registry.transport) => Some(is_up),
        };
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        let mut state = self.address.state.lock();
        if state.health.probed(self.is_up, Instant::now().into_std()) {
            state.failure = None;
            self.address.say_back();
        }
    }
}
