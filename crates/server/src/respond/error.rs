//! Refusals, and the one place where they become answers (distribution-spec, "Error Codes").
//!
//! The status decides where a client goes next, so it follows what clients do with it: after a 404 or 403
//! they try the real registry at once, after a 502 too, while a 503 or a long `Retry-After` holds some of
//! them up. The message is often the last thing a person sees, so it says whose fault it is and what to do.

use std::time::Duration;

use cache::PullError;
use http::StatusCode;
use http::header::{self, HeaderValue};
use oci::{ErrorCode, RequestError};
use telemetry::Answered;

use super::foreign::foreign;
use super::{Answer, json};
use crate::request_id::RequestId;
use crate::site::HeadFault;

/// The longest `Retry-After` sent, in seconds: clients that obey it wait as often as five times, while a
/// request here costs nothing.
const RETRY_AFTER_SECONDS_MAX: u64 = 5;

/// `Retry-After` of a refusal for want of places, in seconds: the shortest that can be said. They are free again as
/// soon as others are answered.
const OVERLOADED_RETRY_AFTER_SECONDS: u64 = 1;

/// The longest text of a warning, in bytes. All of them together may have 4,096.
const WARNING_BYTES_MAX: usize = 1024;

/// What a failed pull was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Manifest,
    Referrers,
    Blob,
    Tags,
    Catalog,
}

/// A failed pull, and what is known of it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) registry: String,
    /// What was asked for, such as `library/alpine:3.20`; empty where no repository was named.
    pub(crate) target: String,
    pub(crate) asked: Asked,
    /// Whether wharf has a login for the registry.
    pub(crate) has_login: bool,
    /// What the client perhaps meant instead.
    pub(crate) hint: Option<String>,
    pub(crate) error: PullError,
}

/// Why a request is not served.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The head is malformed or asks for something that is not done here.
    Head(HeadFault),
    /// No registry is meant, or none that is configured.
    Unrouted(ErrorAnswer),
    /// The path or the query is none of the API's.
    Request { registry: String, path: String, error: RequestError },
    /// The backend failed.
    Pull(Box<Failed>),
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

/// A refusal in the terms of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    pub(crate) status: StatusCode,
    pub(crate) code: ErrorCode,
    /// One line for the person at the client.
    pub(crate) message: String,
    /// The word for it in metrics and log.
    pub(crate) outcome: Answered,
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
    /// `Warning` repeats the message, because clients ask HEAD first, and its answer has no body.
    Warns,
}

impl Refusal {
    /// Says for the log why the request was refused, where the client is told `message`. The line names the image and
    /// the outcome already, and what the client's user might do is not repeated for each request; what the operator
    /// has to add to the configuration is. None where the outcome says all.
    pub(crate) fn reason(&self, message: &str) -> Option<String> {
        let Self::Pull(failed) = self else { return Some(message.to_owned()) };
        let detail = match &failed.error {
            PullError::Offline => None,
            error => Some(error.detail().map_or_else(|| error.to_string(), str::to_owned)),
        };
        let parts: Vec<String> = detail.into_iter().chain(failed.hint()).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// What the client is told.
pub(crate) fn answer(refusal: &Refusal) -> ErrorAnswer {
    match refusal {
        Refusal::Head(fault) => head_fault(*fault),
        Refusal::Unrouted(answer) => answer.clone(),
        Refusal::Request { registry, path, error } => {
            let status = match error {
                RequestError::NotFound => StatusCode::NOT_FOUND,
                RequestError::NameInvalid(_)
                | RequestError::DigestInvalid(_)
                | RequestError::TagInvalid(_)
                | RequestError::PathInvalid
                | RequestError::QueryInvalid(_) => StatusCode::BAD_REQUEST,
            };
            error_answer(
                status,
                error.code(),
                Answered::Invalid,
                format!("{registry}: {error}: {}", foreign(path)),
            )
        }
        Refusal::Pull(failed) => failed.answer(),
        Refusal::Overloaded => overloaded("this cache is busy with as much as it may do at once".to_owned()),
        Refusal::Late { registry } => {
            let message = format!("{registry}: the answer took too long to begin; try again");
            error_answer(StatusCode::GATEWAY_TIMEOUT, ErrorCode::Unavailable, Answered::Timeout, message)
        }
    }
}

fn error_answer(status: StatusCode, code: ErrorCode, outcome: Answered, message: String) -> ErrorAnswer {
    ErrorAnswer { status, code, message, outcome, extra: Extra::None }
}

fn head_fault(fault: HeadFault) -> ErrorAnswer {
    let code = if fault == HeadFault::Page { ErrorCode::Denied } else { ErrorCode::Unsupported };
    let (status, outcome, extra) = match fault {
        HeadFault::Method => (StatusCode::METHOD_NOT_ALLOWED, Answered::Unsupported, Extra::Allow),
        HeadFault::TargetTooLong => (StatusCode::URI_TOO_LONG, Answered::Malformed, Extra::Closes),
        HeadFault::Misdirected => (StatusCode::MISDIRECTED_REQUEST, Answered::Misdirected, Extra::None),
        HeadFault::Page => (StatusCode::FORBIDDEN, Answered::Browser, Extra::Closes),
        HeadFault::Body
        | HeadFault::HostMissing
        | HeadFault::HostRepeated
        | HeadFault::HostInvalid
        | HeadFault::TargetDisagrees => (StatusCode::BAD_REQUEST, Answered::Malformed, Extra::Closes),
    };
    ErrorAnswer { extra, ..error_answer(status, code, outcome, fault.to_string()) }
}

impl Failed {
    fn answer(&self) -> ErrorAnswer {
        let what = if self.target.is_empty() {
            self.registry.clone()
        } else {
            format!("{}/{}", self.registry, self.target)
        };
        match &self.error {
            PullError::NotFound { detail } => {
                let message = format!("{what}: {detail}; check the name, and that it exists there");
                let code = not_found_code(self.asked);
                error_answer(StatusCode::NOT_FOUND, code, Answered::NotFound, self.hinted(message))
            }
            PullError::Denied { detail } => self.denied(&what, detail),
            PullError::Unconfirmed { status, detail } => {
                self.with_hint(unconfirmed(&what, self.asked, *status, detail))
            }
            PullError::Throttled { retry_after, detail } => {
                self.with_hint(throttled(&what, *retry_after, detail))
            }
            PullError::UpstreamUnavailable { timed_out, detail } => {
                self.with_hint(unavailable(&what, *timed_out, detail))
            }
            PullError::DigestMismatch { detail } => {
                let message =
                    format!("{what}: {detail}; nothing of it was kept, and the next request asks afresh");
                error_answer(
                    StatusCode::BAD_GATEWAY,
                    ErrorCode::Unavailable,
                    Answered::DigestMismatch,
                    message,
                )
            }
            PullError::RangeNotSatisfiable { size } => {
                let (status, message) =
                    (StatusCode::RANGE_NOT_SATISFIABLE, format!("{what}: {}", self.error));
                let answer = error_answer(status, ErrorCode::RangeInvalid, Answered::Range, message);
                ErrorAnswer { extra: Extra::Size(*size), ..answer }
            }
            PullError::Overloaded => overloaded(format!(
                "{what}: wharf has as much under way for {} as it may, and no cached copy",
                self.registry
            )),
            PullError::Offline => {
                let message = format!(
                    "{what}: wharf has no cached copy, and is configured with `offline` not to ask the registry"
                );
                let answer =
                    error_answer(StatusCode::BAD_GATEWAY, ErrorCode::Unavailable, Answered::Offline, message);
                self.with_hint(answer)
            }
            PullError::Store { detail } => {
                let message = format!("{what}: this cache's own storage failed ({detail}); see wharf's log");
                error_answer(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, Answered::Store, message)
            }
        }
    }

    /// Clients that push ask first whether the image is there. Where a registry denies what it does not have, this
    /// is the only answer that they get to see.
    fn denied(&self, what: &str, detail: &str) -> ErrorAnswer {
        let registry = &self.registry;
        let advice = if self.has_login {
            format!("check the name, or give the account that wharf has for {registry} access to it")
        } else {
            format!(
                "wharf has no login for {registry}: if the image is private, add an account; if not, check the name"
            )
        };
        let message = self.hinted(format!("{what}: {detail}; {advice}")) + "; this cache is pull-only";
        let answer = error_answer(StatusCode::FORBIDDEN, ErrorCode::Denied, Answered::Denied, message);
        ErrorAnswer { extra: Extra::Warns, ..answer }
    }

    /// What the client perhaps meant instead, where it may be why the pull failed. Whatever the default registry says
    /// to a name that another registry was meant by, is about the wrong thing.
    fn hint(&self) -> Option<String> {
        let may_be_why = match &self.error {
            PullError::NotFound { .. }
            | PullError::Denied { .. }
            | PullError::Unconfirmed { .. }
            | PullError::Throttled { .. }
            | PullError::UpstreamUnavailable { .. }
            | PullError::Offline => true,
            PullError::Overloaded
            | PullError::DigestMismatch { .. }
            | PullError::RangeNotSatisfiable { .. }
            | PullError::Store { .. } => false,
        };
        self.hint.clone().filter(|_| may_be_why)
    }

    fn hinted(&self, message: String) -> String {
        match self.hint() {
            Some(hint) => format!("{message}; {hint}"),
            None => message,
        }
    }

    fn with_hint(&self, answer: ErrorAnswer) -> ErrorAnswer {
        ErrorAnswer { message: self.hinted(answer.message), ..answer }
    }
}

/// Passes the status on as it came, for a web server that only serves files may be a registry too. A token service
/// refuses with 400 as well.
fn unconfirmed(what: &str, asked: Asked, status: u16, detail: &str) -> ErrorAnswer {
    let (status, code) = match status {
        400 | 401 | 403 | 451 => (StatusCode::FORBIDDEN, ErrorCode::Denied),
        _ => (StatusCode::NOT_FOUND, not_found_code(asked)),
    };
    let message = format!(
        "{what}: {detail}, in an answer that shows no sign of a registry; check the name, and that the \
         upstream's address leads to a registry"
    );
    error_answer(status, code, Answered::Unconfirmed, message)
}

fn throttled(what: &str, retry_after: Option<Duration>, detail: &str) -> ErrorAnswer {
    let seconds = retry_after.map_or(1, |wait| wait.as_secs().clamp(1, RETRY_AFTER_SECONDS_MAX));
    let message = format!(
        "{what}: {detail}, and wharf has no cached copy; try again later, or give wharf an account there with a \
         higher limit"
    );
    let (status, code) = (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests);
    ErrorAnswer {
        extra: Extra::RetryAfter(seconds),
        ..error_answer(status, code, Answered::Throttled, message)
    }
}

fn overloaded(reason: String) -> ErrorAnswer {
    let (status, message) = (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}; try again in a second"));
    let answer = error_answer(status, ErrorCode::Unavailable, Answered::Overloaded, message);
    ErrorAnswer { extra: Extra::RetryAfter(OVERLOADED_RETRY_AFTER_SECONDS), ..answer }
}

fn unavailable(what: &str, timed_out: bool, detail: &str) -> ErrorAnswer {
    let (status, outcome) = if timed_out {
        (StatusCode::GATEWAY_TIMEOUT, Answered::Timeout)
    } else {
        (StatusCode::BAD_GATEWAY, Answered::Unavailable)
    };
    // What an upstream's error says to do stands behind a semicolon.
    let advice = if detail.contains("; ") { "" } else { "; try again when the registry answers" };
    let message = format!("{what}: wharf has no cached copy, and cannot fetch it: {detail}{advice}");
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
            Extra::Warns => answer.with(header::WARNING, warning(&message)),
        }
    }
}

/// A message as a warning. The code and the agent are the only ones that a registry may warn with
/// (distribution-spec, "Warnings"); what would end the quoted string is left out.
fn warning(message: &str) -> HeaderValue {
    let is_plain = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    let text: String = message.chars().filter(is_plain).take(WARNING_BYTES_MAX).collect();
    HeaderValue::from_str(&format!("299 - \"{text}\"")).expect("visible ASCII makes a header")
}

#[cfg(test)]
mod tests;
