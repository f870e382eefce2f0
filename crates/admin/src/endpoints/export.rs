//! `GET /api/export` and `POST /api/export` send images as an archive.
//!
//! The choice of images is in the query, or in the content if that has one: a JSON object with `images`, a
//! list of names and patterns, or `all`. `since` lists the digests of blobs that are left out.

use std::collections::HashSet;
use std::sync::Arc;

use archive::{Selector, export};
use axum::body::Body;
use axum::extract::State;
use http::{Response, Uri};
use oci::Digest;
use serde::Deserialize;
use serde_json::{Value, json};
use server::SideContent;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::content;
use super::failure::Failure;
use super::openapi::object;
use super::selection::optional;
use crate::image_work::IMAGE_COUNT_MAX;
use crate::parts::Parts;
use crate::streamed::{ARCHIVE_TYPE, Streamed};

/// Pieces of an archive that wait, of about 1 MiB.
const WAITING_COUNT_MAX: usize = 4;

/// The images of an export and the blobs that are left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Choice {
    images: Vec<String>,
    all: bool,
    since: HashSet<String>,
}

pub(super) async fn by_query(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    let choice = || {
        let images = optional::<String>(&uri, "images")?;
        let images = images.iter().flat_map(|images| images.split(',')).map(str::to_owned).collect();
        let all = optional::<bool>(&uri, "all")?.unwrap_or(false);
        Ok(Choice { images, all, since: HashSet::new() })
    };
    choice().and_then(|choice| begin(&parts, &choice)).unwrap_or_else(Failure::answer)
}

pub(super) async fn by_content(State(parts): State<Arc<Parts>>, content: Body) -> Response<String> {
    let choice = content::read(content).await;
    choice.and_then(|choice| begin(&parts, &choice)).unwrap_or_else(Failure::answer)
}

fn begin(parts: &Parts, choice: &Choice) -> Result<Response<String>, Failure> {
    let selectors = match (choice.all, choice.images.len()) {
        (true, 0) => vec![Selector::all()],
        (true, _) => return Err(Failure::parameter("all", "give images or all, not both")),
        (false, 0) => return Err(Failure::parameter("images", "give images, or all=true")),
        (false, 1..=IMAGE_COUNT_MAX) => {
            let parse = |text: &String| text.parse().map_err(|error| Failure::parameter("images", error));
            choice.images.iter().map(parse).collect::<Result<_, _>>()?
        }
        (false, _) => return Err(Failure::parameter("images", format!("name at most {IMAGE_COUNT_MAX}"))),
    };
    let digest = |text: &String| text.parse().map_err(|error| Failure::parameter("since", error));
    let since: HashSet<Digest> = choice.since.iter().map(digest).collect::<Result<_, _>>()?;
    let Some(turn) = parts.archives.begin_export() else { return Err(Failure::busy()) };
    let targets = parts.archives.all();
    if targets.iter().any(|target| !target.inventory.is_complete()) {
        return Err(Failure::not_ready());
    }
    let (sender, receiver) = mpsc::channel(WAITING_COUNT_MAX);
    // It ends when the client leaves.
    tokio::spawn(async move {
        let _turn = turn;
        match export(&targets, &selectors, since, sender).await {
            Ok(report) => info!(images = report.images, bytes = report.bytes, "images were exported"),
            Err(error) => warn!(%error, "an export broke off"),
        }
    });
    Ok(Streamed::answer(ARCHIVE_TYPE, SideContent::Breakable(receiver)))
}

/// The schema of the content.
pub(super) fn schema() -> Value {
    let texts = |description: &str| json!({ "type": "array", "items": { "type": "string" }, "description": description });
    let mut schema = object(&[
        ("images", texts("Names of images or patterns: `alpine:3.20`, `ghcr.io/org/*`.")),
        ("all", json!({ "type": "boolean", "description": "Whether to export all images." })),
        ("since", texts("Digests of blobs that are left out.")),
    ]);
    schema["required"] = json!([]);
    schema
}
