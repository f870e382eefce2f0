//! `PUT /api/pins` and `DELETE /api/pins`: pin an image, or take its pin back. `GET /api/pins` lists the
//! pins, and `POST /api/pins` changes several.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use http::{Response, Uri};
use inventory::{Keeper, PinError};
use oci::{Digest, Repository};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::content;
use super::failure::{Failure, answer, long_answer};
use super::images::Room;
use super::openapi::{list as array, object};
use super::selection::{Choice, Selection, keepers};
use crate::image_work::IMAGE_COUNT_MAX;
use crate::parts::Parts;
use crate::places::{Place, Places};

/// The images to pin, and those whose pins are taken back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default)]
    pin: Vec<Named>,
    #[serde(default)]
    unpin: Vec<Named>,
}

/// An image.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// The changes in one store.
struct Change {
    keeper: Arc<Keeper>,
    pins: Vec<(Repository, Digest, bool)>,
}

/// A pin in the list.
#[derive(Serialize)]
struct Pin {
    registry: String,
    repository: String,
    digest: String,
    held: bool,
    tags: Vec<String>,
}

impl Pin {
    /// The bytes that it takes in the list, about.
    fn bytes(&self) -> usize {
        let tags: usize = self.tags.iter().map(|tag| tag.len() + 3).sum();
        PIN_BYTES + self.registry.len() + self.repository.len() + tags
    }
}

#[derive(Serialize)]
struct Pins {
    pins: Vec<Pin>,
    /// Whether the list is longer than its bound.
    truncated: bool,
}

/// The bytes of a pin in the list without its names, at the most.
const PIN_BYTES: usize = 260;

pub(super) async fn list(
    State(parts): State<Arc<Parts>>,
    Extension(places): Extension<Places>,
    uri: Uri,
) -> Response<String> {
    long_answer(list_of(&parts, &places, &uri).await)
}

async fn list_of(parts: &Parts, places: &Places, uri: &Uri) -> Result<(Pins, Place), Failure> {
    let keepers = keepers(&parts.keepers, uri)?;
    let choice = Choice::read(uri)?;
    let place = places.take().await.ok_or_else(Failure::busy)?;
    let (mut pins, mut room) = (Vec::new(), Room::new());
    for keeper in keepers {
        let inventory = keeper.inventory();
        let pinned = inventory.pinned_images();
        let not_known = if inventory.is_complete() { PinError::Damaged } else { PinError::NotReady };
        let pinned = pinned.ok_or_else(|| Failure::pins(inventory.name(), &not_known))?;
        for (repository, digest) in pinned {
            let found = inventory.find_digest(&repository, &digest);
            let held = found.is_some();
            let mut tags = found.map(|entry| entry.tags).unwrap_or_default();
            tags.sort_unstable();
            if !choice.has(inventory.name(), &repository, &digest, &tags) {
                continue;
            }
            let tags = tags.iter().map(ToString::to_string).collect();
            let (registry, repository) = (inventory.name().to_owned(), repository.to_string());
            let pin = Pin { registry, repository, digest: digest.to_string(), held, tags };
            if !room.take(pin.bytes()) {
                return Ok((Pins { pins, truncated: true }, place));
            }
            pins.push(pin);
        }
    }
    Ok((Pins { pins, truncated: false }, place))
}

fn document(keeper: &Keeper, repository: &Repository, digest: &Digest) -> Value {
    json!({
        "registry": keeper.inventory().name(),
        "repository": repository.as_str(),
        "digest": digest.to_string(),
    })
}

pub(super) async fn change(State(parts): State<Arc<Parts>>, content: Body) -> Response<String> {
    answer(change_all(&parts, content).await)
}

async fn change_all(parts: &Parts, content: Body) -> Result<Value, Failure> {
    let changes: Changes = content::read(content).await?;
    if changes.pin.len() + changes.unpin.len() > IMAGE_COUNT_MAX {
        let wrong = format!("at most {IMAGE_COUNT_MAX} images at a time");
        return Err(Failure::parameter("pin", wrong));
    }
    let by_store = by_store(parts, changes)?;
    let mut pins = Vec::new();
    for Change { keeper, pins: changes } in by_store {
        let store = Arc::clone(&keeper);
        let work = changes.clone();
        // The note and the list in memory must change together, even if the client leaves.
        let change = tokio::spawn(async move { store.inventory().change_pins(&work).await });
        let changed = change.await.expect("a change of pins does not panic");
        let changed = changed.map_err(|error| Failure::pins(keeper.inventory().name(), &error))?;
        for ((repository, digest, is_pinned), is_changed) in changes.iter().zip(changed) {
            let mut pin = document(&keeper, repository, digest);
            pin["pinned"] = (*is_pinned).into();
            pin["changed"] = is_changed.into();
            pin["held"] = keeper.inventory().is_held(repository, digest).into();
            pins.push(pin);
        }
    }
    Ok(json!({ "pins": pins }))
}

/// The changes in each store. Nothing is changed before all of them are known to be right.
fn by_store(parts: &Parts, changes: Changes) -> Result<Vec<Change>, Failure> {
    let mut by_store: Vec<Change> = Vec::new();
    let pins = changes.pin.into_iter().map(|named| (named, true));
    for (named, is_pinned) in pins.chain(changes.unpin.into_iter().map(|named| (named, false))) {
        let selection = Selection::of(
            &parts.keepers,
            &named.registry,
            (&named.repository, named.tag.as_deref(), named.digest.as_deref()),
        )?;
        let digest = digest_of(&selection, is_pinned)?;
        let pin = (selection.repository.clone(), digest, is_pinned);
        match by_store.iter_mut().find(|change| Arc::ptr_eq(&change.keeper, &selection.keeper)) {
            Some(change) => change.pins.push(pin),
            None => by_store.push(Change { keeper: selection.keeper, pins: vec![pin] }),
        }
    }
    Ok(by_store)
}

/// The digest of an image, which need not be held if it is named by its digest.
fn digest_of(selection: &Selection, is_pinned: bool) -> Result<Digest, Failure> {
    if let Some(digest) = selection.digest() {
        return Ok(digest.clone());
    }
    match selection.find() {
        Ok(found) => Ok(found.digest),
        Err(_) if selection.keeper.inventory().is_complete() => {
            Err(Failure::unknown_tag(&selection.shown(), is_pinned))
        }
        Err(failure) => Err(failure),
    }
}

pub(super) async fn pin(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    answer(set_pinned(&parts, &uri, true).await)
}

pub(super) async fn unpin(State(parts): State<Arc<Parts>>, uri: Uri) -> Response<String> {
    answer(set_pinned(&parts, &uri, false).await)
}

async fn set_pinned(parts: &Parts, uri: &Uri, is_pinned: bool) -> Result<Value, Failure> {
    let selection = Selection::read(&parts.keepers, uri)?;
    let digest = digest_of(&selection, is_pinned)?;
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

/// The schema of the list of pins.
pub(super) fn list_schema() -> Value {
    let text = || json!({ "type": "string" });
    let pin = object(&[
        ("registry", text()),
        ("repository", text()),
        ("digest", text()),
        ("held", json!({ "type": "boolean", "description": "Whether the store holds the image." })),
        ("tags", array(&text())),
    ]);
    let truncated = "Whether pins are missing because the list is too long.";
    object(&[("pins", array(&pin)), ("truncated", json!({ "type": "boolean", "description": truncated }))])
}

/// The schema of the changes.
pub(super) fn content_schema() -> Value {
    let text = || json!({ "type": "string" });
    let mut named =
        object(&[("registry", text()), ("repository", text()), ("tag", text()), ("digest", text())]);
    named["required"] = json!(["registry", "repository"]);
    let mut schema = object(&[("pin", array(&named)), ("unpin", array(&named))]);
    schema["required"] = json!([]);
    schema
}

/// The schema of the answer to the changes.
pub(super) fn changes_schema() -> Value {
    object(&[("pins", array(&schema()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_takes_no_more_than_its_bound_counts() {
        let pin = Pin {
            registry: "docker.io".to_owned(),
            repository: "library/app".to_owned(),
            digest: format!("sha512:{}", "a".repeat(128)),
            held: false,
            tags: vec!["latest".to_owned(), "3.20".to_owned()],
        };
        let text = serde_json::to_string(&pin).unwrap();
        assert!(text.len() <= pin.bytes(), "{} {}", text.len(), pin.bytes());
        assert!(Room::new().take(100_000 * pin.bytes()) && !Room::new().take(200_000 * pin.bytes()));
    }
}
