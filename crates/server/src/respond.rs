//! From what a backend answered to what the client gets: headers as clients need them, rebuilt from typed
//! values, so that nothing of an upstream's own headers passes through.

pub(crate) mod blob;
pub(crate) mod error;
pub(crate) mod foreign;
pub(crate) mod listing;
pub(crate) mod manifest;
pub(crate) mod unrouted;

use bytes::Bytes;
use cache::{Keeping, Outcome};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use telemetry::Answered;

use crate::access::Entry;
use crate::body::{Content, Outgoing};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// The code and the agent are the only ones that a registry may warn with (distribution-spec, "Warnings").
const STALE: HeaderValue = HeaderValue::from_static("299 - \"stale: the upstream cannot be asked\"");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// As many headers as most answers have, with room for those that the connection adds.
const HEADER_COUNT: usize = 12;

/// An answer, before it is known whether the method lets its content go out.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
    /// The content's length in bytes, also when only its description is wanted.
    length: u64,
    outcome: Answered,
    /// For content that is on its way into the store.
    keeping: Option<Keeping>,
    /// Whether the connection ends with this answer.
    closes: bool,
    /// Whether `length` is not known. Only an answer without content may go out then.
    is_untold: bool,
}

impl Answer {
    /// An answer of `length` bytes of `content`.
    pub(crate) fn new(
        status: StatusCode,
        outcome: impl Into<Answered>,
        content: Content,
        length: u64,
    ) -> Self {
        Self {
            status,
            headers: HeaderMap::with_capacity(HEADER_COUNT),
            content,
            length,
            outcome: outcome.into(),
            keeping: None,
            closes: false,
            is_untold: false,
        }
    }

    /// An answer of these bytes.
    pub(crate) fn whole(status: StatusCode, outcome: impl Into<Answered>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        Self::new(status, outcome, Content::Whole(bytes), length)
    }

    /// Tells the log at the end whether the store could take the content.
    fn on_its_way(self, keeping: Option<Keeping>) -> Self {
        Self { keeping, ..self }
    }

    /// Sets a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Ends the connection with this answer.
    pub(crate) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Leaves `Content-Length` out. For answers to HEAD alone.
    fn of_untold_length(self) -> Self {
        Self { is_untold: true, ..self }
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Says how the cache came by the answer (RFC 9211).
    fn with_outcome(self, outcome: Outcome) -> Self {
        let status = match outcome {
            Outcome::Hit => "wharf; hit",
            Outcome::Miss => "wharf; fwd=miss",
            Outcome::Join => "wharf; fwd=miss; collapsed",
            Outcome::Stale => "wharf; hit; detail=stale",
            Outcome::Revalidated => "wharf; hit; detail=revalidated",
            Outcome::Bypass => "wharf; fwd=bypass",
        };
        let answer = self.with(CACHE_STATUS, HeaderValue::from_static(status));
        if outcome == Outcome::Stale { answer.with(header::WARNING, STALE) } else { answer }
    }

    /// The answer as it goes out. A HEAD gets the same headers as a GET; `entry`, where the request is
    /// logged, is told what was answered and travels with the body.
    pub(crate) fn into_response(self, method: &Method, mut entry: Option<Entry>) -> Response<Outgoing> {
        if let Some(entry) = &mut entry {
            entry.answered(self.outcome, self.status.as_u16(), self.keeping);
        }
        let is_bare = self.status == StatusCode::NOT_MODIFIED;
        let outgoing = if is_bare || method == Method::HEAD {
            Outgoing { content: Content::Whole(Bytes::new()), length: 0, entry }
        } else {
            Outgoing { content: self.content, length: self.length, entry }
        };
        let mut response = Response::new(outgoing);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if !is_bare && !self.is_untold {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.length));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Says which `ns` the answer goes by, where the request had one (distribution-spec, "Registry Proxying").
    pub(crate) fn with_namespace(self, namespace: Option<&str>) -> Self {
        match namespace.map(HeaderValue::from_str) {
            Some(Ok(value)) => self.with(NAMESPACE, value),
            _ => self,
        }
    }

    /// Marks the answer as one of the distribution API's; old clients look for that.
    pub(crate) fn of_the_api(self) -> Self {
        self.with(API_VERSION, HeaderValue::from_static("registry/2.0"))
    }
}

/// The answer to `/v2/`: this is a registry, and no upstream was asked.
pub(crate) fn version() -> Answer {
    Answer::whole(StatusCode::OK, Answered::Version, &b"{}"[..]).with(header::CONTENT_TYPE, json())
}

/// `Content-Type` of JSON. Clients compare it without parameters.
fn json() -> HeaderValue {
    HeaderValue::from_static("application/json")
}

#[cfg(test)]
mod tests;
