//! Refusals, and the one place where they become answers (distribution-spec, "Error Codes").
//!
//! The status is chosen by its effect on clients: after a 404, 403 or 502 they try the real registry at once,
//! while a 503 or a long `Retry-After` delays some of them. The message is often the last thing a person
//! sees, so it says whose fault it is and what to do.

use std::time::Duration;

use cache::{PullError, Rights};
use http::StatusCode;
use http::header::{self, HeaderValue};
use oci::{ErrorCode, RequestError};
use policy::access::{Reason, Refused};
use telemetry::{AccessRefused, Answered};

use super::{Answer, json};
use crate::quote::quoted;
use crate::request_id::RequestId;
use crate::site::HeadFault;

/// The longest `Retry-After` sent, in seconds. Clients that obey it wait up to five times, while a request
/// here is cheap.
const RETRY_AFTER_SECONDS_MAX: u64 = 5;

/// `Retry-After` when wharf is overloaded, in seconds. Permits come free as soon as other answers end, and
/// one second is the shortest value.
const OVERLOADED_RETRY_AFTER_SECONDS: u64 = 1;

/// The longest text of a warning, in bytes. All warnings of an answer together may have 4,096.
const WARNING_BYTES_MAX: usize = 1024;

/// Asks for a login. Every client that pulls images knows Basic, and the realm is the same on every host.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"wharf\"");

/// The kind of object that a failed pull requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullKind {
    Manifest,
    Referrers,
    Blob,
    Tags,
    Catalog,
}

/// A failed pull and its context.
#[derive(Debug)]
pub(crate) struct FailedPull {
    pub(crate) registry: String,
    /// The requested object, such as `library/alpine:3.20`; empty if the request named no repository.
    pub(crate) target: String,
    pub(crate) kind: PullKind,
    /// Whether wharf has a login for the registry.
    pub(crate) has_login: bool,
    /// The rights that decided.
    pub(crate) rights: Rights,
    /// Suggests the registry that the client may have meant.
    pub(crate) hint: Option<String>,
    pub(crate) error: PullError,
}

/// The reason for which a request is not served.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The head is malformed, or the request is of a kind that is not served.
    Head(HeadFault),
    /// The request names no configured registry.
    Unrouted(ErrorAnswer),
    /// The path or the query does not belong to the API.
    Request { registry: String, path: String, error: RequestError },
    /// The backend failed.
    Pull(Box<FailedPull>),
    /// wharf's own rules do not let the client in.
    Access(AccessRefusal),
    /// The limit of connections or of answers is reached.
    Overloaded,
    /// The backend's answer did not begin in time.
    Late { registry: String },
}

impl From<HeadFault> for Refusal {
    fn from(fault: HeadFault) -> Self {
        Self::Head(fault)
    }
}

/// The refusal of a client by wharf's own rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessRefusal {
    /// The target of the request, such as `quay.io` or `quay.io/team/app`; empty for wharf as a whole.
    pub(crate) target: String,
    pub(crate) why: NoAccess,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAccess {
    /// A login is needed.
    NoLogin,
    /// The login is wrong.
    WrongLogin,
    /// A rule refuses the client whatever its login.
    Rule(Refused),
    /// Too many logins from its address failed.
    Paced(Duration),
    /// Too many passwords wait to be checked.
    Busy(Duration),
}

/// A refusal as an HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    pub(crate) status: StatusCode,
    pub(crate) code: ErrorCode,
    /// One line for people.
    pub(crate) message: String,
    /// The outcome in metrics and log.
    pub(crate) outcome: Answered,
    pub(crate) extra: Extra,
}

/// Headers of an error answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    None,
    /// `Retry-After`, in seconds.
    RetryAfter(u64),
    /// `Content-Range: bytes */size`.
    Size(u64),
    /// The connection ends, because the bytes that follow must not be read as a request.
    Closes,
    /// As `Closes`, and `Allow` names the methods.
    Allow,
    /// `WWW-Authenticate` asks for a login (RFC 7617).
    Challenges,
    /// `Warning` repeats the message: many clients send HEAD first, whose answer has no body.
    Warns,
}

impl Refusal {
    /// Returns the reason for the log: the error with its causes, and the operator's advice. The log line
    /// already names the image and the outcome. `message` is the client's text, which is logged if there is
    /// no other. `None` if the outcome says all.
    pub(crate) fn reason(&self, message: &str) -> Option<String> {
        let Self::Pull(failed) = self else { return Some(message.to_owned()) };
        let detail = match &failed.error {
            PullError::Offline => None,
            error => Some(match error.detail() {
                Some(detail) => telemetry::with_causes(detail, error),
                None => telemetry::error_chain(error),
            }),
        };
        let parts: Vec<String> = detail.into_iter().chain(failed.hint()).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Returns the answer to a refused request.
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
                format!("{registry}: {error}: {}", quoted(path)),
            )
        }
        Refusal::Pull(failed) => failed.answer(),
        Refusal::Access(refusal) => refusal.answer(),
        Refusal::Overloaded => overloaded("this cache is busy: its limit is reached".to_owned()),
        Refusal::Late { registry } => {
            let message = format!("{registry}: the answer did not begin in time; try again");
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
        | HeadFault::Content
        | HeadFault::HostMissing
        | HeadFault::HostRepeated
        | HeadFault::HostInvalid
        | HeadFault::TargetDisagrees => (StatusCode::BAD_REQUEST, Answered::Malformed, Extra::Closes),
    };
    ErrorAnswer { extra, ..error_answer(status, code, outcome, fault.to_string()) }
}

impl FailedPull {
    fn answer(&self) -> ErrorAnswer {
        let what = if self.target.is_empty() {
            self.registry.clone()
        } else {
            format!("{}/{}", self.registry, self.target)
        };
        match &self.error {
            PullError::NotFound { detail } => {
                let message = format!("{what}: {detail}; check the name, and that it exists there");
                let code = not_found_code(self.kind);
                error_answer(StatusCode::NOT_FOUND, code, Answered::NotFound, self.hinted(message))
            }
            PullError::Denied { detail } | PullError::NotPublic { detail }
                if self.rights != Rights::Shared =>
            {
                self.not_for_client(&what, detail)
            }
            PullError::Denied { detail } => self.denied(&what, detail),
            PullError::NotPublic { detail } => self.not_public(&what, detail),
            PullError::Unconfirmed { status, detail } => {
                self.with_hint(unconfirmed(&what, self.kind, *status, detail))
            }
            PullError::Throttled { retry_after, detail } => {
                self.with_hint(throttled(&what, *retry_after, detail))
            }
            PullError::UpstreamUnavailable { timed_out, detail } => {
                self.with_hint(unavailable(&what, *timed_out, detail))
            }
            PullError::DigestMismatch { detail, .. } => {
                let message =
                    format!("{what}: {detail}; nothing was stored, and the next request fetches again");
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
                "{what}: wharf has no cached copy, and too many requests for {} are under way",
                self.registry
            )),
            PullError::Offline => {
                let message = format!(
                    "{what}: wharf has no cached copy, and it is offline for this registry, so it sends no requests; \
                     `wharf offline` says why"
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

    /// Clients that push check first whether the image exists. If the registry denies what it does not have,
    /// a push sees only this answer, so it mentions that the cache is pull-only.
    fn denied(&self, what: &str, detail: &str) -> ErrorAnswer {
        let registry = &self.registry;
        let advice = if self.has_login {
            format!("check the name, or give the account that wharf has for {registry} access to it")
        } else {
            format!(
                "wharf has no login for {registry}: for a private image, add an account; else check the name"
            )
        };
        let message = self.hinted(format!("{what}: {detail}; {advice}")) + "; this cache is pull-only";
        let answer = error_answer(StatusCode::FORBIDDEN, ErrorCode::Denied, Answered::Denied, message);
        ErrorAnswer { extra: Extra::Warns, ..answer }
    }

    /// The client's own login decides, so another one may help.
    fn not_for_client(&self, what: &str, detail: &str) -> ErrorAnswer {
        let registry = &self.registry;
        if self.rights == Rights::NoLogin {
            let message = format!(
                "{what}: {detail}; log in to this cache with your own login for {registry}, such as with \
                 `docker login`"
            );
            let (status, code) = (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized);
            let answer = error_answer(status, code, Answered::Unauthorized, self.hinted(message));
            return ErrorAnswer { extra: Extra::Challenges, ..answer };
        }
        let message =
            format!("{what}: {detail}; your login for {registry} is wrong, or gives no access to it");
        let (status, code) = (StatusCode::FORBIDDEN, ErrorCode::Denied);
        let answer = error_answer(status, code, Answered::Denied, self.hinted(message));
        ErrorAnswer { extra: Extra::Warns, ..answer }
    }

    /// wharf's account may be able to read it. One sentence names the switch.
    fn not_public(&self, what: &str, detail: &str) -> ErrorAnswer {
        let message = format!(
            "{what}: {detail}; wharf gives its clients only what {} gives to everyone, unless its configuration \
             says `serve_private = true` or names in [access] who may pull",
            self.registry
        );
        let answer = error_answer(
            StatusCode::FORBIDDEN,
            ErrorCode::Denied,
            Answered::Denied,
            self.hinted(message) + "; this cache is pull-only",
        );
        ErrorAnswer { extra: Extra::Warns, ..answer }
    }

    /// The suggestion, if it may explain the failure: the default registry was asked for a name that may have
    /// meant another registry.
    fn hint(&self) -> Option<String> {
        let may_be_why = match &self.error {
            PullError::NotFound { .. }
            | PullError::Denied { .. }
            | PullError::NotPublic { .. }
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

/// Keeps the kind of the status, because a static web server may be a registry too. Token services also
/// refuse with 400.
fn unconfirmed(what: &str, kind: PullKind, status: u16, detail: &str) -> ErrorAnswer {
    let (status, code) = match status {
        400 | 401 | 403 | 451 => (StatusCode::FORBIDDEN, ErrorCode::Denied),
        _ => (StatusCode::NOT_FOUND, not_found_code(kind)),
    };
    let message = format!(
        "{what}: {detail}, in an answer that shows no sign of a registry; check the name and the upstream's \
         address"
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
    // An upstream's error puts its own advice after a semicolon.
    let advice = if detail.contains("; ") { "" } else { "; try again when the registry answers" };
    let message = format!("{what}: wharf has no cached copy and cannot fetch one: {detail}{advice}");
    error_answer(status, ErrorCode::Unavailable, outcome, message)
}

fn not_found_code(kind: PullKind) -> ErrorCode {
    match kind {
        PullKind::Blob => ErrorCode::BlobUnknown,
        // After NAME_UNKNOWN from the referrers API some clients do not try the referrers tag.
        PullKind::Manifest | PullKind::Referrers => ErrorCode::ManifestUnknown,
        PullKind::Tags | PullKind::Catalog => ErrorCode::NameUnknown,
    }
}

impl AccessRefusal {
    fn answer(&self) -> ErrorAnswer {
        let whole = "this cache".to_owned();
        let target = if self.target.is_empty() { whole } else { quoted(&self.target) };
        let challenge = |what: &str| {
            let message =
                format!("{target} needs a login{what}; log in to this cache, such as with `docker login`");
            let (status, code) = (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized);
            ErrorAnswer {
                extra: Extra::Challenges,
                ..error_answer(status, code, Answered::Unauthorized, message)
            }
        };
        match &self.why {
            NoAccess::NoLogin => challenge(""),
            NoAccess::WrongLogin => challenge(", and the one that was sent is wrong"),
            NoAccess::Rule(refused) => {
                let message = format!(
                    "{target} may not be read by this client: {}, in wharf's configuration",
                    refused.rule
                );
                error_answer(StatusCode::FORBIDDEN, ErrorCode::Denied, Answered::Forbidden, message)
            }
            NoAccess::Paced(wait) => {
                let message = "too many logins from this address failed; try again in a moment".to_owned();
                let (status, code) = (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests);
                let answer = error_answer(status, code, Answered::Paced, message);
                ErrorAnswer { extra: Extra::RetryAfter(whole_seconds(*wait)), ..answer }
            }
            NoAccess::Busy(wait) => {
                let answer = overloaded("too many logins wait to be checked".to_owned());
                ErrorAnswer { extra: Extra::RetryAfter(whole_seconds(*wait)), ..answer }
            }
        }
    }

    /// The reason in the metrics.
    pub(crate) fn label(&self) -> AccessRefused {
        match &self.why {
            NoAccess::NoLogin => AccessRefused::NoLogin,
            NoAccess::WrongLogin => AccessRefused::WrongLogin,
            NoAccess::Rule(Refused { reason, .. }) => match reason {
                Reason::Address => AccessRefused::Address,
                Reason::Certificate => AccessRefused::Certificate,
                Reason::NotAllowed => AccessRefused::NotAllowed,
                Reason::Denied => AccessRefused::Denied,
            },
            NoAccess::Paced(_) => AccessRefused::Paced,
            NoAccess::Busy(_) => AccessRefused::Busy,
        }
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs_f64().ceil().clamp(1.0, RETRY_AFTER_SECONDS_MAX as f64) as u64
}

impl ErrorAnswer {
    /// Builds the answer. Its body shows the request's id, so that the log line can be found.
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
            Extra::Challenges => answer.with(header::WWW_AUTHENTICATE, CHALLENGE),
            Extra::Warns => answer.with(header::WARNING, warning(&message)),
        }
    }
}

/// A message as a `Warning`, with the code and agent that registries must use (distribution-spec,
/// "Warnings"). Characters that would end the quoted string are left out.
fn warning(message: &str) -> HeaderValue {
    let is_plain = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    let text: String = message.chars().filter(is_plain).take(WARNING_BYTES_MAX).collect();
    HeaderValue::from_str(&format!("299 - \"{text}\"")).expect("visible ASCII makes a header")
}

#[cfg(test)]
mod tests;
