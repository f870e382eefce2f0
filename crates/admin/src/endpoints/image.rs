//! `GET /api/image`: everything that is known of one image.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use http::{Response, Uri};
use inventory::{Anatomy, Role};
use oci::{Digest, Tag};
use serde::Serialize;
use serde_json::{Value, json};

use super::failure::{Failure, long_answer};
use super::images::{ImageDocument, image_properties, rfc_3339};
use super::openapi::{list, object};
use super::refresh::backend;
use super::selection::Selection;
use crate::parts::Parts;
use crate::places::{Place, Places};

#[derive(Serialize)]
struct ShowDocument {
    #[serde(flatten)]
    image: ImageDocument,
    media_type: String,
    artifact_type: Option<String>,
    /// The held indexes that name it: each by a tag, or by its digest.
    part_of: Vec<String>,
    /// The bytes that come free if the image goes.
    own_bytes: u64,
    /// The time of each tag's last confirmation by the upstream.
    tag_checks: Vec<TagCheck>,
    manifests: Vec<ManifestDocument>,
    blobs: Vec<BlobDocument>,
    referrers: ReferrersDocument,
    /// The annotation of the place where the image's source is.
    source: Option<String>,
}

#[derive(Serialize)]
struct TagCheck {
    tag: String,
    checked_at: Option<String>,
}

#[derive(Serialize)]
struct ManifestDocument {
    digest: String,
    platform: Option<String>,
    held: bool,
    bytes: Option<u64>,
    shared: bool,
}

#[derive(Serialize)]
struct BlobDocument {
    digest: String,
    role: &'static str,
    media_type: Option<String>,
    held: bool,
    /// Its size, or the one that the manifest claims if it is not held.
    bytes: Option<u64>,
    shared: bool,
}

/// Held manifests that are attached to the image.
#[derive(Serialize)]
struct ReferrersDocument {
    digests: Vec<String>,
    /// Tags of the referrers tag schema and of signing tools.
    tags: Vec<String>,
    truncated: bool,
}

pub(super) async fn show(
    State(parts): State<Arc<Parts>>,
    Extension(places): Extension<Places>,
    uri: Uri,
) -> Response<String> {
    long_answer(show_image(&parts, &places, &uri).await)
}

async fn show_image(parts: &Parts, places: &Places, uri: &Uri) -> Result<(ShowDocument, Place), Failure> {
    let selection = Selection::read(&parts.keepers, uri)?;
    let found = selection.find()?;
    let place = places.take().await.ok_or_else(Failure::busy)?;
    let (inventory, repository) = (selection.keeper.inventory(), &selection.repository);
    let digest = &found.digest;
    let failed = |error| Failure::store(&error);
    let anatomy = inventory.anatomy(repository, digest).await.map_err(failed)?;
    let gone = || Failure::unknown_image(&selection.shown(), &format!("{}/{repository}", inventory.name()));
    let anatomy = anatomy.ok_or_else(gone)?;
    let attached = inventory.held_referrers(repository, digest).await.map_err(failed)?;
    let referrers = ReferrersDocument {
        digests: attached.digests.iter().map(Digest::to_string).collect(),
        tags: inventory.referrers_tags(repository, digest).iter().map(Tag::to_string).collect(),
        truncated: attached.is_cut,
    };
    let backend = backend(parts, inventory.name());
    let mut tag_checks = Vec::new();
    for tag in &found.tags {
        let checked_at = match &backend {
            Some(backend) => backend.tag_checked_at(repository, tag).await,
            None => None,
        };
        tag_checks.push(TagCheck { tag: tag.to_string(), checked_at: checked_at.and_then(rfc_3339) });
    }
    tag_checks.sort_unstable_by(|one, other| one.tag.cmp(&other.tag));
    let part_of = if found.is_part { inventory.parents(repository, digest).await.0 } else { Vec::new() };
    let document = ShowDocument {
        image: ImageDocument::new(inventory.name(), found, Some(&anatomy)),
        media_type: anatomy.media_type.to_string(),
        part_of,
        own_bytes: anatomy.own_bytes,
        tag_checks,
        manifests: manifests(&anatomy),
        blobs: blobs(&anatomy),
        referrers,
        artifact_type: anatomy.artifact_type,
        source: anatomy.source,
    };
    Ok((document, place))
}

fn manifests(anatomy: &Anatomy) -> Vec<ManifestDocument> {
    let document = |part: &inventory::ManifestPart| ManifestDocument {
        digest: part.digest.to_string(),
        platform: part.platform.clone(),
        held: part.bytes.is_some(),
        bytes: part.bytes,
        shared: part.is_shared,
    };
    anatomy.manifests.iter().map(document).collect()
}

fn blobs(anatomy: &Anatomy) -> Vec<BlobDocument> {
    let document = |part: &inventory::BlobPart| BlobDocument {
        digest: part.digest.to_string(),
        role: match part.role {
            Role::Config => "config",
            Role::Layer => "layer",
        },
        media_type: part.media_type.clone(),
        held: part.bytes.is_some(),
        bytes: part.bytes.or(part.claimed_bytes),
        shared: part.is_shared,
    };
    anatomy.blobs.iter().map(document).collect()
}

/// The schema of the answer.
pub(super) fn schema() -> Value {
    let (text, flag) = (|| json!({ "type": "string" }), || json!({ "type": "boolean" }));
    let may_be_text = || json!({ "type": ["string", "null"] });
    let size = || json!({ "type": ["integer", "null"], "minimum": 0 });
    let held = || vec![("digest", text()), ("held", flag()), ("bytes", size()), ("shared", flag())];
    let manifest = object(&[held(), vec![("platform", may_be_text())]].concat());
    let blob = object(&[held(), vec![("role", text()), ("media_type", may_be_text())]].concat());
    let check = object(&[("tag", text()), ("checked_at", may_be_text())]);
    let referrers = object(&[("digests", list(&text())), ("tags", list(&text())), ("truncated", flag())]);
    let own = vec![
        ("media_type", text()),
        ("artifact_type", may_be_text()),
        ("part_of", list(&text())),
        ("own_bytes", json!({ "type": "integer", "minimum": 0 })),
        ("tag_checks", list(&check)),
        ("manifests", list(&manifest)),
        ("blobs", list(&blob)),
        ("referrers", referrers),
        ("source", may_be_text()),
    ];
    object(&[image_properties(), own].concat())
}
