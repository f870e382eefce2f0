//! `GET /api/images`: lists the stored images.

mod document;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use futures_util::StreamExt;
use http::{Response, Uri};
use inventory::ImageEntry;
use serde::Serialize;
use serde_json::{Value, json};

use super::failure::{Failure, long_answer};
use super::openapi::{list as array, object};
use super::selection::{Choice, keepers};
use crate::parts::Parts;
use crate::places::{Place, Places};

pub(super) use document::{ImageDocument, image_properties, rfc_3339};

/// The bound on a list, in bytes, about. [`Places`] bounds how many there are at a time.
pub(super) const LIST_BYTES_MAX: usize = 32 << 20;

#[derive(Serialize)]
struct ListDocument {
    images: Vec<ImageDocument>,
    /// Whether the list is longer than the bound.
    truncated: bool,
    /// Whether all stored images are known.
    complete: bool,
}

pub(super) async fn list(
    State(parts): State<Arc<Parts>>,
    Extension(places): Extension<Places>,
    uri: Uri,
) -> Response<String> {
    long_answer(list_of(&parts, &places, &uri).await)
}

async fn list_of(parts: &Parts, places: &Places, uri: &Uri) -> Result<(ListDocument, Place), Failure> {
    let keepers = keepers(&parts.keepers, uri)?;
    let choice = Choice::read(uri)?;
    let place = places.take().await.ok_or_else(Failure::busy)?;
    let (mut images, mut room, mut is_truncated) = (Vec::new(), Room::new(), false);
    for keeper in &keepers {
        let (chosen, is_cut) = room.fill(choice.of(keeper));
        is_truncated |= is_cut;
        let inventory = keeper.inventory();
        let mut anatomies = std::pin::pin!(inventory.anatomies(chosen));
        while let Some((entry, anatomy)) = anatomies.next().await {
            let anatomy = match anatomy {
                Ok(Some(anatomy)) => Some(anatomy),
                // It went meanwhile.
                Ok(None) if inventory.find_digest(&entry.repository, &entry.digest).is_none() => continue,
                Ok(None) => None,
                Err(error) => {
                    tracing::warn!(registry = inventory.name(), %error, "an image cannot be read for a list");
                    None
                }
            };
            let document = ImageDocument::new(inventory.name(), entry, anatomy.as_ref());
            if !room.take(document.further_bytes()) {
                is_truncated = true;
                break;
            }
            images.push(document);
        }
    }
    images.sort_unstable_by(|one, other| one.key().cmp(&other.key()));
    let complete = keepers.iter().all(|keeper| keeper.inventory().is_complete());
    Ok((ListDocument { images, truncated: is_truncated, complete }, place))
}

/// The schema of the list.
pub(super) fn list_schema() -> Value {
    let truncated = "Whether images are missing because the list is too long.";
    let complete = "Whether wharf knows all stored images yet.";
    object(&[
        ("images", array(&object(&image_properties()))),
        ("truncated", json!({ "type": "boolean", "description": truncated })),
        ("complete", json!({ "type": "boolean", "description": complete })),
    ])
}

/// The bytes that a list may still take.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    pub(super) fn new() -> Self {
        Self(LIST_BYTES_MAX)
    }

    /// Takes some of it. Returns whether there were so many left.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }

    /// As many of the entries as there is room for, and whether there are more.
    pub(super) fn fill(&mut self, entries: impl Iterator<Item = ImageEntry>) -> (Vec<ImageEntry>, bool) {
        let mut taken = Vec::new();
        for entry in entries {
            if !self.take(document::bytes_of(&entry)) {
                return (taken, true);
            }
            taken.push(entry);
        }
        (taken, false)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use oci::{Algorithm, Digest};

    use super::*;

    #[test]
    fn a_list_has_a_bound() {
        let entry = |number: usize| ImageEntry {
            repository: "library/app".parse().unwrap(),
            digest: Digest::of(Algorithm::Sha256, &number.to_le_bytes()),
            tags: vec!["latest".parse().unwrap()],
            last_use: SystemTime::UNIX_EPOCH,
            is_pinned: false,
            is_part: false,
        };
        let mut room = Room::new();
        let (some, is_cut) = room.fill((0..10).map(entry));
        assert_eq!((some.len(), is_cut), (10, false));
        let (many, is_cut) = room.fill((0..1_000_000).map(entry));
        assert!(is_cut && many.len() < LIST_BYTES_MAX / 400, "{}", many.len());
        assert!(many.len() > 50_000, "{}", many.len());
    }
}
