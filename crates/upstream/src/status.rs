//! Turns the status of an answer into a result.

use http::Method;
use http::header::HeaderMap;
use policy::retry::RETRY_AFTER_DEFAULT;
use tokio::time::Instant;

use crate::auth::{self, Credential};
use crate::error::{Error, ErrorKind};
use crate::negative_answer;
use crate::operation::{Operation, Reply};
use crate::registry::Registry;
use crate::response_headers::retry_after;

/// Turns the status of an answer into a result. A refusal by a redirect target means that the signed URL
/// expired. The caller checks the body, because it knows the digest.
///
/// # Errors
/// [`Error`]; [`ErrorKind::NotFound`] and [`ErrorKind::Denied`] only if the registry itself answered.
pub(crate) async fn check(
    registry: &Registry,
    operation: &Operation,
    reply: Reply,
    credential: &Credential,
    deadline: Instant,
) -> Result<Reply, Error> {
    let status = reply.response.status().as_u16();
    if reply.is_home && !registry.is_aside {
        note_rate_limit(registry, reply.response.headers());
    }
    let answered = |kind| Error::new(kind, &reply.host, format!("answered {status}")).with_status(status);
    let documents = &registry.transport.memory.documents;
    match status {
        200 => Ok(reply),
        206 if operation.may_be_partial() => Ok(reply),
        404 | 410 => {
            let absence = answered(ErrorKind::NotFound);
            Err(negative_answer::verify(absence, reply.response, &operation.method, deadline, documents)
                .await)
        }
        401 | 403 | 451 if reply.is_registry => {
            let refusal = auth::refusal(&reply.host, reply.has_login, credential, status);
            Err(negative_answer::verify(refusal, reply.response, &operation.method, deadline, documents)
                .await)
        }
        429 => Err(throttled(registry, operation, &reply)),
        416 => Err(answered(ErrorKind::Invalid).with_range_refused()),
        503 => Err(unavailable(registry, operation, &reply)),
        408 | 500 | 502.. => Err(answered(ErrorKind::Unreachable)),
        // Amazon ECR answers an ended login so.
        400 if reply.is_registry && credential.carries_login() => {
            Err(answered(ErrorKind::Invalid).after_login())
        }
        401 | 403 if operation.method == Method::GET => Err(answered(ErrorKind::Unreachable)),
        _ => Err(answered(ErrorKind::Invalid)),
    }
}

fn throttled(registry: &Registry, operation: &Operation, reply: &Reply) -> Error {
    registry.transport.metrics.throttled();
    let pause = retry_after(reply.response.headers()).unwrap_or(RETRY_AFTER_DEFAULT);
    if !operation.is_of_part() {
        registry.gates.throttle(&reply.host, &operation.target, pause);
    }
    Error::new(ErrorKind::Throttled, &reply.host, "answered 429").with_status(429).with_retry_after(pause)
}

/// A 503 with `Retry-After` asks for a pause; one without is an outage.
fn unavailable(registry: &Registry, operation: &Operation, reply: &Reply) -> Error {
    let error = Error::new(ErrorKind::Unreachable, &reply.host, "answered 503").with_status(503);
    match retry_after(reply.response.headers()) {
        Some(pause) if !pause.is_zero() => {
            if !operation.is_of_part() {
                registry.gates.pause_target(&reply.host, &operation.target, pause);
            }
            error.with_retry_after(pause).without_retry()
        }
        _ => error,
    }
}

/// Docker Hub's `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 76;w=21600`.
fn note_rate_limit(registry: &Registry, headers: &HeaderMap) {
    let number = |name| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(';').next()?.trim().parse().ok()
    };
    if let (Some(limit), Some(remaining)) = (number("ratelimit-limit"), number("ratelimit-remaining")) {
        registry.transport.metrics.rate_limit(limit, remaining);
    }
}
