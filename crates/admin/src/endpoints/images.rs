//! `GET /api/images` lists the stored images, `DELETE /api/images` removes one.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use http::{Response, Uri};
use inventory::ImageEntry;
use policy::eviction::ImagePattern;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::failure::{Failure, answer};
use super::openapi::{list as array, object};
use super::selection::{Selection, images, keepers, optional};
use crate::parts::Parts;

/// The bound on a list, in bytes, about.
const LIST_BYTES_MAX: usize = 32 << 20;

/// The bytes of an image in a list without its names, at the most.
const ENTRY_BYTES: usize = 320;

pub(super) async fn list(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    answer(list_of(&parts, &uri))
}

fn list_of(parts: &Parts, uri: &Uri) -> Result<Value, Failure> {
    let keepers = keepers(&parts.keepers, uri)?;
    let pattern: Option<ImagePattern> = optional(uri, "pattern")?;
    let is_named = |entry: &ImageEntry| {
        let tags = entry.tags.iter().map(|tag| tag.as_str());
        pattern.as_ref().is_none_or(|pattern| pattern.names(entry.repository.as_str(), tags))
    };
    let (mut listed, mut left, mut is_truncated) = (Vec::new(), LIST_BYTES_MAX, false);
    'stores: for keeper in &keepers {
        let registry = keeper.inventory().name();
        for mut entry in images(keeper).filter(is_named) {
            let names: usize = entry.tags.iter().map(|tag| tag.as_str().len() + 3).sum();
            let bytes = ENTRY_BYTES + registry.len() + entry.repository.as_str().len() + names;
            if bytes > left {
                is_truncated = true;
                break 'stores;
            }
            left -= bytes;
            entry.tags.sort_by(|one, other| one.as_str().cmp(other.as_str()));
            listed.push((registry, entry));
        }
    }
    let key = |(registry, entry): &(&str, ImageEntry)| {
        let tag = entry.tags.first().map(ToString::to_string);
        (registry.to_string(), entry.repository.to_string(), tag, entry.digest.to_string())
    };
    listed.sort_by_cached_key(key);
    let listed: Vec<Value> = listed.iter().map(|(registry, entry)| document(registry, entry)).collect();
    let is_complete = keepers.iter().all(|keeper| keeper.inventory().is_complete());
    Ok(json!({ "images": listed, "truncated": is_truncated, "complete": is_complete }))
}

fn document(registry: &str, entry: &ImageEntry) -> Value {
    json!({
        "registry": registry,
        "repository": entry.repository.as_str(),
        "digest": entry.digest.to_string(),
        "tags": entry.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(),
        "last_use": rfc_3339(entry.last_use),
        "pinned": entry.is_pinned,
    })
}

/// The time in UTC, to the second.
pub(super) fn rfc_3339(time: SystemTime) -> Option<String> {
    let time = OffsetDateTime::from(time).replace_nanosecond(0).ok()?;
    time.format(&Rfc3339).ok()
}

pub(super) async fn purge(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    answer(purge_one(&parts, &uri).await)
}

async fn purge_one(parts: &Parts, uri: &Uri) -> Result<Value, Failure> {
    let is_dry_run = optional(uri, "dry_run")?.unwrap_or(false);
    let selection = Selection::read(&parts.keepers, uri)?;
    let entry = selection.find()?;
    if entry.is_pinned {
        return Err(Failure::pinned(&selection.shown()));
    }
    let image = document(selection.keeper.inventory().name(), &entry);
    if is_dry_run {
        return Ok(json!({ "dry_run": true, "image": image }));
    }
    let keeper = Arc::clone(&selection.keeper);
    // A removal must end once it has begun, even if the client leaves.
    let removal = tokio::spawn(async move { keeper.purge(&entry.repository, &entry.digest).await });
    let freed = removal.await.expect("a removal does not panic").map_err(|error| Failure::purge(&error))?;
    Ok(json!({ "dry_run": false, "image": image, "freed_bytes": freed.bytes }))
}

fn image_schema() -> Value {
    object(&[
        ("registry", json!({ "type": "string" })),
        ("repository", json!({ "type": "string" })),
        ("digest", json!({ "type": "string" })),
        ("tags", json!({ "type": "array", "items": { "type": "string" } })),
        ("last_use", json!({ "type": ["string", "null"], "format": "date-time" })),
        ("pinned", json!({ "type": "boolean" })),
    ])
}

/// The schema of the list.
pub(super) fn list_schema() -> Value {
    let truncated = "Whether images are missing because the list is too long.";
    let complete = "Whether wharf knows all stored images yet.";
    object(&[
        ("images", array(&image_schema())),
        ("truncated", json!({ "type": "boolean", "description": truncated })),
        ("complete", json!({ "type": "boolean", "description": complete })),
    ])
}

/// The schema of the answer to a removal.
pub(super) fn purge_schema() -> Value {
    let freed = json!({ "type": "integer", "minimum": 0, "description": "Missing after a dry run." });
    let mut schema = object(&[
        ("dry_run", json!({ "type": "boolean" })),
        ("image", image_schema()),
        ("freed_bytes", freed),
    ]);
    schema["required"] = json!(["dry_run", "image"]);
    schema
}
