//! Whether a service may be asked at all: its breaker, the rest that it asked for, and the retry budget.
//!
//! The registry has one gate, its token service another, so that neither's failures stop the other.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use policy::breaker::{Admission, Breaker, State};
use policy::retry::RetryBudget;
use reqwest::Response;
use telemetry::{RegistryMetrics, UpstreamKind};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::error::{Error, ErrorKind};

/// The shortest rest after an upstream asked for one, whatever it said.
const REST_MIN: Duration = Duration::from_secs(1);

/// The gate of one service.
pub(crate) struct Gate {
    registry: String,
    /// Where the breaker's state is shown; the registry's only.
    metrics: Option<Arc<RegistryMetrics>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    breaker: Breaker,
    budget: RetryBudget,
    documents: Option<Rest>,
    everything: Option<Rest>,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    status: u16,
}

/// Leave to send one request. It is given back by saying how the request ended; dropped, it says nothing
/// about the service, as when the caller went away.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    gate: &'a Gate,
    host: &'a str,
    admission: Admission,
    is_reported: bool,
}

impl Gate {
    pub(crate) fn new(registry: &str, metrics: Option<Arc<RegistryMetrics>>) -> Self {
        if let Some(metrics) = &metrics {
            metrics.breaker(State::Closed.as_number());
        }
        Self { registry: registry.to_owned(), metrics, inner: Mutex::default() }
    }

    /// Leave to send `host` a request of this kind.
    ///
    /// # Errors
    /// [`ErrorKind::Throttled`] while the service rests after a 429, [`ErrorKind::Resting`] after a 503 with
    /// a time or while the breaker is open; with the time that is left.
    pub(crate) fn admit<'a>(&'a self, kind: UpstreamKind, host: &'a str) -> Result<Permit<'a>, Error> {
        let now = Instant::now();
        let mut inner = self.lock();
        let rests = [inner.everything, inner.documents.filter(|_| is_document(kind))];
        if let Some(rest) = rests.into_iter().flatten().find(|rest| rest.until > now) {
            return Err(rest.describe(host, now));
        }
        let before = inner.breaker.state();
        let admission = inner.breaker.admit(now.into_std());
        self.show(before, inner.breaker.state(), host, None);
        match admission {
            Admission::Pass | Admission::Probe => {
                Ok(Permit { gate: self, host, admission, is_reported: false })
            }
            Admission::Refuse(pause) => {
                let detail = "failed several times in a row and is left alone for a moment";
                Err(Error::new(ErrorKind::Resting, host, detail).with_retry_after(pause.max(REST_MIN)))
            }
        }
    }

    /// `host` asked to be left alone for `pause`. A limit hit by a manifest or a list leaves blobs
    /// alone: Docker Hub limits manifests only, and a pull under way must be able to finish.
    pub(crate) fn rest(&self, kind: UpstreamKind, host: &str, status: u16, pause: Duration) {
        let rest = Rest { until: Instant::now() + pause.max(REST_MIN), status };
        let mut inner = self.lock();
        let slot = if is_document(kind) { &mut inner.documents } else { &mut inner.everything };
        if slot.is_none_or(|current| current.until < rest.until) {
            *slot = Some(rest);
            let seconds = pause.as_secs();
            warn!(registry = %self.registry, host, status, seconds, "upstream asked for a rest");
        }
    }

    /// A new request begins: a tenth of a retry is earned.
    pub(crate) fn deposit(&self) {
        self.lock().budget.deposit();
    }

    /// Whether the budget has a retry left; it is taken.
    pub(crate) fn withdraw(&self) -> bool {
        self.lock().budget.withdraw()
    }

    fn change(&self, host: &str, error: Option<&Error>, change: impl FnOnce(&mut Breaker)) {
        let mut inner = self.lock();
        let before = inner.breaker.state();
        change(&mut inner.breaker);
        self.show(before, inner.breaker.state(), host, error);
    }

    /// One line and one gauge per change of state. Probes come and go; what they find out is worth a line.
    fn show(&self, before: State, after: State, host: &str, error: Option<&Error>) {
        if before == after {
            return;
        }
        if let Some(metrics) = &self.metrics {
            metrics.breaker(after.as_number());
        }
        let registry = &self.registry;
        match (before, after, error) {
            (State::Closed, _, Some(error)) => {
                warn!(%registry, host, %error, "upstream keeps failing; breaker opened");
            }
            (_, State::Closed, _) => info!(%registry, host, "upstream answers again; breaker closed"),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    fn describe(&self, host: &str, now: Instant) -> Error {
        let kind = if self.status == 429 { ErrorKind::Throttled } else { ErrorKind::Resting };
        let left = self.until - now;
        let detail = format!("answered {} and is left alone for {} s", self.status, left.as_secs() + 1);
        Error::new(kind, host, detail).with_retry_after(left)
    }
}

/// Whether it counts against the limits that registries put on manifests.
fn is_document(kind: UpstreamKind) -> bool {
    matches!(kind, UpstreamKind::HeadManifest | UpstreamKind::GetManifest | UpstreamKind::List)
}

impl Permit<'_> {
    /// How the request ended. From 502 on a status says that what stands behind the host is down, and counts
    /// as no answer does; other statuses are answers.
    pub(crate) fn report(mut self, sent: &Result<Response, Error>) {
        self.is_reported = true;
        let gateway_error = |response: &Response| {
            let status = response.status();
            let detail = format!("answered {}", status.as_u16());
            (status >= StatusCode::BAD_GATEWAY).then(|| Error::new(ErrorKind::Unreachable, self.host, detail))
        };
        match sent.as_ref().map(gateway_error) {
            Ok(None) => self.gate.change(self.host, None, Breaker::succeed),
            Ok(Some(error)) => self.fail(&error),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&self, error: &Error) {
        let now = Instant::now().into_std();
        self.gate.change(self.host, Some(error), |breaker| breaker.fail(self.admission, now));
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.is_reported {
            let now = Instant::now().into_std();
            self.gate.change(self.host, None, |breaker| breaker.abandon(self.admission, now));
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("registry", &self.registry).field("inner", &self.inner).finish()
    }
}

#[cfg(test)]
mod tests;
