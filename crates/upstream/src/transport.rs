//! Sends one request: chooses the client, applies the deadline, and describes failures.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use budget::Memory;
use bytes::Bytes;
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use policy::address;
use policy::host_health::Target;
use policy::realm::UpstreamScope;
use policy::retry::{RETRY_RESERVE_OF_KNOWN, RetryBudget};
use reqwest::{Client, Response};
use secret::Secret;
use telemetry::{RegistryMetrics, UpstreamKind};
use tokio::time::Instant;
use tracing::debug;
use url::{Host, Url};

use crate::clients::{Clients, Connections};
use crate::diagnosis::{self, Reader};
use crate::error::{Error, ErrorKind, causes};
use crate::location::host_of;
use crate::resolver::AddressRefused;

/// The HTTP clients and limits of one upstream. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    pub(crate) registry: String,
    pub(crate) connections: Connections,
    pub(crate) upstream_scope: UpstreamScope,
    pub(crate) metrics: Arc<RegistryMetrics>,
    /// The memory budget for whole answers.
    pub(crate) memory: Memory,
    /// The longest wait for the head of one answer.
    pub(crate) header_timeout: Duration,
    /// The retry budget.
    pub(crate) budget: Arc<Mutex<RetryBudget>>,
}

/// One HTTP request.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) kind: UpstreamKind,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// A form with a secret in it.
    pub(crate) body: Option<Secret<Bytes>>,
    /// The target that a failure counts for.
    pub(crate) target: Arc<Target>,
    /// Whether it is a further connection for a blob that another transfer already fetches. Then a refusal
    /// counts for that connection only.
    pub(crate) is_further: bool,
}

impl Outgoing {
    /// Returns the path if wharf wrote it. A path from a redirect or a challenge may hold a secret.
    fn own_path(&self) -> Option<&str> {
        let is_foreign = matches!(self.kind, UpstreamKind::Redirect | UpstreamKind::Token);
        (!is_foreign).then(|| self.url.path())
    }
}

/// The deadline and the remaining retries of one operation.
#[derive(Debug)]
pub(crate) struct Allowance {
    pub(crate) deadline: Instant,
    /// Whether a request over a dead kept connection may be sent again without counting as an attempt.
    pub(crate) may_resend: bool,
    /// Whether a silent request may be hedged.
    pub(crate) may_hedge: bool,
    /// Whether this is not the first attempt.
    is_repeated: bool,
    /// Whether no target of this operation failed lately, so that a failure may be transient.
    may_retry: bool,
    /// Whether all targets belong to repositories that served content lately.
    is_known: bool,
}

/// The reasons why a connection gave no answer.
pub(crate) enum Failure {
    Elapsed,
    Http(reqwest::Error),
}

impl Allowance {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            may_resend: true,
            may_hedge: true,
            is_repeated: false,
            may_retry: true,
            is_known: true,
        }
    }

    /// Notes the recent history of a target. A failure of the first attempt does not count against the next.
    pub(crate) fn note_history(&mut self, may_retry: bool, is_known: bool) {
        if !self.is_repeated {
            self.may_retry &= may_retry;
            self.is_known &= is_known;
        }
    }

    /// Starts the next attempt.
    pub(crate) fn repeat(&mut self) {
        self.is_repeated = true;
    }
}

impl Transport {
    /// Starts an operation, which adds a tenth of a retry to the budget.
    pub(crate) fn deposit(&self) {
        self.budget.lock().deposit();
    }

    /// Takes a retry from the budget, if allowed. Targets that failed before get none, and unknown
    /// repositories leave some for known ones.
    pub(crate) fn may_ask_again(&self, allowance: &Allowance) -> bool {
        let keep = if allowance.is_known { 0 } else { RETRY_RESERVE_OF_KNOWN };
        allowance.may_retry && self.budget.lock().withdraw(keep)
    }

    /// Sends the request and waits for the head of the answer, whatever its status.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`], [`ErrorKind::TimedOut`]; [`ErrorKind::Invalid`] for a URL with an internal
    /// address.
    pub(crate) async fn send(
        &self,
        outgoing: &Outgoing,
        allowance: &mut Allowance,
    ) -> Result<Response, Error> {
        let url = &outgoing.url;
        let clients = self.connections.clients();
        let pair = if self.upstream_scope.contains(url) {
            &clients.direct
        } else {
            refuse_internal(&clients, url).await?;
            &clients.guarded
        };
        let has_proxy = clients.may_use_proxy(url);
        match self.send_hedged(pair, outgoing, allowance).await {
            Ok(response) => Ok(response),
            Err(failure) if failure.is_broken_connection() && allowance.may_resend => {
                allowance.may_resend = false;
                let resent = self.send_once(&pair.unpooled, outgoing, allowance.deadline).await;
                resent.map_err(|failure| failure.describe(url, has_proxy))
            }
            Err(failure) => Err(failure.describe(url, has_proxy)),
        }
    }

    /// Sends the request over one connection.
    pub(crate) async fn send_once(
        &self,
        client: &Client,
        outgoing: &Outgoing,
        deadline: Instant,
    ) -> Result<Response, Failure> {
        let started = Instant::now();
        let mut counted = CountedRequest { metrics: &self.metrics, kind: outgoing.kind, status: None };
        let request =
            client.request(outgoing.method.clone(), outgoing.url.clone()).headers(outgoing.headers.clone());
        let request = match &outgoing.body {
            Some(body) => request.body(body.expose().clone()),
            None => request,
        };
        let deadline = deadline.min(started + self.header_timeout);
        let answered = match tokio::time::timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                if error.is_connect() {
                    self.connections.clients().race.forget(outgoing.url.host_str().unwrap_or_default());
                }
                Err(Failure::Http(error.without_url()))
            }
            Err(_) => Err(Failure::Elapsed),
        };
        let status = answered.as_ref().ok().map(|response| response.status().as_u16());
        counted.status = status;
        if status.is_some() {
            self.metrics.upstream_answered(outgoing.kind, started.elapsed());
        }
        debug!(
            registry = %self.registry,
            kind = outgoing.kind.as_str(),
            host = %host_of(&outgoing.url),
            target = outgoing.own_path(),
            status,
            elapsed_ms = started.elapsed().as_millis(),
            "upstream request"
        );
        answered
    }
}

/// Counts a request when it ends, even if it was cancelled.
struct CountedRequest<'a> {
    metrics: &'a RegistryMetrics,
    kind: UpstreamKind,
    status: Option<u16>,
}

impl Drop for CountedRequest<'_> {
    fn drop(&mut self) {
        self.metrics.upstream_request(self.kind, self.status);
    }
}

impl Failure {
    /// Tells whether the connection ended before the answer. That happens if a server closes an idle
    /// connection just as it is used again.
    fn is_broken_connection(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_request() && !error.is_connect() && !error.is_timeout())
    }

    fn describe(self, url: &Url, has_proxy: bool) -> Error {
        let host = host_of(url);
        let error = match self {
            Self::Elapsed => return Error::new(ErrorKind::TimedOut, host, "did not answer in time"),
            Self::Http(error) => error,
        };
        if error.is_timeout() && error.is_connect() {
            let what = "could not be connected to in time";
            return Error::new(ErrorKind::TimedOut, host, what).without_connection().with_source(error);
        }
        if error.is_timeout() {
            return Error::new(ErrorKind::TimedOut, host, "did not answer in time").with_source(error);
        }
        if let Some(refused) = find_refused(&error) {
            return refused_internal(url, refused);
        }
        if error.is_builder() {
            let detail = format!("cannot be asked: {}", causes(&error));
            return Error::new(ErrorKind::Invalid, host, detail).with_source(error);
        }
        let is_connect = error.is_connect();
        let detail = diagnosis::describe(&error, url, has_proxy, Reader::Client);
        let described = Error::new(ErrorKind::Unreachable, host, detail).with_source(error);
        if is_connect { described.without_connection() } else { described }
    }
}

/// Refuses internal hosts. An address in the URL is never resolved, so it is checked here, as is a name
/// that a proxy would resolve.
async fn refuse_internal(clients: &Clients, url: &Url) -> Result<(), Error> {
    let inside = match url.host().map(|host| (address::check_host(&host), host)) {
        Some((Ok(()), _)) if clients.is_proxy(url) => "the proxy".to_owned(),
        Some((Ok(()), Host::Domain(name))) if clients.may_use_proxy(url) => match address::check_name(name) {
            Ok(()) => {
                let looked_up = clients.proxy_names.check(name).await;
                return looked_up.map_err(|refused| refused_internal(url, &refused));
            }
            Err(inside) => inside.to_string(),
        },
        Some((Ok(()), _)) => return Ok(()),
        Some((Err(inside), _)) => inside.to_string(),
        None => "no host".to_owned(),
    };
    let detail = format!("is {inside}; if it belongs to this registry, list it in trusted_hosts");
    Err(Error::new(ErrorKind::Invalid, host_of(url), detail))
}

fn refused_internal(url: &Url, refused: &AddressRefused) -> Error {
    Error::new(ErrorKind::Invalid, host_of(url), format!("is not reached: {refused}"))
        .with_source(refused.clone())
}

fn find_refused(error: &reqwest::Error) -> Option<&AddressRefused> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(refused) = cause.downcast_ref() {
            return Some(refused);
        }
        next = cause.source();
    }
    None
}
