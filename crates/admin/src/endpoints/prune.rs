//! `POST /api/prune`: removes what no image needs.

use std::sync::Arc;

use axum::extract::State;
use http::{Response, Uri};
use serde_json::{Value, json};
use storage::Held;

use super::failure::{Failure, answer};
use super::openapi::{list, object};
use super::selection::{keepers, optional};
use crate::parts::Parts;

pub(super) async fn prune(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    // A removal must end once it has begun, even if the client leaves.
    let removal = tokio::spawn(async move { prune_stores(&parts, &uri).await });
    answer(removal.await.expect("a removal does not panic"))
}

async fn prune_stores(parts: &Parts, uri: &Uri) -> Result<Value, Failure> {
    let is_dry_run = optional(uri, "dry_run")?.unwrap_or(false);
    let held = |held: Held| json!({ "bytes": held.bytes, "objects": held.count });
    let mut registries = Vec::new();
    for keeper in keepers(&parts.keepers, uri)? {
        let name = keeper.inventory().name();
        let pruned = keeper.prune(is_dry_run).await.map_err(|error| Failure::prune(name, &error))?;
        let all = [pruned.orphans, pruned.partial, pruned.quarantine, pruned.lists];
        registries.push(json!({
            "registry": name,
            "orphans": held(pruned.orphans),
            "partial": held(pruned.partial),
            "quarantine": held(pruned.quarantine),
            "lists": held(pruned.lists),
            "freed_bytes": all.iter().map(|held| held.bytes).sum::<u64>(),
            "failures": pruned.failure_count,
        }));
    }
    Ok(json!({ "dry_run": is_dry_run, "registries": registries }))
}

/// The schema of the answer.
pub(super) fn schema() -> Value {
    let number = || json!({ "type": "integer", "minimum": 0 });
    let held = || object(&[("bytes", number()), ("objects", number())]);
    let store = object(&[
        ("registry", json!({ "type": "string" })),
        ("orphans", held()),
        ("partial", held()),
        ("quarantine", held()),
        ("lists", held()),
        ("freed_bytes", number()),
        ("failures", number()),
    ]);
    object(&[("dry_run", json!({ "type": "boolean" })), ("registries", list(&store))])
}
