//! Access-log entries: one per request, written to the log and counted in the metrics when the request ends.
//!
//! An [`Entry`] is created when the head is complete and travels with the answer's body. Its drop is the end
//! of the request, whether the answer was complete, broke off, lost its client or met a panic.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::{Backend, Keeping};
use http::{Method, header, request};
use oci::{Digest, Reference, Repository, Request};
use policy::access::Identity;
use telemetry::{Answered, BypassReason, Kind, Metrics};
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::{Clock, Overdue};
use crate::request_id::RequestId;

/// The longest text from a client in the log, in bytes.
const FIELD_BYTES_MAX: usize = 256;

/// The status logged when a client left before its answer began. It is never sent.
const STATUS_LEFT: u16 = 499;

/// The end of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All bytes were sent.
    Complete,
    /// wharf broke it off: its content was wrong or ended early.
    Cut,
    /// The client disconnected.
    Left,
    /// A deadline of the connection passed.
    Overdue(Overdue),
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Left => "left",
            Self::Overdue(why) => why.reason().as_str(),
        }
    }

    fn is_our_fault(self) -> bool {
        match self {
            Self::Cut | Self::Overdue(Overdue::Answer) => true,
            Self::Complete | Self::Left | Self::Overdue(_) => false,
        }
    }
}

/// One request, from the end of its head to the end of its answer.
#[derive(Debug)]
pub(crate) struct Entry {
    began: Instant,
    id: RequestId,
    client: SocketAddr,
    method: Method,
    path: Box<[u8]>,
    user_agent: Option<Box<[u8]>>,
    metrics: Arc<Metrics>,
    clock: Arc<Clock>,
    registry: Option<Arc<Backend>>,
    kind: Kind,
    repository: Option<Repository>,
    reference: Option<Reference>,
    /// The client's identity, if the registry has rules.
    identity: Option<Identity>,
    outcome: Answered,
    keeping: Option<Keeping>,
    detail: Option<String>,
    status: u16,
    bytes: u64,
    first_byte: Option<Duration>,
    end: Option<End>,
    /// Counts the request against `answer_count_max`.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Entry {
    /// Creates the entry of the request with this head.
    pub(crate) fn begin(
        head: &request::Parts,
        id: RequestId,
        client: SocketAddr,
        metrics: Arc<Metrics>,
        clock: Arc<Clock>,
    ) -> Self {
        Self {
            began: Instant::now(),
            id,
            client,
            method: head.method.clone(),
            path: excerpt(head.uri.path().as_bytes()),
            user_agent: head.headers.get(header::USER_AGENT).map(|value| excerpt(value.as_bytes())),
            metrics,
            clock,
            registry: None,
            kind: Kind::Other,
            repository: None,
            reference: None,
            identity: None,
            outcome: Answered::Left,
            keeping: None,
            detail: None,
            status: STATUS_LEFT,
            bytes: 0,
            first_byte: None,
            end: None,
            _permit: None,
        }
    }

    /// The request's id. Error messages show it, so that the log line can be found.
    pub(crate) fn id(&self) -> RequestId {
        self.id
    }

    /// Keeps the permit until the request ends.
    pub(crate) fn hold_permit(&mut self, permit: OwnedSemaphorePermit) {
        self._permit = Some(permit);
    }

    /// Records the registry that the request was routed to.
    pub(crate) fn routed(&mut self, registry: &Arc<Backend>) {
        self.registry = Some(Arc::clone(registry));
    }

    /// Records the identity of the client.
    pub(crate) fn identified(&mut self, identity: Option<&Identity>) {
        self.identity = identity.cloned();
    }

    /// Records what the request asks for.
    pub(crate) fn asked(&mut self, request: &Request) {
        let by_digest = |digest: &Digest| Some(Reference::Digest(digest.clone()));
        let (kind, repository, reference) = match request {
            Request::Version => (Kind::Version, None, None),
            Request::Manifest { repository, reference } => {
                (Kind::Manifest, Some(repository), Some(reference.clone()))
            }
            Request::Blob { repository, digest } => (Kind::Blob, Some(repository), by_digest(digest)),
            Request::Tags { repository, .. } => (Kind::Tags, Some(repository), None),
            Request::Referrers { repository, digest, .. } => {
                (Kind::Referrers, Some(repository), by_digest(digest))
            }
            Request::Catalog { .. } => (Kind::Catalog, None, None),
        };
        self.kind = kind;
        self.repository = repository.cloned();
        self.reference = reference;
    }

    /// Records the outcome and the status that is about to be sent.
    pub(crate) fn answered(&mut self, outcome: Answered, status: u16, keeping: Option<Keeping>) {
        self.outcome = outcome;
        self.status = status;
        self.keeping = keeping;
    }

    /// Whether the content was meant for the store and is not in it.
    fn is_lost(&self) -> bool {
        self.keeping.as_ref().is_some_and(Keeping::has_failed)
    }

    /// Records why the request was refused or its answer broken off. For the log only.
    pub(crate) fn explain(&mut self, detail: String) {
        self.detail = Some(detail);
    }

    /// Records that `count` bytes of content went to the connection.
    pub(crate) fn sent(&mut self, count: u64) {
        self.first_byte.get_or_insert_with(|| self.began.elapsed());
        self.bytes += count;
    }

    /// Records that the whole answer was sent.
    pub(crate) fn complete(&mut self) {
        self.end.get_or_insert(End::Complete);
    }

    /// Records that wharf breaks the answer off.
    pub(crate) fn cut(&mut self, detail: String) {
        self.end = Some(End::Cut);
        self.explain(detail);
    }

    fn end(&self) -> End {
        match (self.end, self.clock.given_up()) {
            (Some(end), _) => end,
            (None, _) if std::thread::panicking() => End::Cut,
            (None, Some(overdue)) => End::Overdue(overdue),
            (None, None) => End::Left,
        }
    }

    fn count(&self, end: End) {
        // A broken body is no success. A client that left keeps the outcome that it had.
        let outcome = if end.is_our_fault() { Answered::Cut } else { self.outcome };
        let Some(registry) = &self.registry else {
            self.metrics.unrouted(outcome, self.status);
            return;
        };
        registry.metrics().request(self.kind, outcome, self.status);
        if self.is_lost() {
            registry.metrics().bypassed(BypassReason::StoreFailed);
        }
        if (200..300).contains(&self.status) {
            registry.metrics().served_bytes(self.bytes);
            if matches!(self.kind, Kind::Manifest | Kind::Blob) {
                registry.metrics().pulled_bytes(outcome, self.bytes);
            }
        }
        if let Some(first_byte) = self.first_byte {
            registry.metrics().first_byte(self.kind, first_byte.as_secs_f64());
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let end = self.end();
        self.count(end);
        let duration = self.began.elapsed();
        tracing::info!(
            target: "access",
            outcome = self.outcome.as_str(),
            status = self.status,
            method = %self.method,
            registry = self.registry.as_ref().map(|registry| registry.name()),
            kind = self.kind.as_str(),
            repository = self.repository.as_ref().map(Repository::as_str),
            reference = self.reference.as_ref().map(tracing::field::display),
            path = self.repository.is_none().then(|| loggable(&self.path)),
            client = %Shown(self.client),
            identity = self.identity.as_ref().and_then(shown),
            id = %self.id,
            kept = self.is_lost().then_some(false),
            end = end.as_str(),
            bytes = self.bytes,
            ttfb_ms = self.first_byte.map(milliseconds),
            duration_ms = milliseconds(duration),
            user_agent = self.user_agent.as_deref().map(loggable),
            detail = self.detail.as_deref(),
            "request"
        );
    }
}

/// The name that a client has proved; `None` if it proved only its address.
fn shown(identity: &Identity) -> Option<String> {
    let name = identity.to_string();
    (!name.is_empty()).then(|| loggable(name.as_bytes()))
}

/// A client's address, without a port that only a proxy knows.
struct Shown(SocketAddr);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.port() == 0 { self.0.ip().fmt(f) } else { self.0.fmt(f) }
    }
}

/// Milliseconds with three decimals: a warm manifest takes less than one.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Copies a client's text up to the log's bound. A reference would keep the whole head in memory.
fn excerpt(bytes: &[u8]) -> Box<[u8]> {
    bytes[..bytes.len().min(FIELD_BYTES_MAX)].into()
}

/// Bounds a client's text and replaces control characters, which could drive a terminal or forge a log line.
pub(crate) fn loggable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(FIELD_BYTES_MAX)]);
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests;
