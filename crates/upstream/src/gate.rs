//! Decides whether one host may be asked: by how far its failures reach, and by the rests that it asked for.

mod failures;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use parking_lot::{Mutex, MutexGuard};
use policy::breaker::State;
use policy::host_health::{HostHealth, InFlight, RequestOutcome, Target, TargetGroup, TargetKind};
use policy::throttling::{LimitedKind, THROTTLE_PAUSE_MIN, Throttling};
use reqwest::Response;
use telemetry::{LeftAlone, RegistryMetrics, UpstreamKind};
use tokio::time::Instant;
use tracing::{debug, info, warn};
use url::Url;

use self::failures::Failures;
use crate::error::{Error, ErrorKind};
use crate::location::host_of;
use crate::transport::{Allowance, Outgoing, Transport};

/// The gate of one host.
pub(crate) struct Gate {
    registry: String,
    host: String,
    /// What we ask on our own to find out whether the host is there.
    probe: Url,
    metrics: Arc<RegistryMetrics>,
    role: Role,
    inner: Mutex<Inner>,
}

/// What the host is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The registry itself, whose state is shown as the registry's.
    Registry,
    /// Where the registry sends us: a content network, a token service.
    Other,
}

#[derive(Debug)]
struct Inner {
    reach: HostHealth,
    throttling: Throttling,
    failures: Failures,
}

/// Permission to send one request. It is given back by saying how the request ended; dropped, it says nothing
/// about what was asked, as when the caller went away.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    target: Arc<Target>,
    in_flight: Option<InFlight>,
    /// Whoever leaves later than this has waited for an answer that did not come.
    silent_at: Instant,
}

impl Gate {
    /// Of a host of which nothing is known; it remembers so many of the paths, and so many of the
    /// repositories, that fail.
    pub(crate) fn new(
        registry: &str,
        metrics: Arc<RegistryMetrics>,
        role: Role,
        probe: Url,
        remembered_max: usize,
    ) -> Arc<Self> {
        if role == Role::Registry {
            metrics.breaker(State::Closed.as_number());
        }
        let reach = HostHealth::new(remembered_max, remembered_max);
        Arc::new(Self {
            registry: registry.to_owned(),
            host: host_of(&probe),
            probe,
            metrics,
            role,
            inner: Mutex::new(Inner {
                reach,
                throttling: Throttling::default(),
                failures: Failures::new(remembered_max),
            }),
        })
    }

    /// Permission to ask for this path. Finds out first whether the host is back, where that is due.
    ///
    /// # Errors
    /// [`ErrorKind::Throttled`] while the repository or the host rests after a 429, [`ErrorKind::Resting`]
    /// while the path, the repository or the host is left alone after failures; with the time that is left.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        transport: &Transport,
        target: &Arc<Target>,
        allowance: &mut Allowance,
    ) -> Result<Permit, Error> {
        self.probe_if_due(transport, allowance).await;
        self.admit(target, transport.header_timeout, allowance)
    }

    fn admit(
        self: &Arc<Self>,
        target: &Arc<Target>,
        header_timeout: Duration,
        allowance: &mut Allowance,
    ) -> Result<Permit, Error> {
        let now = Instant::now();
        let mut inner = self.lock();
        self.check_throttling(&mut inner, target, now)?;
        allowance.note_history(inner.reach.may_retry(target), inner.reach.serves(&target.group));
        let admitted = inner.reach.admit(target, now.into_std());
        let in_flight = admitted.map_err(|refusal| inner.failures.describe(&self.host, target, refusal))?;
        let silent_at = now + header_timeout.mul_f32(0.9);
        Ok(Permit {
            gate: Arc::clone(self),
            target: Arc::clone(target),
            in_flight: Some(in_flight),
            silent_at,
        })
    }

    /// Whether a further connection may ask for this path. However that ends, nothing is concluded from it: a
    /// host that does not want several connections is no host that fails.
    ///
    /// # Errors
    /// As for [`enter`](Self::enter).
    pub(crate) fn check_further(&self, target: &Arc<Target>) -> Result<(), Error> {
        let now = Instant::now();
        let mut inner = self.lock();
        self.check_throttling(&mut inner, target, now)?;
        let admitted = inner.reach.admit_unseen(target, now.into_std());
        admitted.map_err(|refusal| inner.failures.describe(&self.host, target, refusal))
    }

    /// The host answered 429 to this path, and wants to be left alone for `pause`.
    pub(crate) fn rest(&self, target: &Target, pause: Duration) {
        let (repository, limit) = (&target.group.repository, limit_of(target.group.kind));
        if self.lock().throttling.begin(repository, limit, pause, Instant::now().into_std()) {
            self.metrics.left_alone(LeftAlone::Throttled);
            let (registry, host, seconds) =
                (&self.registry, &self.host, pause.max(THROTTLE_PAUSE_MIN).as_secs());
            warn!(%registry, %host, %repository, ?limit, seconds, "upstream throttles and is left alone");
        }
    }

    /// The answer to this path said that it is to be asked for again after `pause`.
    pub(crate) fn rest_path(&self, target: &Arc<Target>, pause: Duration) {
        let mut inner = self.lock();
        inner.reach.rest(target, pause.max(THROTTLE_PAUSE_MIN), Instant::now().into_std());
        let detail = format!("answered 503 and asked to be left alone for {} s", pause.as_secs());
        inner.failures.note(target, &Error::new(ErrorKind::Unreachable, &self.host, detail));
        drop(inner);
        self.metrics.left_alone(LeftAlone::Path);
        let (registry, host, repository) = (&self.registry, &self.host, &target.group.repository);
        let (kind, seconds) = (target.group.kind, pause.as_secs());
        info!(%registry, %host, %repository, class = ?kind, seconds, "upstream asked for a rest of one thing");
    }

    /// Notes that what had begun to come for this path is whole; or is `lost`, for it broke off or did not
    /// end in time.
    pub(crate) fn conclude(&self, target: &Arc<Target>, lost: Option<&Error>) {
        let mut inner = self.lock();
        match lost {
            None => inner.reach.complete(target),
            Some(error) => {
                inner.reach.spoil(target, Instant::now().into_std());
                inner.failures.note(target, error);
            }
        }
    }

    fn check_throttling(&self, inner: &mut Inner, target: &Target, now: Instant) -> Result<(), Error> {
        let limit = limit_of(target.group.kind);
        let Some(left) = inner.throttling.left(&target.group.repository, limit, now.into_std()) else {
            return Ok(());
        };
        let detail = format!("answered 429 and is left alone for {} s", left.as_secs() + 1);
        Err(Error::new(ErrorKind::Throttled, &self.host, detail).with_retry_after(left))
    }

    /// Asks the host on our own where that is due. Whoever finds a host that is left alone waits for the
    /// outcome; in doubt everybody goes on meanwhile. The request runs in a task of its own: no client can
    /// hold it back, or end it by leaving.
    async fn probe_if_due(self: &Arc<Self>, transport: &Transport, allowance: &Allowance) {
        let Some((probing, is_left_alone)) = self.take_probe() else { return };
        let probe = tokio::spawn(probing.run(transport.clone()));
        if is_left_alone {
            // An outcome that does not come in time is none, as is a task that panicked.
            let _ = tokio::time::timeout_at(allowance.deadline, probe).await;
        }
    }

    /// The request of our own, if it is due, and whether the host is left alone.
    fn take_probe(self: &Arc<Self>) -> Option<(Probing, bool)> {
        let mut inner = self.lock();
        let before = inner.reach.state();
        if !inner.reach.take_probe(Instant::now().into_std()) {
            return None;
        }
        self.show(before, inner.reach.state(), None);
        Some((Probing { gate: Arc::clone(self), is_reported: false }, before != State::Closed))
    }

    /// Changes what is known, and tells of a change of the host's state.
    fn change(&self, error: Option<&Error>, change: impl FnOnce(&mut HostHealth)) {
        let mut inner = self.lock();
        let before = inner.reach.state();
        change(&mut inner.reach);
        self.show(before, inner.reach.state(), error);
    }

    /// One line and one gauge per change of state. Probes come and go; what they find out is worth a line.
    fn show(&self, before: State, after: State, error: Option<&Error>) {
        if before == after {
            return;
        }
        if self.role == Role::Registry {
            self.metrics.breaker(after.as_number());
        }
        let (registry, host) = (&self.registry, &self.host);
        match (before, after, error) {
            (State::Closed, _, error) => {
                self.metrics.left_alone(if self.role == Role::Registry {
                    LeftAlone::Registry
                } else {
                    LeftAlone::Host
                });
                let error = error.map(tracing::field::display);
                warn!(%registry, %host, error, "upstream keeps failing and is left alone");
            }
            (_, State::Closed, _) => info!(%registry, %host, "upstream answers again"),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

/// What a limit told for a thing of this class is on.
fn limit_of(kind: TargetKind) -> LimitedKind {
    match kind {
        TargetKind::Manifests => LimitedKind::Manifests,
        TargetKind::Tags | TargetKind::Referrers => LimitedKind::Lists,
        TargetKind::Blobs | TargetKind::Token => LimitedKind::Everything,
    }
}

impl Permit {
    /// Notes how the request ended.
    pub(crate) fn report(mut self, sent: &Result<Response, Error>) {
        let error = failure_of(sent, &self.gate.host);
        // Documents are read whole before anybody gets anything of them.
        let is_document =
            !self.target.is_head && !matches!(self.target.group.kind, TargetKind::Blobs | TargetKind::Token);
        let outcome = match outcome_of(sent) {
            RequestOutcome::Served
                if is_document && sent.as_ref().is_ok_and(|it| it.status().is_success()) =>
            {
                RequestOutcome::Begun
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
                RequestOutcome::Spoilt | RequestOutcome::Failed | RequestOutcome::Unconnected
            )
        {
            self.gate.lock().failures.note(&self.target, error);
        }
        self.gate.change(error, |reach| is_left_alone = reach.settle(&self.target, in_flight, outcome, now));
        if is_left_alone {
            self.gate.metrics.left_alone(LeftAlone::Path);
            let (registry, host) = (&self.gate.registry, &self.gate.host);
            let TargetGroup { repository, kind } = &*self.target.group;
            let error = error.map(tracing::field::display);
            debug!(%registry, %host, %repository, class = ?kind, error, "one thing keeps failing upstream and is left alone");
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

/// The failure that an answer, or the lack of one, is; none for an answer that says something about what was
/// asked.
fn failure_of(sent: &Result<Response, Error>, host: &str) -> Option<Error> {
    match sent {
        Ok(response) => {
            matches!(outcome_of(sent), RequestOutcome::Spoilt | RequestOutcome::Failed).then(|| {
                let detail = format!("answered {}", response.status().as_u16());
                Error::new(ErrorKind::Unreachable, host, detail)
            })
        }
        Err(error) => Some(error.clone()),
    }
}

/// What an answer, or the lack of one, says. From 502 on a status says that what stands behind the host
/// failed.
fn outcome_of(sent: &Result<Response, Error>) -> RequestOutcome {
    match sent {
        Ok(response) => match response.status().as_u16() {
            ..400 => RequestOutcome::Served,
            408 | 500 => RequestOutcome::Spoilt,
            502.. => RequestOutcome::Failed,
            _ => RequestOutcome::Answered,
        },
        Err(error) if error.is_unconnected() => RequestOutcome::Unconnected,
        // What must not be asked was not asked.
        Err(error) if error.kind() == ErrorKind::Invalid => RequestOutcome::Abandoned,
        Err(_) => RequestOutcome::Failed,
    }
}

/// A request of our own under way.
struct Probing {
    gate: Arc<Gate>,
    is_reported: bool,
}

impl Probing {
    async fn run(mut self, transport: Transport) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let group = Arc::new(TargetGroup { repository: String::new(), kind: TargetKind::Manifests });
        let outgoing = Outgoing {
            kind: UpstreamKind::Version,
            method: Method::GET,
            url: self.gate.probe.clone(),
            headers,
            target: Arc::new(Target { group, is_head: false, reference: String::new() }),
            is_further: false,
        };
        let mut allowance = Allowance::until(Instant::now() + transport.header_timeout);
        let sent = transport.send(&outgoing, &mut allowance).await;
        self.report(outcome_of(&sent), failure_of(&sent, &self.gate.host).as_ref());
    }

    fn report(&mut self, outcome: RequestOutcome, error: Option<&Error>) {
        self.is_reported = true;
        let now = Instant::now().into_std();
        if let Some(error) = error {
            self.gate.lock().failures.note_of_host(error);
        }
        self.gate.change(error, |reach| reach.probed(outcome, now));
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
