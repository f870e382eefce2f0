//! `GET /api/registries`: lists the served registries.

use std::sync::Arc;

use axum::extract::State;
use http::{Response, StatusCode};

use crate::parts::Parts;
use crate::text::typed;

pub(super) async fn list(State(parts): State<Arc<Parts>>) -> Response<String> {
    let state = if parts.shutdown.is_cancelled() { "stopping" } else { "serving" };
    let snapshot = parts.control.snapshot();
    let registries: Vec<_> = snapshot
        .routes
        .registries()
        .iter()
        .map(|registry| serde_json::json!({ "name": registry.name(), "state": state }))
        .collect();
    let document = serde_json::json!({ "registries": registries });
    typed(StatusCode::OK, "application/json", document.to_string())
}
