//! `PUT /api/pins` and `DELETE /api/pins`: pin an image, or take its pin back.

use std::sync::Arc;

use axum::extract::State;
use http::{Response, Uri};
use serde_json::{Value, json};

use super::failure::{Failure, answer};
use super::openapi::object;
use super::selection::Selection;
use crate::parts::Parts;

pub(super) async fn pin(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    answer(set_pinned(&parts, &uri, true).await)
}

pub(super) async fn unpin(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    answer(set_pinned(&parts, &uri, false).await)
}

async fn set_pinned(parts: &Parts, uri: &Uri, is_pinned: bool) -> Result<Value, Failure> {
    let selection = Selection::read(&parts.keepers, uri)?;
    // An image that is not held can be pinned by its digest.
    let digest = match selection.digest() {
        Some(digest) => digest.clone(),
        None => match selection.find() {
            Ok(found) => found.digest,
            Err(_) if selection.keeper.inventory().is_complete() => {
                return Err(Failure::unknown_tag(&selection.shown()));
            }
            Err(failure) => return Err(failure),
        },
    };
    let (keeper, repository) = (Arc::clone(&selection.keeper), selection.repository.clone());
    let pinned = digest.clone();
    // The note and the list in memory must change together, even if the client leaves.
    let change =
        tokio::spawn(async move { keeper.inventory().set_pinned(&repository, &pinned, is_pinned).await });
    let is_changed = change
        .await
        .expect("a change of pins does not panic")
        .map_err(|error| Failure::pin(&selection.shown(), &error))?;
    Ok(json!({
        "registry": selection.keeper.inventory().name(),
        "repository": selection.repository.as_str(),
        "digest": digest.to_string(),
        "pinned": is_pinned,
        "changed": is_changed,
        "held": selection.keeper.inventory().is_held(&selection.repository, &digest),
    }))
}

/// The schema of both answers.
pub(super) fn schema() -> Value {
    object(&[
        ("registry", json!({ "type": "string" })),
        ("repository", json!({ "type": "string" })),
        ("digest", json!({ "type": "string" })),
        ("pinned", json!({ "type": "boolean" })),
        ("changed", json!({ "type": "boolean", "description": "Whether it was not so before." })),
        ("held", json!({ "type": "boolean", "description": "Whether the store holds the image." })),
    ])
}
