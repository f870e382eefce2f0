//! One request over the wire: which client may carry it, how long it may take, and what went wrong.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use budget::Memory;
use http::{HeaderMap, Method};
use policy::address;
use policy::realm::Territory;
use reqwest::{Client, Response};
use telemetry::{RegistryMetrics, UpstreamKind};
use tokio::time::Instant;
use tracing::debug;
use url::Url;

use crate::clients::Clients;
use crate::error::{Error, ErrorKind, causes};
use crate::resolver::AddressRefused;

/// The wires of one upstream.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) registry: String,
    pub(crate) clients: Clients,
    pub(crate) territory: Territory,
    pub(crate) metrics: Arc<RegistryMetrics>,
    /// What whole answers in memory may take.
    pub(crate) memory: Memory,
    /// The longest wait for the head of one answer.
    pub(crate) header_timeout: Duration,
}

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) kind: UpstreamKind,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
}

/// What is left for one operation.
#[derive(Debug)]
pub(crate) struct Patience {
    pub(crate) deadline: Instant,
    /// A kept connection that turns out to be dead costs no attempt, once.
    pub(crate) may_resend: bool,
}

enum Failure {
    Elapsed,
    Http(reqwest::Error),
}

impl Patience {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { deadline, may_resend: true }
    }
}

impl Transport {
    /// Sends the request and waits for the head of the answer, whatever its status.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`], [`ErrorKind::TimedOut`]; [`ErrorKind::Invalid`] for a URL that leads inside
    /// our own network.
    pub(crate) async fn send(&self, outgoing: &Outgoing, patience: &mut Patience) -> Result<Response, Error> {
        let url = &outgoing.url;
        let pair = if self.territory.contains(url) {
            &self.clients.direct
        } else {
            self.refuse_inside(url)?;
            &self.clients.guarded
        };
        match self.send_once(&pair.pooled, outgoing, patience).await {
            Ok(response) => Ok(response),
            Err(failure) if failure.is_broken_connection() && patience.may_resend => {
                patience.may_resend = false;
                let resent = self.send_once(&pair.unpooled, outgoing, patience).await;
                resent.map_err(|failure| failure.describe(url))
            }
            Err(failure) => Err(failure.describe(url)),
        }
    }

    /// An address written in the URL is never resolved, so it is checked here.
    fn refuse_inside(&self, url: &Url) -> Result<(), Error> {
        let inside = match url.host().map(|host| address::check_host(&host)) {
            Some(Ok(())) if self.clients.is_proxy(url) => "the proxy".to_owned(),
            Some(Ok(())) => return Ok(()),
            Some(Err(inside)) => inside.to_string(),
            None => "no host".to_owned(),
        };
        let detail = format!("is {inside}; if it belongs to this registry, list it in trusted_hosts");
        Err(Error::new(ErrorKind::Invalid, host_of(url), detail))
    }

    async fn send_once(
        &self,
        client: &Client,
        outgoing: &Outgoing,
        patience: &Patience,
    ) -> Result<Response, Failure> {
        let started = Instant::now();
        let request =
            client.request(outgoing.method.clone(), outgoing.url.clone()).headers(outgoing.headers.clone());
        let deadline = patience.deadline.min(started + self.header_timeout);
        let answered = match tokio::time::timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Failure::Http(error.without_url())),
            Err(_) => Err(Failure::Elapsed),
        };
        let status = answered.as_ref().ok().map(|response| response.status().as_u16());
        self.metrics.upstream_request(outgoing.kind, status);
        debug!(
            registry = %self.registry,
            kind = outgoing.kind.as_str(),
            host = %host_of(&outgoing.url),
            path = outgoing.url.path(),
            status,
            elapsed_ms = started.elapsed().as_millis(),
            "upstream request"
        );
        answered
    }
}

impl Failure {
    /// Whether the connection ended while the answer was awaited. A server that closes an idle connection at
    /// the moment it is used again looks like that.
    fn is_broken_connection(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_request() && !error.is_connect() && !error.is_timeout())
    }

    fn describe(&self, url: &Url) -> Error {
        let host = host_of(url);
        let error = match self {
            Self::Elapsed => return Error::new(ErrorKind::TimedOut, host, "did not answer in time"),
            Self::Http(error) => error,
        };
        let cause = causes(error);
        if error.is_timeout() {
            let what = if error.is_connect() {
                "could not be connected to in time"
            } else {
                "did not answer in time"
            };
            return Error::new(ErrorKind::TimedOut, host, what);
        }
        if let Some(refused) = find_refused(error) {
            return Error::new(ErrorKind::Invalid, host, format!("is not reached: {refused}"));
        }
        if error.is_builder() {
            return Error::new(ErrorKind::Invalid, host, format!("cannot be asked: {cause}"));
        }
        let what = if error.is_connect() { "could not be reached" } else { "broke the connection" };
        Error::new(ErrorKind::Unreachable, host, format!("{what}: {cause}"))
    }
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

/// The host of a URL for people, with its port unless that is the scheme's default.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
