//! Liveness and readiness, on every host and every listener. On the public one they reveal no configuration.

use std::fmt::Write as _;

use cache::WriteTrouble;
use http::{Method, StatusCode, header, header::HeaderValue, request};
use telemetry::Answered;
use tokio_util::sync::CancellationToken;

use crate::respond::Answer;
use crate::snapshot::Snapshot;

/// The answer to `/livez`: the process is alive.
pub fn live() -> (StatusCode, &'static str) {
    (StatusCode::OK, "ok\n")
}

/// The answer to `/readyz`: whether the process accepts new requests. A store that cannot be written is named
/// and changes no status: its hits are still served, and an orchestrator would take them away.
pub fn ready(is_stopping: bool, snapshot: &Snapshot, names_stores: bool) -> (StatusCode, String) {
    if is_stopping {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    let troubled = troubled(snapshot);
    let mut text = "ok\n".to_owned();
    if troubled.is_empty() {
        return (StatusCode::OK, text);
    }
    // Writing to a string does not fail.
    if names_stores {
        for (name, trouble) in &troubled {
            let _ = writeln!(text, "the store of {name} cannot be written: {trouble}");
        }
    } else {
        let count = snapshot.routes.registries().len();
        let _ = writeln!(text, "{} of {count} stores cannot be written", troubled.len());
    }
    (StatusCode::OK, text)
}

/// The registries whose stores cannot be written, with the reason.
fn troubled(snapshot: &Snapshot) -> Vec<(&str, WriteTrouble)> {
    let registries = snapshot.routes.registries().iter();
    registries.filter_map(|it| Some((it.name(), it.store_health().trouble()?))).collect()
}

/// Returns the answer to a health check, and `None` for any other request.
pub(crate) fn answer(
    head: &request::Parts,
    shutdown: &CancellationToken,
    snapshot: &Snapshot,
) -> Option<Answer> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return None;
    }
    let (status, text) = match head.uri.path() {
        "/livez" => {
            let (status, text) = live();
            (status, text.to_owned())
        }
        "/readyz" => ready(shutdown.is_cancelled(), snapshot, false),
        _ => return None,
    };
    let text_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Some(Answer::whole(status, Answered::Health, text).with(header::CONTENT_TYPE, text_type))
}
