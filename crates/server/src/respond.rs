//! Builds HTTP answers from a backend's results. All headers are made from typed values, so that no header of
//! an upstream passes through.

pub(crate) mod blob;
pub(crate) mod error;
pub(crate) mod listing;
pub(crate) mod manifest;
pub(crate) mod unrouted;

use bytes::Bytes;
use cache::{Keeping, Outcome};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use telemetry::Answered;

use crate::access_log::Entry;
use crate::body::{Content, Outgoing};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// Registries must warn with this code and this agent (distribution-spec, "Warnings").
const STALE: HeaderValue = HeaderValue::from_static("299 - \"stale: the upstream cannot be asked\"");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The headers of most answers, including those that the connection adds.
const HEADER_COUNT: usize = 12;

/// An answer, before the request's method decides whether its content is sent.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
    /// The content's length in bytes, even if a HEAD will not send it.
    length: u64,
    outcome: Answered,
    /// The state of content that is being stored.
    keeping: Option<Keeping>,
    /// Whether the connection ends with this answer.
    closes: bool,
    /// Whether `length` is unknown. Such an answer can only answer a HEAD.
    is_length_unknown: bool,
}

impl Answer {
    /// Creates an answer of `length` bytes of `content`.
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
            is_length_unknown: false,
        }
    }

    /// Creates an answer of these bytes.
    pub(crate) fn whole(status: StatusCode, outcome: impl Into<Answered>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        Self::new(status, outcome, Content::Whole(bytes), length)
    }

    /// Lets the log say at the end whether the store took the content.
    fn with_keeping(self, keeping: Option<Keeping>) -> Self {
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

    /// Omits `Content-Length`. Only for answers to HEAD.
    fn without_length(self) -> Self {
        Self { is_length_unknown: true, ..self }
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds `Cache-Status` (RFC 9211), and `Warning` if the answer is stale.
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

    /// Builds the response. A HEAD gets the same headers as a GET. The entry, if the request is logged,
    /// records the answer and travels with the body.
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
        if !is_bare && !self.is_length_unknown {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.length));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Adds the namespace that the answer is for, if the request had `ns` (distribution-spec, "Registry
    /// Proxying").
    pub(crate) fn with_namespace(self, namespace: Option<&str>) -> Self {
        match namespace.map(HeaderValue::from_str) {
            Some(Ok(value)) => self.with(NAMESPACE, value),
            _ => self,
        }
    }

    /// Marks the answer as one of the distribution API. Old clients need that.
    pub(crate) fn with_api_version(self) -> Self {
        self.with(API_VERSION, HeaderValue::from_static("registry/2.0"))
    }
}

/// The answer to `/v2/`: this is a registry. It needs no upstream.
pub(crate) fn version() -> Answer {
    Answer::whole(StatusCode::OK, Answered::Version, &b"{}"[..]).with(header::CONTENT_TYPE, json())
}

/// `Content-Type` of JSON. Clients compare it without parameters.
fn json() -> HeaderValue {
    HeaderValue::from_static("application/json")
}

#[cfg(test)]
mod tests;
