//! `GET /api/registries`: lists the served registries.

use std::sync::Arc;

use axum::extract::State;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::openapi::{list, object};
use crate::parts::Parts;
use crate::text::typed;

pub(super) async fn registries(State(parts): State<Arc<Parts>>) -> Response<String> {
    let state = if parts.shutdown.is_cancelled() { "stopping" } else { "serving" };
    let snapshot = parts.control.snapshot();
    let registries: Vec<_> = snapshot
        .routes
        .registries()
        .iter()
        .map(|registry| {
            let is_offline = registry.offline().state().is_offline;
            json!({ "name": registry.name(), "state": state, "offline": is_offline })
        })
        .collect();
    let document = json!({ "registries": registries });
    typed(StatusCode::OK, "application/json", document.to_string())
}

/// The schema of the answer.
pub(super) fn schema() -> Value {
    let registry = object(&[
        ("name", json!({ "type": "string" })),
        ("state", json!({ "enum": ["serving", "stopping"] })),
        ("offline", json!({ "type": "boolean" })),
    ]);
    object(&[("registries", list(&registry))])
}
