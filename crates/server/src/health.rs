//! Liveness and readiness, on every host and every listener. They reveal no configuration.

use http::{Method, StatusCode, header, header::HeaderValue, request};
use telemetry::Answered;
use tokio_util::sync::CancellationToken;

use crate::respond::Answer;

/// The answer to `/livez`: the process is alive.
pub fn live() -> (StatusCode, &'static str) {
    (StatusCode::OK, "ok\n")
}

/// The answer to `/readyz`: whether the process accepts new requests.
pub fn ready(is_stopping: bool) -> (StatusCode, &'static str) {
    if is_stopping { (StatusCode::SERVICE_UNAVAILABLE, "stopping\n") } else { (StatusCode::OK, "ok\n") }
}

/// Returns the answer to a health check, and `None` for any other request.
pub(crate) fn answer(head: &request::Parts, shutdown: &CancellationToken) -> Option<Answer> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return None;
    }
    let (status, text) = match head.uri.path() {
        "/livez" => live(),
        "/readyz" => ready(shutdown.is_cancelled()),
        _ => return None,
    };
    let text_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Some(Answer::whole(status, Answered::Health, text).with(header::CONTENT_TYPE, text_type))
}
