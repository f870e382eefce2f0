//! Admits requests to one host, by the health of the host and its targets, and by pauses after 429.

mod failures;
mod pauses;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use parking_lot::{Mutex, MutexGuard};
use policy::breaker::State;
use policy::host_health::{HostHealth, InFlight, RequestOutcome, Target, TargetGroup, TargetKind};
use policy::throttling::{THROTTLE_PAUSE_MIN, Throttling};
use reqwest::Response;
use telemetry::{LeftAlone, RegistryMetrics, UpstreamKind};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};
use url::Url;

use self::failures::Failures;
pub(crate) use self::pauses::ClientPauses;
use crate::error::{Error, ErrorKind};
use crate::location::host_of;
use crate::transport::{Allowance, Outgoing, Transport};

/// The gate of one host.
pub(crate) struct Gate {
    registry: String,
    host: String,
    /// The URL of wharf's own probe.
    pub(crate) probe: Url,
    metrics: Arc<RegistryMetrics>,
    role: HostRole,
    inner: Mutex<Inner>,
}

/// The role of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostRole {
    /// The registry itself; its state is exported as the registry's.
    Registry,
    /// A host that the registry refers to: a content network, a token service.
    Other,
}

#[derive(Debug)]
struct Inner {
    health: HostHealth,
    throttling: Throttling,
    failures: Failures,
}

/// Permission to send one request. [`Permit::report`] returns it with the result. Dropping it counts as a
/// disconnected client.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    target: Arc<Target>,
    in_flight: Option<InFlight>,
    /// A request that is dropped later than this counts as unanswered.
    silent_at: Instant,
}

impl Gate {
    /// Makes the gate of an unknown host. It remembers at most `remembered_max` failing targets, and as many
    /// groups.
    pub(crate) fn new(
        registry: &str,
        metrics: Arc<RegistryMetrics>,
        role: HostRole,
        probe: Url,
        remembered_max: usize,
    ) -> Arc<Self> {
        if role == HostRole::Registry {
            metrics.breaker(State::Closed.as_number());
        }
        let health = HostHealth::new(remembered_max, remembered_max);
        Arc::new(Self {
            registry: registry.to_owned(),
            host: host_of(&probe),
            probe,
            metrics,
            role,
            inner: Mutex::new(Inner {
                health,
                throttling: Throttling::default(),
                failures: Failures::new(remembered_max),
            }),
        })
    }

    /// Admits a request for this target. If a probe of the host is due, that comes first. `pauses` are those
    /// of the client's login, if the request has one.
    ///
    /// # Errors
    /// [`ErrorKind::Throttled`] during a pause after a 429, [`ErrorKind::Resting`] while the target, the
    /// repository or the host gets no requests after failures; with the remaining time.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        transport: &Transport,
        target: &Arc<Target>,
        pauses: Option<&ClientPauses>,
        allowance: &mut Allowance,
    ) -> Result<Permit, Error> {
        self.probe_if_due(transport, allowance).await;
        self.admit(target, pauses, transport.header_timeout, allowance)
    }

    fn admit(
        self: &Arc<Self>,
        target: &Arc<Target>,
        pauses: Option<&ClientPauses>,
        header_timeout: Duration,
        allowance: &mut Allowance,
    ) -> Result<Permit, Error> {
        let now = Instant::now();
        let mut inner = self.lock();
        self.check_pause(&mut inner, target, pauses, now)?;
        allowance.note_history(inner.health.may_retry(target), inner.health.serves(&target.group));
        let admitted = inner.health.admit(target, now.into_std());
        let in_flight = admitted.map_err(|refusal| inner.failures.describe(&self.host, target, refusal))?;
        let silent_at = now + header_timeout.mul_f32(0.9);
        Ok(Permit {
            gate: Arc::clone(self),
            target: Arc::clone(target),
            in_flight: Some(in_flight),
            silent_at,
        })
    }

    /// Admits a further connection for this target. Its result is not recorded: a host that refuses several
    /// connections is not failing.
    ///
    /// # Errors
    /// As for [`enter`](Self::enter).
    pub(crate) fn check_further(
        &self,
        target: &Arc<Target>,
        pauses: Option<&ClientPauses>,
    ) -> Result<(), Error> {
        let now = Instant::now();
        let mut inner = self.lock();
        self.check_pause(&mut inner, target, pauses, now)?;
        let admitted = inner.health.admit_unseen(target, now.into_std());
        admitted.map_err(|refusal| inner.failures.describe(&self.host, target, refusal))
    }

    /// Notes that the host answered 429 for this target, and asked for `pause`; `pauses` are those of the
    /// client's login, if the request had one.
    pub(crate) fn throttle(&self, target: &Target, pauses: Option<&ClientPauses>, pause: Duration) {
        let now = Instant::now();
        let is_news = match pauses {
            Some(pauses) => pauses.begin(&self.host, target, pause, now),
            None => pauses::begin(&mut self.lock().throttling, target, pause, now),
        };
        if !is_news {
            return;
        }
        self.metrics.left_alone(LeftAlone::Throttled);
        let (registry, host, repository) = (&self.registry, &self.host, &target.group.repository);
        let (limit, seconds) = (pauses::limit_of(target.group.kind), pause.max(THROTTLE_PAUSE_MIN).as_secs());
        if pauses.is_some() {
            info!(%registry, %host, %repository, ?limit, seconds, "upstream throttles a client's login; its requests pause");
        } else {
            warn!(%registry, %host, %repository, ?limit, seconds, "upstream throttles; requests pause");
        }
    }

    /// # Errors
    /// [`ErrorKind::Throttled`] during a pause.
    fn check_pause(
        &self,
        inner: &mut Inner,
        target: &Target,
        pauses: Option<&ClientPauses>,
        now: Instant,
    ) -> Result<(), Error> {
        let left = match pauses {
            Some(pauses) => pauses.left(&self.host, target, now),
            None => pauses::left(&mut inner.throttling, target, now),
        };
        let Some(left) = left else { return Ok(()) };
        let detail = format!("answered 429 and gets no requests for {} s", left.as_secs() + 1);
        Err(Error::new(ErrorKind::Throttled, &self.host, detail).with_retry_after(left))
    }

    /// Notes that the answer for this target asked for `pause`.
    pub(crate) fn pause_target(&self, target: &Arc<Target>, pause: Duration) {
        let mut inner = self.lock();
        inner.health.pause_target(target, pause.max(THROTTLE_PAUSE_MIN), Instant::now().into_std());
        let detail = format!("answered 503 and asked for a pause of {} s", pause.as_secs());
        inner.failures.note(target, &Error::new(ErrorKind::Unreachable, &self.host, detail));
        drop(inner);
        self.metrics.left_alone(LeftAlone::Path);
        let (registry, host, repository) = (&self.registry, &self.host, &target.group.repository);
        let (kind, seconds) = (target.group.kind, pause.as_secs());
        info!(%registry, %host, %repository, class = ?kind, seconds, "upstream asked for a pause for one target");
    }

    /// Notes that the body for this target arrived complete; or was `lost`, because it broke off or did not
    /// end in time.
    pub(crate) fn conclude(&self, target: &Arc<Target>, lost: Option<&Error>) {
        let mut inner = self.lock();
        match lost {
            None => inner.health.complete_body(target),
            Some(error) => {
                inner.health.fail_body(target, Instant::now().into_std());
                inner.failures.note(target, error);
            }
        }
    }

    /// Probes the host if that is due. If the host's breaker is open, the request waits for the result; if
    /// the host is only in doubt, it goes on. The probe runs in a task of its own, so no client can delay or
    /// cancel it.
    async fn probe_if_due(self: &Arc<Self>, transport: &Transport, allowance: &Allowance) {
        let Some((probing, is_left_alone)) = self.take_probe() else { return };
        let probe = tokio::spawn(probing.run(transport.clone(), transport.connections.closing()));
        if is_left_alone {
            // A result that does not come in time is ignored, as is a task that panicked.
            let _ = tokio::time::timeout_at(allowance.deadline, probe).await;
        }
    }

    /// Returns the probe, if it is due, and whether the host's breaker is open.
    fn take_probe(self: &Arc<Self>) -> Option<(Probing, bool)> {
        let mut inner = self.lock();
        let before = inner.health.state();
        if !inner.health.take_probe(Instant::now().into_std()) {
            return None;
        }
        self.show(before, inner.health.state(), None);
        Some((Probing { gate: Arc::clone(self), is_reported: false }, before != State::Closed))
    }

    /// Updates the health, and reports a change of the host's state.
    fn change(&self, error: Option<&Error>, change: impl FnOnce(&mut HostHealth)) {
        let mut inner = self.lock();
        let before = inner.health.state();
        change(&mut inner.health);
        self.show(before, inner.health.state(), error);
    }

    /// Updates the gauge and logs one line per change of state. Probes that change nothing are not logged.
    fn show(&self, before: State, after: State, error: Option<&Error>) {
        if before == after {
            return;
        }
        if self.role == HostRole::Registry {
            self.metrics.breaker(after.as_number());
        }
        let (registry, host) = (&self.registry, &self.host);
        match (before, after, error) {
            (State::Closed, _, error) => {
                self.metrics.left_alone(if self.role == HostRole::Registry {
                    LeftAlone::Registry
                } else {
                    LeftAlone::Host
                });
                let error = error.map(|error| telemetry::error_chain(error));
                warn!(%registry, %host, error, "upstream keeps failing; requests pause");
            }
            (_, State::Closed, _) => info!(%registry, %host, "upstream answers again"),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl Permit {
    /// Reports the result of the request.
    pub(crate) fn report(mut self, sent: &Result<Response, Error>) {
        let error = failure_of(sent, &self.gate.host);
        // Documents are read whole before a client gets any byte of them.
        let is_document =
            !self.target.is_head && !matches!(self.target.group.kind, TargetKind::Blobs | TargetKind::Token);
        let outcome = match outcome_of(sent) {
            RequestOutcome::Served
                if is_document && sent.as_ref().is_ok_and(|it| it.status().is_success()) =>
            {
                RequestOutcome::HeadReceived
            }
            other => other,
        };
        self.settle(outcome, error.as_ref());
    }

    fn settle(&mut self, outcome: RequestOutcome, error: Option<&Error>) {
        let Some(in_flight) = self.in_flight.take() else { return };
        let now = Instant::now().into_std();
        let mut is_left_alone = false;
        if let Some(error) = error
            && matches!(
                outcome,
                RequestOutcome::TargetFailed | RequestOutcome::Failed | RequestOutcome::NotConnected
            )
        {
            self.gate.lock().failures.note(&self.target, error);
        }
        self.gate
            .change(error, |health| is_left_alone = health.settle(&self.target, in_flight, outcome, now));
        if is_left_alone {
            self.gate.metrics.left_alone(LeftAlone::Path);
            let (registry, host) = (&self.gate.registry, &self.gate.host);
            let TargetGroup { repository, kind } = &*self.target.group;
            let error = error.map(|error| telemetry::error_chain(error));
            debug!(%registry, %host, %repository, class = ?kind, error, "one target keeps failing upstream; requests for it pause");
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.in_flight.is_none() {
            return;
        }
        if Instant::now() < self.silent_at {
            return self.settle(RequestOutcome::Abandoned, None);
        }
        let silence = Error::new(ErrorKind::TimedOut, &self.gate.host, "did not answer in time");
        self.settle(RequestOutcome::Failed, Some(&silence));
    }
}

/// Returns the failure in a result; `None` for an answer about the requested target.
fn failure_of(sent: &Result<Response, Error>, host: &str) -> Option<Error> {
    match sent {
        Ok(response) => matches!(outcome_of(sent), RequestOutcome::TargetFailed | RequestOutcome::Failed)
            .then(|| {
                let detail = format!("answered {}", response.status().as_u16());
                Error::new(ErrorKind::Unreachable, host, detail)
            }),
        Err(error) => Some(error.clone()),
    }
}

/// Classifies a result. A status from 502 on says that a server behind the host failed.
pub(crate) fn outcome_of(sent: &Result<Response, Error>) -> RequestOutcome {
    match sent {
        Ok(response) => match response.status().as_u16() {
            ..400 => RequestOutcome::Served,
            408 | 500 => RequestOutcome::TargetFailed,
            502.. => RequestOutcome::Failed,
            _ => RequestOutcome::Answered,
        },
        Err(error) if error.is_unconnected() => RequestOutcome::NotConnected,
        // The request was not sent.
        Err(error) if error.kind() == ErrorKind::Invalid => RequestOutcome::Abandoned,
        Err(_) => RequestOutcome::Failed,
    }
}

/// Returns the request of a probe, which holds nothing of a client's.
pub(crate) fn version_request(url: &Url) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let group = Arc::new(TargetGroup { repository: String::new(), kind: TargetKind::Manifests });
    Outgoing {
        kind: UpstreamKind::Version,
        method: Method::GET,
        url: url.clone(),
        headers,
        body: None,
        target: Arc::new(Target { group, is_head: false, reference: String::new() }),
        is_further: false,
    }
}

/// A probe in flight.
struct Probing {
    gate: Arc<Gate>,
    is_reported: bool,
}

impl Probing {
    async fn run(mut self, transport: Transport, mut closing: watch::Receiver<()>) {
        let outgoing = version_request(&self.gate.probe);
        let mut allowance = Allowance::until(Instant::now() + transport.header_timeout);
        let sent = tokio::select! {
            biased;
            // The registry is offline. The probe counts as abandoned.
            _ = closing.changed() => return,
            sent = transport.send(&outgoing, &mut allowance) => sent,
        };
        self.report(outcome_of(&sent), failure_of(&sent, &self.gate.host).as_ref());
    }

    fn report(&mut self, outcome: RequestOutcome, error: Option<&Error>) {
        self.is_reported = true;
        let now = Instant::now().into_std();
        if let Some(error) = error {
            self.gate.lock().failures.note_of_host(error);
        }
        self.gate.change(error, |health| health.probed(outcome, now));
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        if !self.is_reported {
            self.report(RequestOutcome::Abandoned, None);
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("host", &self.host).field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
