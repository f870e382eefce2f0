//! `GET /api/registries`: lists the served registries.

use std::sync::Arc;

use axum::extract::State;
use cache::{AddressStatus, LoginState, LoginStatus};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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
            let logins: Vec<Value> = registry.logins().iter().map(login).collect();
            let addresses: Vec<Value> = registry.addresses().iter().map(address).collect();
            json!({
                "name": registry.name(),
                "state": state,
                "offline": is_offline,
                "addresses": addresses,
                "logins": logins,
            })
        })
        .collect();
    let document = json!({ "registries": registries });
    typed(StatusCode::OK, "application/json", document.to_string())
}

/// An address of the upstream and its health.
fn address(status: &AddressStatus) -> Value {
    json!({
        "url": status.url,
        "state": if status.is_resting { "resting" } else { "up" },
        "failure": status.failure.as_ref().map(ToString::to_string),
    })
}

/// A login: its source and its state, and nothing of the login itself.
fn login(status: &LoginStatus) -> Value {
    let state = match status.state {
        LoginState::Unused => "unused",
        LoginState::Held => "held",
        LoginState::None => "none",
        LoginState::Failing => "failing",
    };
    let expires_at = status.expires_at.and_then(|at| OffsetDateTime::from(at).format(&Rfc3339).ok());
    json!({
        "match": status.pattern,
        "source": status.source,
        "state": state,
        "expires_at": expires_at,
        "failure": status.failure.as_ref().map(ToString::to_string),
    })
}

/// The schema of the answer.
pub(super) fn schema() -> Value {
    let optional = || json!({ "type": ["string", "null"] });
    let login = object(&[
        ("match", optional()),
        ("source", json!({ "type": "string" })),
        ("state", json!({ "enum": ["unused", "held", "none", "failing"] })),
        ("expires_at", optional()),
        ("failure", optional()),
    ]);
    let address = object(&[
        ("url", json!({ "type": "string" })),
        ("state", json!({ "enum": ["up", "resting"] })),
        ("failure", optional()),
    ]);
    let registry = object(&[
        ("name", json!({ "type": "string" })),
        ("state", json!({ "enum": ["serving", "stopping"] })),
        ("offline", json!({ "type": "boolean" })),
        ("addresses", list(&address)),
        ("logins", list(&login)),
    ]);
    object(&[("registries", list(&registry))])
}
