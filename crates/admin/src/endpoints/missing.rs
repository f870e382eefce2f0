//! `POST /api/import/missing`: which blobs of a list a registry's store lacks, before an import sends them.

use std::sync::Arc;
use std::time::Duration;

use archive::Targets as _;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use http::{Response, Uri};
use oci::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::{Failure, answer};
use super::openapi::{list, object};
use super::selection::required;
use crate::guard::CONTENT_BYTES_MAX;
use crate::parts::Parts;

/// The longest time in which the content must come.
const CONTENT_WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Blobs {
    digests: Vec<String>,
}

pub(super) async fn missing(State(parts): State<Arc<Parts>>, uri: Uri, content: Body) -> Response<String> {
    answer(find(&parts, &uri, content).await)
}

async fn find(parts: &Parts, uri: &Uri, content: Body) -> Result<Value, Failure> {
    let name = required::<String>(uri, "registry")?;
    let bytes_max = usize::try_from(CONTENT_BYTES_MAX).unwrap_or(usize::MAX);
    let bytes = tokio::time::timeout(CONTENT_WAIT_MAX, to_bytes(content, bytes_max)).await;
    let Some(bytes) = bytes.ok().and_then(Result::ok) else {
        return Err(Failure::parameter("content", "it did not come"));
    };
    let blobs: Blobs =
        serde_json::from_slice(&bytes).map_err(|error| Failure::parameter("content", error))?;
    let digest = |text: &String| text.parse().map_err(|error| Failure::parameter("digests", error));
    let digests: Vec<Digest> = blobs.digests.iter().map(digest).collect::<Result<_, _>>()?;
    let Ok(Some(target)) = parts.archives.find(&name).await else {
        let served: Vec<String> = parts.archives.all().iter().map(|target| target.name.clone()).collect();
        return Err(Failure::unknown_registry(&name, &served));
    };
    let sizes = target.inventory.store().sizes(&digests).await;
    let sizes = sizes.map_err(|error| Failure::import(&error.into()))?;
    let missing = digests.iter().zip(sizes).filter(|(_, size)| size.is_none());
    let missing: Vec<String> = missing.map(|(digest, _)| digest.to_string()).collect();
    Ok(json!({ "registry": target.name, "missing": missing }))
}

/// The schema of the content.
pub(super) fn content_schema() -> Value {
    object(&[("digests", list(&json!({ "type": "string" })))])
}

/// The schema of the answer.
pub(super) fn schema() -> Value {
    let text = json!({ "type": "string" });
    object(&[("registry", text.clone()), ("missing", list(&text))])
}
