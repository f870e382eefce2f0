//! `GET /api/stats`: what each registry's store holds.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use http::{Response, Uri};
use inventory::Inventory;
use serde_json::{Value, json};
use storage::Held;

use super::failure::answer;
use super::images::rfc_3339;
use super::openapi::{list, object};
use super::selection::keepers;
use crate::parts::Parts;

pub(super) async fn stats(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    let stores = keepers(&parts.keepers, &uri).map(|keepers| {
        let stores: Vec<Value> = keepers.iter().map(|keeper| stats_of(keeper.inventory())).collect();
        json!({ "registries": stores })
    });
    answer(stores)
}

fn stats_of(inventory: &Inventory) -> Value {
    let usage = inventory.usage();
    let held = |held: Held| json!({ "bytes": held.bytes, "objects": held.count });
    let oldest = inventory.oldest_use().and_then(|age| SystemTime::now().checked_sub(age));
    json!({
        "registry": inventory.name(),
        "manifests": held(usage.manifests),
        "blobs": held(usage.blobs),
        "partial": held(usage.partial),
        "quarantine": held(usage.quarantine),
        "counting": usage.is_counting || !inventory.is_complete(),
        "cap_bytes": inventory.cap(),
        "oldest_use": oldest.and_then(rfc_3339),
    })
}

/// The schema of the answer.
pub(super) fn schema() -> Value {
    let number = || json!({ "type": "integer", "minimum": 0 });
    let held = || object(&[("bytes", number()), ("objects", number())]);
    let store = object(&[
        ("registry", json!({ "type": "string" })),
        ("manifests", held()),
        ("blobs", held()),
        ("partial", held()),
        ("quarantine", held()),
        (
            "counting",
            json!({ "type": "boolean", "description": "Whether the figures may still be too small." }),
        ),
        ("cap_bytes", json!({ "type": ["integer", "null"], "minimum": 0 })),
        ("oldest_use", json!({ "type": ["string", "null"], "format": "date-time" })),
    ]);
    object(&[("registries", list(&store))])
}
