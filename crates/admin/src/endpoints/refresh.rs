//! `POST /api/refresh`: asks the upstream now which manifest a tag names.

use std::sync::Arc;

use axum::extract::State;
use cache::{Backend, Refreshed};
use http::{Response, Uri};
use oci::Digest;
use serde_json::{Value, json};

use super::failure::{Failure, answer};
use super::openapi::object;
use super::selection::Selection;
use crate::parts::Parts;

pub(super) async fn refresh(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    answer(refresh_tag(&parts, &uri).await)
}

async fn refresh_tag(parts: &Parts, uri: &Uri) -> Result<Value, Failure> {
    let selection = Selection::read(&parts.keepers, uri)?;
    let shown = selection.shown();
    let tag = selection.tag().ok_or_else(|| Failure::digest_to_refresh(&shown))?;
    let (inventory, repository) = (selection.keeper.inventory(), &selection.repository);
    let unknown = || Failure::unknown_image(&shown, &format!("{}/{repository}", inventory.name()));
    let backend = backend(parts, inventory.name()).ok_or_else(unknown)?;
    let refreshed = backend.refresh(repository, tag).await;
    let refreshed = refreshed.map_err(|error| Failure::refresh(&shown, &error))?.ok_or_else(unknown)?;
    let (status, before, now) = match &refreshed {
        Refreshed::Unchanged { digest } => ("unchanged", digest, Some(digest)),
        Refreshed::Moved { from, to } => ("moved", from, Some(to)),
        Refreshed::Gone { was, is_kept: true } => ("gone_and_kept", was, None),
        Refreshed::Gone { was, is_kept: false } => ("gone", was, None),
    };
    if let Some(digest) = now.filter(|digest| !inventory.is_held(repository, digest)) {
        return Err(Failure::not_stored(&shown, digest));
    }
    Ok(json!({
        "registry": inventory.name(),
        "repository": repository.as_str(),
        "tag": tag.as_str(),
        "status": status,
        "old_digest": before.to_string(),
        "digest": now.map(Digest::to_string),
    }))
}

/// The schema of the answer.
pub(super) fn schema() -> Value {
    let text = || json!({ "type": "string" });
    object(&[
        ("registry", text()),
        ("repository", text()),
        ("tag", text()),
        ("status", json!({ "enum": ["unchanged", "moved", "gone", "gone_and_kept"] })),
        ("old_digest", text()),
        ("digest", json!({ "type": ["string", "null"] })),
    ])
}

/// The backend of a registry.
pub(super) fn backend(parts: &Parts, registry: &str) -> Option<Arc<Backend>> {
    let snapshot = parts.control.snapshot();
    let backends = snapshot.routes.registries().iter();
    backends.into_iter().find(|backend| backend.name() == registry).cloned()
}
