//! `DELETE /api/images`: removes one image, or all that a pattern or their age names; with `dry_run` it says
//! what would come free.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Extension;
use axum::extract::State;
use futures_util::StreamExt;
use http::{Response, Uri};
use inventory::{Anatomy, ImageEntry, Keeper, PurgeError, Tally};
use serde::Serialize;
use serde_json::{Value, json};

use super::failure::{Failure, long_answer};
use super::images::{ImageDocument, Room, image_properties};
use super::openapi::{list as array, object};
use super::selection::{Choice, Selection, keepers, optional};
use crate::parts::Parts;
use crate::places::{Place, Places};

/// The removed objects, or those that a dry run names.
#[derive(Serialize)]
struct PurgeDocument {
    dry_run: bool,
    /// The image that the request names, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ImageDocument>,
    images: Vec<PurgedImage>,
    /// The bytes that come free: layers that several of the images share count once, and not at all if an
    /// image that stays needs them.
    freed_bytes: u64,
    /// The images that stay.
    kept: Vec<KeptImage>,
    /// Whether there are more images than one answer has.
    truncated: bool,
}

#[derive(Serialize)]
struct PurgedImage {
    #[serde(flatten)]
    image: ImageDocument,
    /// In a dry run: the bytes that come free if only this image goes.
    freed_bytes: u64,
}

#[derive(Serialize)]
struct KeptImage {
    #[serde(flatten)]
    image: ImageDocument,
    code: &'static str,
    message: String,
}

/// An image and its store.
struct Chosen {
    keeper: Arc<Keeper>,
    entry: ImageEntry,
    anatomy: Anatomy,
}

pub(super) async fn purge(
    State(parts): State<Arc<Parts>>,
    Extension(places): Extension<Places>,
    uri: Uri,
) -> Response<String> {
    // A removal must end once it has begun, even if the client leaves.
    let removal = tokio::spawn(async move { purge_all(&parts, &places, &uri).await });
    long_answer(removal.await.expect("a removal does not panic"))
}

async fn purge_all(parts: &Parts, places: &Places, uri: &Uri) -> Result<(PurgeDocument, Place), Failure> {
    let is_dry_run = optional(uri, "dry_run")?.unwrap_or(false);
    let unused_for = optional(uri, "unused_for")?.map(Duration::from_secs);
    let choice = Choice::read(uri)?;
    let is_exact =
        !choice.has_pattern() && (unused_for.is_none() || optional::<String>(uri, "repository")?.is_some());
    if !is_exact {
        for name in ["repository", "tag", "digest"] {
            if optional::<String>(uri, name)?.is_some() {
                let wrong = "names one image, and pattern and unused_for name several; give either";
                return Err(Failure::parameter(name, wrong));
            }
        }
    }
    let selected = if is_exact { Some(Selection::read(&parts.keepers, uri)?) } else { None };
    let place = places.take().await.ok_or_else(Failure::busy)?;
    let unused_for = unused_for.unwrap_or_default();
    let (mut document, chosen) = match selected {
        Some(selection) => (PurgeDocument::new(is_dry_run), vec![choose_one(&selection).await?]),
        None => choose(parts, uri, &choice, unused_for, is_dry_run).await?,
    };
    if !is_dry_run {
        for Chosen { keeper, entry, anatomy } in chosen {
            let purged = keeper.purge(&entry.repository, &entry.digest, unused_for).await;
            let image = ImageDocument::new(keeper.inventory().name(), entry, Some(&anatomy));
            document.add(image, purged.map(|freed| freed.bytes));
        }
        document.freed_bytes = document.images.iter().map(|image| image.freed_bytes).sum();
    } else {
        document.plan(chosen, unused_for);
    }
    if is_exact && let Some(kept) = document.kept.pop() {
        return Err(Failure::kept(kept.code, kept.message));
    }
    if is_exact {
        document.image = document.images.first().map(|purged| purged.image.clone());
    }
    document.images.sort_unstable_by(|one, other| one.image.key().cmp(&other.image.key()));
    document.kept.sort_unstable_by(|one, other| one.image.key().cmp(&other.image.key()));
    Ok((document, place))
}

async fn choose_one(selection: &Selection) -> Result<Chosen, Failure> {
    let (found, keeper) = (selection.find()?, Arc::clone(&selection.keeper));
    if found.is_part {
        return Err(Failure::purge(&selection.shown(), &PurgeError::Part));
    }
    let (repository, digest) = (&found.entry.repository, &found.entry.digest);
    let anatomy = keeper.inventory().anatomy(repository, digest).await;
    let anatomy = anatomy.map_err(|error| Failure::store(&error))?;
    let anatomy = anatomy.ok_or_else(|| Failure::purge(&selection.shown(), &PurgeError::NotHeld))?;
    Ok(Chosen { keeper, entry: found.entry, anatomy })
}

async fn choose(
    parts: &Parts,
    uri: &Uri,
    choice: &Choice,
    unused_for: Duration,
    is_dry_run: bool,
) -> Result<(PurgeDocument, Vec<Chosen>), Failure> {
    let (mut document, mut chosen, mut room) = (PurgeDocument::new(is_dry_run), Vec::new(), Room::new());
    for keeper in keepers(&parts.keepers, uri)? {
        let inventory = keeper.inventory();
        if !inventory.is_complete() {
            return Err(Failure::not_ready());
        }
        let used_before = SystemTime::now().checked_sub(unused_for).unwrap_or(SystemTime::UNIX_EPOCH);
        let is_old = |used: SystemTime| unused_for.is_zero() || used <= used_before;
        let (entries, is_cut) = room.fill(choice.of(&keeper).filter(|entry| is_old(entry.last_use)));
        document.truncated |= is_cut;
        let mut anatomies = std::pin::pin!(inventory.anatomies(entries));
        while let Some((entry, anatomy)) = anatomies.next().await {
            let anatomy = anatomy.map_err(|error| Failure::store(&error))?;
            let anatomy = anatomy.filter(|anatomy| is_old(anatomy.standing.last_use));
            let keeper = Arc::clone(&keeper);
            chosen.extend(anatomy.map(|anatomy| Chosen { keeper, entry, anatomy: anatomy.without_parts() }));
        }
    }
    Ok((document, chosen))
}

impl PurgeDocument {
    fn new(dry_run: bool) -> Self {
        Self { dry_run, image: None, images: Vec::new(), freed_bytes: 0, kept: Vec::new(), truncated: false }
    }

    /// Adds what would become of the images, and sums up the bytes of each store.
    fn plan(&mut self, chosen: Vec<Chosen>, unused_for: Duration) {
        let mut tallies: Vec<(Arc<Keeper>, Tally)> = Vec::new();
        for Chosen { keeper, entry, anatomy } in chosen {
            let unused = SystemTime::now().duration_since(anatomy.standing.last_use).unwrap_or_default();
            let planned = match anatomy.standing {
                standing if standing.is_pinned => Err(PurgeError::Pinned),
                standing if standing.is_busy => Err(PurgeError::Busy),
                _ if unused < unused_for => Err(PurgeError::Used),
                _ => Ok(anatomy.own_bytes),
            };
            if planned.is_ok() {
                if !tallies.last().is_some_and(|(last, _)| Arc::ptr_eq(last, &keeper)) {
                    tallies.push((Arc::clone(&keeper), Tally::default()));
                }
                let (_, tally) = tallies.last_mut().expect("it was just added");
                tally.add(&anatomy);
            }
            self.add(ImageDocument::new(keeper.inventory().name(), entry, Some(&anatomy)), planned);
        }
        self.freed_bytes = tallies.iter().map(|(keeper, tally)| tally.freed_bytes(keeper.inventory())).sum();
    }

    fn add(&mut self, image: ImageDocument, purged: Result<u64, PurgeError>) {
        match purged {
            Ok(freed_bytes) => self.images.push(PurgedImage { image, freed_bytes }),
            Err(error) => {
                let failure = Failure::purge(&image.shown(), &error);
                let (code, message) = (failure.code(), failure.message().to_owned());
                self.kept.push(KeptImage { image, code, message });
            }
        }
    }
}

/// The schema of the answer.
pub(super) fn schema() -> Value {
    let bytes = |description: &str| json!({ "type": "integer", "minimum": 0, "description": description });
    let image = |more: &[(&'static str, Value)]| object(&[image_properties(), more.to_vec()].concat());
    let purged = image(&[("freed_bytes", bytes("In a dry run: if only this image goes."))]);
    let text = || json!({ "type": "string" });
    let kept = image(&[("code", text()), ("message", text())]);
    let mut schema = object(&[
        ("dry_run", json!({ "type": "boolean" })),
        ("image", image(&[])),
        ("images", array(&purged)),
        ("freed_bytes", bytes("Of all of them together: a layer that several of them share counts once.")),
        ("kept", array(&kept)),
        ("truncated", json!({ "type": "boolean" })),
    ]);
    schema["required"] = json!(["dry_run", "images", "freed_bytes", "kept", "truncated"]);
    schema
}
