//! `GET /api/registries`: which registries are served here.

use http::StatusCode;
use http::header::{self, HeaderValue};
use telemetry::Answered;

use super::Admin;
use crate::respond::Answer;

pub(super) fn answer(admin: &Admin) -> Answer {
    let state = if admin.shutdown.is_cancelled() { "stopping" } else { "serving" };
    let snapshot = admin.current.peek();
    let registries: Vec<_> = snapshot
        .routes
        .registries()
        .iter()
        .map(|registry| serde_json::json!({ "name": registry.name(), "state": state }))
        .collect();
    let document = serde_json::json!({ "registries": registries });
    Answer::whole(StatusCode::OK, Answered::Admin, document.to_string())
        .with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
}
