//! `GET`, `PUT` and `DELETE /api/offline`: which registries are offline, and the switch.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::State;
use cache::Backend;
use http::{Response, Uri};
use policy::offline::{Source, Switch};
use serde_json::{Value, json};

use super::failure::{Failure, answer};
use super::openapi::{list, object};
use super::selection::{optional, required};
use crate::parts::Parts;

/// The value of `state`.
#[derive(Clone, Copy, Debug)]
struct Order(Switch);

/// The text is neither `on` nor `off`.
#[derive(Debug)]
struct NoOrder;

pub(super) async fn show(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    answer(selected(&parts, &uri).map(|(backends, _)| document(&backends)))
}

pub(super) async fn set(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    let order: Result<Order, Failure> = required(&uri, "state");
    answer(match order {
        Ok(Order(switch)) => change(parts, &uri, Some(switch)).await,
        Err(failure) => Err(failure),
    })
}

pub(super) async fn unset(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    answer(change(parts, &uri, None).await)
}

async fn change(parts: Arc<Parts>, uri: &Uri, order: Option<Switch>) -> Result<Value, Failure> {
    let (backends, is_all) = selected(&parts, uri)?;
    // The switch and its note must change together, even if the client leaves.
    let change = tokio::spawn(async move {
        if is_all {
            let failed = parts.offline.set(order).await.into_iter().next();
            return (failed.map(|failed| (failed.registry.to_string(), failed.error)), backends);
        }
        let backend = &backends[0];
        let failed = backend.offline().set(order).await.err();
        (failed.map(|error| (backend.name().to_owned(), error)), backends)
    });
    let (failed, backends) = change.await.expect("a change of switches does not panic");
    match failed {
        Some((registry, error)) => Err(Failure::not_noted(&registry, &error, order == Some(Switch::On))),
        None => Ok(document(&backends)),
    }
}

/// The registry that the query names, or all of them by name; and whether it names none.
fn selected(parts: &Parts, uri: &Uri) -> Result<(Vec<Arc<Backend>>, bool), Failure> {
    let mut backends: Vec<_> = parts.control.snapshot().routes.registries().iter().map(Arc::clone).collect();
    let name: Option<String> = optional(uri, "registry")?;
    if let Some(name) = &name {
        let served: Vec<String> = backends.iter().map(|backend| backend.name().to_owned()).collect();
        backends.retain(|backend| backend.name() == name);
        if backends.is_empty() {
            return Err(Failure::unknown_registry(name, &served));
        }
    }
    backends.sort_by(|one, other| one.name().cmp(other.name()));
    Ok((backends, name.is_none()))
}

fn document(backends: &[Arc<Backend>]) -> Value {
    let states: Vec<Value> = backends
        .iter()
        .map(|backend| {
            let state = backend.offline().state();
            let source = match state.source {
                Source::Registry => "switch",
                Source::All => "switch_for_all",
                Source::Configuration => "configuration",
            };
            json!({ "registry": backend.name(), "offline": state.is_offline, "source": source })
        })
        .collect();
    json!({ "registries": states })
}

/// The schema of every answer.
pub(super) fn schema() -> Value {
    let registry = object(&[
        ("registry", json!({ "type": "string" })),
        ("offline", json!({ "type": "boolean" })),
        ("source", json!({ "enum": ["switch", "switch_for_all", "configuration"] })),
    ]);
    object(&[("registries", list(&registry))])
}

impl FromStr for Order {
    type Err = NoOrder;

    fn from_str(text: &str) -> Result<Self, NoOrder> {
        match text {
            "on" => Ok(Self(Switch::On)),
            "off" => Ok(Self(Switch::Off)),
            _ => Err(NoOrder),
        }
    }
}

impl fmt::Display for NoOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write on or off; DELETE takes the switch back")
    }
}
