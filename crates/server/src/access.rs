//! What is known of one request, told once when it is really over: to the access log and to the metrics.
//!
//! An [`Entry`] is made when the head is complete and travels with the answer's body. Whatever happens to
//! the request, a full answer, a cut one, a client that left, a panic, its drop is the end of the request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::{Backend, Keeping};
use http::{Method, header, request};
use oci::{Digest, Reference, Repository, Request};
use telemetry::{Answered, BypassReason, Kind, Metrics};
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::{Clock, Overdue};
use crate::request_id::RequestId;

/// The longest text of a client's that goes into the log, in bytes.
const FIELD_BYTES_MAX: usize = 256;

/// The status noted for a request whose client left before there was an answer. It is never sent.
const STATUS_LEFT: u16 = 499;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All of it went out.
    Complete,
    /// It broke off here: what came for it was wrong or ended early.
    Cut,
    /// The client went away.
    Left,
    /// The connection was given up.
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
    outcome: Answered,
    keeping: Option<Keeping>,
    detail: Option<String>,
    status: u16,
    bytes: u64,
    first_byte: Option<Duration>,
    end: Option<End>,
    /// The request's place among those that are answered.
    _place: Option<OwnedSemaphorePermit>,
}

impl Entry {
    /// An entry for the request that `head` begins.
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
            outcome: Answered::Left,
            keeping: None,
            detail: None,
            status: STATUS_LEFT,
            bytes: 0,
            first_byte: None,
            end: None,
            _place: None,
        }
    }

    /// The request's id, for the client to name when it asks what went wrong.
    pub(crate) fn id(&self) -> RequestId {
        self.id
    }

    /// Keeps the request's place among those that are answered, to its true end.
    pub(crate) fn hold(&mut self, place: OwnedSemaphorePermit) {
        self._place = Some(place);
    }

    /// The registry that the request is meant for.
    pub(crate) fn routed(&mut self, registry: &Arc<Backend>) {
        self.registry = Some(Arc::clone(registry));
    }

    /// What the request asks for.
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

    /// The request is about to be answered with this status; `outcome` is how, or a refusal's word.
    pub(crate) fn answered(&mut self, outcome: Answered, status: u16, keeping: Option<Keeping>) {
        self.outcome = outcome;
        self.status = status;
        self.keeping = keeping;
    }

    /// Whether what went out was to be stored, and was not.
    fn is_lost(&self) -> bool {
        self.keeping.as_ref().is_some_and(Keeping::has_failed)
    }

    /// Why the request was refused, or its answer broken off: for the log alone.
    pub(crate) fn explain(&mut self, detail: String) {
        self.detail = Some(detail);
    }

    /// `count` bytes of the answer's content are handed to the connection.
    pub(crate) fn sent(&mut self, count: u64) {
        self.first_byte.get_or_insert_with(|| self.began.elapsed());
        self.bytes += count;
    }

    /// Nothing of the answer is missing.
    pub(crate) fn complete(&mut self) {
        self.end.get_or_insert(End::Complete);
    }

    /// The answer breaks off.
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
        // A client that has left was not refused anything; what we broke off was no success.
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
            client = %self.client,
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

/// Milliseconds with three digits behind the point: a warm manifest takes less than one.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// As much of a client's text as the log may hold: a copy, because the whole head would stay in memory with it.
fn excerpt(bytes: &[u8]) -> Box<[u8]> {
    bytes[..bytes.len().min(FIELD_BYTES_MAX)].into()
}

/// A client's text as the log may hold it: bounded, and without characters that act on a terminal or look
/// like a line of their own.
pub(crate) fn loggable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(FIELD_BYTES_MAX)]);
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests;
