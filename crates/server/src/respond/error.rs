//! Refusals, and the one place where they become answers (distribution-spec, "Error Codes").
//!
//! The status decides where a client goes next, so it follows what clients do with it: after a 404 or 403
//! they try the real registry at once, after a 502 too, while a 503 or a long `Retry-After` holds some of
//! them up. The message is often the last thing a person sees, so it says whose fault it is and what to do.

use std::time::Duration;

use cache::PullError;
use http::StatusCode;
use http::header::{self, HeaderValue};
use oci::{ErrorCode, RangeError, RequestError};
use policy::host::RouteError;

use super::{Answer, json};
use crate::request_id::RequestId;
use crate::site::HeadFault;

/// The longest `Retry-After` sent, in seconds: clients that obey it wait as often as five times, while a
/// request here costs nothing.
const RETRY_AFTER_SECONDS_MAX: u64 = 5;

/// `Retry-After` of a refusal for want of places, in seconds: the shortest that can be said. They are free again as
/// soon as others are answered.
const OVERLOADED_RETRY_AFTER_SECONDS: u64 = 1;

/// What a failed pull was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Manifest,
    Referrers,
    Blob,
    Tags,
    Catalog,
}

/// Why a request is not served.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The head is malformed or asks for something that is not done here.
    Head(HeadFault),
    /// No registry is meant, or none that is configured.
    Unrouted(RouteError),
    /// The path or the query is none of the API's.
    Request { registry: String, error: RequestError },
    /// Several ranges at once.
    Range(RangeError),
    /// The backend failed.
    Pull { registry: String, asked: Asked, error: PullError },
    /// As many clients are connected, or as many requests answered, as there may be.
    Overloaded,
    /// The backend took too long to begin.
    Late { registry: String },
}

impl From<HeadFault> for Refusal {
    fn from(fault: HeadFault) -> Self {
        Self::Head(fault)
    }
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        Self::Unrouted(error)
    }
}

impl From<RangeError> for Refusal {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}

/// A refusal in the terms of HTTP.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    pub(crate) status: StatusCode,
    pub(crate) code: ErrorCode,
    /// One line for the person at the client.
    pub(crate) message: String,
    /// The word for it in metrics and log.
    pub(crate) outcome: &'static str,
    pub(crate) extra: Extra,
}

/// What an error answer says beside its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    None,
    /// `Retry-After`, in seconds.
    RetryAfter(u64),
    /// `Content-Range: bytes */size`.
    Size(u64),
    /// The connection ends, because what follows on it is not to be read as a request.
    Closes,
    /// As `Closes`, and `Allow` names the methods.
    Allow,
}

/// What the client is told.
pub(crate) fn answer(refusal: &Refusal) -> ErrorAnswer {
    match refusal {
        Refusal::Head(fault) => head_fault(*fault),
        Refusal::Unrouted(error) => unrouted(error),
        Refusal::Request { registry, error } => {
            let status = match error {
                RequestError::NotFound => StatusCode::NOT_FOUND,
                RequestError::NameInvalid(_)
                | RequestError::DigestInvalid(_)
                | RequestError::TagInvalid(_)
                | RequestError::PathInvalid
                | RequestError::QueryInvalid(_) => StatusCode::BAD_REQUEST,
            };
            error_answer(status, error.code(), "invalid", format!("{registry}: {error}"))
        }
        Refusal::Range(error) => {
            let message = format!("{error}; ask for one range at a time");
            error_answer(StatusCode::BAD_REQUEST, ErrorCode::RangeInvalid, "invalid", message)
        }
        Refusal::Pull { registry, asked, error } => pull(registry, *asked, error),
        Refusal::Overloaded => overloaded("this cache is busy with as much as it may do at once".to_owned()),
        Refusal::Late { registry } => {
            let message = format!("{registry}: the answer took too long to begin; try again");
            error_answer(StatusCode::GATEWAY_TIMEOUT, ErrorCode::Unavailable, "timeout", message)
        }
    }
}

fn error_answer(status: StatusCode, code: ErrorCode, outcome: &'static str, message: String) -> ErrorAnswer {
    ErrorAnswer { status, code, message, outcome, extra: Extra::None }
}

fn head_fault(fault: HeadFault) -> ErrorAnswer {
    let (status, outcome, extra) = match fault {
        HeadFault::Method => (StatusCode::METHOD_NOT_ALLOWED, "unsupported", Extra::Allow),
        HeadFault::TargetTooLong => (StatusCode::URI_TOO_LONG, "malformed", Extra::Closes),
        HeadFault::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "misdirected", Extra::None),
        HeadFault::Body
        | HeadFault::HostMissing
        | HeadFault::HostRepeated
        | HeadFault::HostInvalid
        | HeadFault::TargetDisagrees => (StatusCode::BAD_REQUEST, "malformed", Extra::Closes),
    };
    ErrorAnswer { extra, ..error_answer(status, ErrorCode::Unsupported, outcome, fault.to_string()) }
}

fn unrouted(error: &RouteError) -> ErrorAnswer {
    let (status, code, outcome, message) = match error {
        RouteError::UnknownHost => (
            StatusCode::NOT_FOUND,
            ErrorCode::NameUnknown,
            "unknown_host",
            "no registry of this cache has this host name; check the name, or add the registry to wharf's \
             configuration",
        ),
        RouteError::UnknownRegistry => (
            StatusCode::NOT_FOUND,
            ErrorCode::NameUnknown,
            "unknown_registry",
            "this cache is not configured for the registry that `ns` names; add it to wharf's configuration",
        ),
        RouteError::Disagree => (
            StatusCode::NOT_FOUND,
            ErrorCode::NameUnknown,
            "disagree",
            "the host name, the path and `ns` name different registries; serving one of them could hand out \
             the wrong image",
        ),
        RouteError::NoSelector => (
            StatusCode::NOT_FOUND,
            ErrorCode::NameUnknown,
            "no_selector",
            "nothing in the request says which registry is meant: use a registry's own host name, put its \
             name first in the path, or set `default_registry`",
        ),
        RouteError::BadAuthority => (
            StatusCode::BAD_REQUEST,
            ErrorCode::NameInvalid,
            "malformed",
            "the request's Host is no host name",
        ),
    };
    error_answer(status, code, outcome, message.to_owned())
}

fn pull(registry: &str, asked: Asked, error: &PullError) -> ErrorAnswer {
    match error {
        PullError::NotFound { detail } => {
            let message = format!("{registry}: {detail}; check the name, and that it exists there");
            error_answer(StatusCode::NOT_FOUND, not_found_code(asked), "not_found", message)
        }
        PullError::Denied { detail } => {
            let message = format!(
                "{registry}: {detail}; this cache may not read it: give the account in wharf's configuration \
                 access, or pull from the registry itself"
            );
            error_answer(StatusCode::FORBIDDEN, ErrorCode::Denied, "denied", message)
        }
        PullError::Throttled { retry_after, detail } => throttled(registry, *retry_after, detail),
        PullError::UpstreamUnavailable { timed_out, detail } => unavailable(registry, *timed_out, detail),
        PullError::DigestMismatch { detail } => {
            let message =
                format!("{registry}: {detail}; nothing of it was kept, and the next request asks afresh");
            error_answer(StatusCode::BAD_GATEWAY, ErrorCode::Unavailable, "digest_mismatch", message)
        }
        PullError::RangeNotSatisfiable { size } => {
            let (status, message) = (StatusCode::RANGE_NOT_SATISFIABLE, format!("{registry}: {error}"));
            let answer = error_answer(status, ErrorCode::RangeInvalid, "range", message);
            ErrorAnswer { extra: Extra::Size(*size), ..answer }
        }
        PullError::Overloaded => overloaded(format!(
            "{registry}: this cache has as much under way for this registry as it may, and nothing in it can stand in"
        )),
        PullError::Offline => {
            let message = format!(
                "{registry}: this cache does not hold it, and is configured with `offline` not to ask the registry"
            );
            error_answer(StatusCode::BAD_GATEWAY, ErrorCode::Unavailable, "offline", message)
        }
        PullError::Store { detail } => {
            let message = format!("{registry}: this cache's own storage failed ({detail}); see wharf's log");
            error_answer(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, "store", message)
        }
    }
}

fn throttled(registry: &str, retry_after: Option<Duration>, detail: &str) -> ErrorAnswer {
    let seconds = retry_after.map_or(1, |wait| wait.as_secs().clamp(1, RETRY_AFTER_SECONDS_MAX));
    let message = format!(
        "{registry}: {detail}, and nothing in this cache can stand in; try again later, or give wharf an \
         account there with a higher limit"
    );
    let (status, code) = (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests);
    ErrorAnswer { extra: Extra::RetryAfter(seconds), ..error_answer(status, code, "throttled", message) }
}

fn overloaded(reason: String) -> ErrorAnswer {
    let (status, message) = (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}; try again in a second"));
    let answer = error_answer(status, ErrorCode::Unavailable, "overloaded", message);
    ErrorAnswer { extra: Extra::RetryAfter(OVERLOADED_RETRY_AFTER_SECONDS), ..answer }
}

fn unavailable(registry: &str, timed_out: bool, detail: &str) -> ErrorAnswer {
    let (status, outcome) = if timed_out {
        (StatusCode::GATEWAY_TIMEOUT, "timeout")
    } else {
        (StatusCode::BAD_GATEWAY, "unavailable")
    };
    let message = format!(
        "{registry}: {detail}, and nothing in this cache can stand in; try again when the registry answers"
    );
    error_answer(status, ErrorCode::Unavailable, outcome, message)
}

fn not_found_code(asked: Asked) -> ErrorCode {
    match asked {
        Asked::Blob => ErrorCode::BlobUnknown,
        // Some clients take NAME_UNKNOWN at the referrers API as final instead of trying the tag.
        Asked::Manifest | Asked::Referrers => ErrorCode::ManifestUnknown,
        Asked::Tags | Asked::Catalog => ErrorCode::NameUnknown,
    }
}

impl ErrorAnswer {
    /// The answer with its body, in which `id` lets the reader find the log line.
    pub(crate) fn into_answer(self, id: RequestId) -> Answer {
        let message = format!("{} (wharf cache, request {id})", self.message);
        let document = serde_json::json!({
            "errors": [{ "code": self.code.as_str(), "message": message, "detail": null }]
        });
        let mut answer =
            Answer::whole(self.status, self.outcome, document.to_string()).with(header::CONTENT_TYPE, json());
        if matches!(self.extra, Extra::Closes | Extra::Allow) {
            answer = answer.closing();
        }
        match self.extra {
            Extra::None | Extra::Closes => answer,
            Extra::RetryAfter(seconds) => answer.with(header::RETRY_AFTER, HeaderValue::from(seconds)),
            Extra::Size(size) => {
                let range = HeaderValue::from_str(&format!("bytes */{size}"));
                answer.with(header::CONTENT_RANGE, range.expect("digits are visible ASCII"))
            }
            Extra::Allow => answer.with(header::ALLOW, HeaderValue::from_static("GET, HEAD")),
        }
    }
}

#[cfg(test)]
mod tests;
