//! Liveness and readiness, on any host and on both listeners. They say nothing about what is served.

use http::{Method, StatusCode, header, header::HeaderValue, request};
use telemetry::Answered;
use tokio_util::sync::CancellationToken;

use crate::respond::Answer;

/// The answer to `/livez` (the process answers) and `/readyz` (and takes on new work); none for any other
/// request.
pub(crate) fn answer(head: &request::Parts, shutdown: &CancellationToken) -> Option<Answer> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return None;
    }
    let (status, text) = match head.uri.path() {
        "/livez" => (StatusCode::OK, "ok\n"),
        "/readyz" if shutdown.is_cancelled() => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        "/readyz" => (StatusCode::OK, "ok\n"),
        _ => return None,
    };
    let text_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Some(Answer::whole(status, Answered::Health, text).with(header::CONTENT_TYPE, text_type))
}
