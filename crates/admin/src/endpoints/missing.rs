//! `POST /api/import/missing`: which blobs of a list a registry's store lacks, before an import sends them.

use std::sync::Arc;

use archive::Targets as _;
use axum::body::Body;
use axum::extract::State;
use http::{Response, Uri};
use oci::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::content;
use super::failure::{Failure, answer};
use super::openapi::{list, object};
use super::selection::required;
use crate::parts::Parts;

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
    let blobs: Blobs = content::read(content).await?;
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
