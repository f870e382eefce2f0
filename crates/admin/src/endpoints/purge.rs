//! `DELETE /api/images`: removes one image, or all that a pattern or their age names; with `dry_run` it says
//! what would come free.

mod document;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Extension;
use axum::extract::State;
use futures_util::StreamExt;
use http::{Response, Uri};
use inventory::{Anatomy, ImageEntry, Inventory, Keeper, PurgeError, Tally};
use oci::Tag;

use super::failure::{Failure, long_answer};
use super::images::Room;
use super::selection::{Choice, Selection, keepers, optional};
use crate::parts::Parts;
use crate::places::{Place, Places};
use document::PurgeDocument;
pub(super) use document::schema;

/// An image and its store.
struct Chosen {
    keeper: Arc<Keeper>,
    entry: ImageEntry,
    anatomy: Anatomy,
}

/// A tag of a part of an image, which is removed alone: the part stays with its image.
struct ChosenTag {
    keeper: Arc<Keeper>,
    part: ImageEntry,
    tag: Tag,
}

/// The images and tags that a request names.
#[derive(Default)]
struct Plan {
    images: Vec<Chosen>,
    tags: Vec<ChosenTag>,
    /// Whether there is more than one answer has.
    is_cut: bool,
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
        !choice.is_narrow() && (unused_for.is_none() || optional::<String>(uri, "repository")?.is_some());
    if !is_exact {
        for name in ["repository", "tag", "digest"] {
            if optional::<String>(uri, name)?.is_some() {
                let wrong = "names one image, and pattern, untagged and unused_for name several; give either";
                return Err(Failure::parameter(name, wrong));
            }
        }
    }
    let selected = if is_exact { Some(Selection::read(&parts.keepers, uri)?) } else { None };
    let place = places.take().await.ok_or_else(Failure::busy)?;
    let unused_for = unused_for.unwrap_or_default();
    let plan = match selected {
        Some(selection) => choose_one(&selection).await?,
        None => choose(parts, uri, &choice, unused_for).await?,
    };
    let mut document = PurgeDocument::new(is_dry_run, plan.is_cut);
    if is_dry_run {
        foretell(&mut document, plan, unused_for);
    } else {
        remove(&mut document, plan, unused_for).await;
    }
    Ok((document.finished(is_exact)?, place))
}

async fn choose_one(selection: &Selection) -> Result<Plan, Failure> {
    let (entry, keeper) = (selection.find()?, Arc::clone(&selection.keeper));
    let inventory = keeper.inventory();
    if entry.is_part {
        let Some(tag) = selection.tag().cloned() else {
            let part = PurgeError::Part(inventory.parents(&entry.repository, &entry.digest).await);
            return Err(Failure::purge(&selection.shown(), &part));
        };
        return Ok(Plan { tags: vec![ChosenTag { keeper, part: entry, tag }], ..Plan::default() });
    }
    let anatomy = inventory.anatomy(&entry.repository, &entry.digest).await;
    let anatomy = anatomy.map_err(|error| Failure::store(&error))?;
    let anatomy = anatomy.ok_or_else(|| Failure::purge(&selection.shown(), &PurgeError::NotHeld))?;
    Ok(Plan { images: vec![Chosen { keeper, entry, anatomy }], ..Plan::default() })
}

async fn choose(parts: &Parts, uri: &Uri, choice: &Choice, unused_for: Duration) -> Result<Plan, Failure> {
    let (mut plan, mut room) = (Plan::default(), Room::new());
    for keeper in keepers(&parts.keepers, uri)? {
        let inventory = keeper.inventory();
        if !inventory.is_complete() {
            return Err(Failure::not_ready());
        }
        let used_before = SystemTime::now().checked_sub(unused_for).unwrap_or(SystemTime::UNIX_EPOCH);
        let is_old = |used: SystemTime| unused_for.is_zero() || used <= used_before;
        let (entries, is_cut) = room.fill(choice.of(&keeper).filter(|entry| is_old(entry.last_use)));
        plan.is_cut |= is_cut;
        let (named_parts, images): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.is_part);
        for part in named_parts {
            let tags = choice.tags_by_name(inventory.name(), &part);
            let chosen = |tag: Tag| ChosenTag { keeper: Arc::clone(&keeper), part: part.clone(), tag };
            plan.tags.extend(tags.into_iter().map(chosen));
        }
        let mut anatomies = std::pin::pin!(inventory.anatomies(images));
        while let Some((entry, anatomy)) = anatomies.next().await {
            let anatomy = anatomy.map_err(|error| Failure::store(&error))?;
            let anatomy = anatomy.filter(|anatomy| is_old(anatomy.standing.last_use));
            // A part of it may have a tag.
            let anatomy = anatomy.filter(|it| !choice.is_untagged() || it.standing.tags.is_empty());
            let keeper = Arc::clone(&keeper);
            plan.images.extend(anatomy.map(|anatomy| Chosen {
                keeper,
                entry,
                anatomy: anatomy.without_parts(),
            }));
        }
    }
    Ok(plan)
}

/// Removes what was chosen. A tag of a part whose image goes too is gone by then.
async fn remove(document: &mut PurgeDocument, plan: Plan, unused_for: Duration) {
    for Chosen { keeper, entry, anatomy } in plan.images {
        let purged = keeper.purge(&entry.repository, &entry.digest, unused_for).await;
        let purged = purged.map(|purged| (purged.freed.bytes, purged.tags));
        document.add(keeper.inventory(), entry, &anatomy, purged);
    }
    for ChosenTag { keeper, part, tag } in plan.tags {
        let purged = keeper.purge_tag(&part.repository, &tag, &part.digest).await;
        document.add_tag(keeper.inventory(), part, &tag, purged);
    }
    document.sum_up();
}

/// Adds what would become of what was chosen, and sums up the bytes of each store.
fn foretell(document: &mut PurgeDocument, plan: Plan, unused_for: Duration) {
    let mut tallies: Vec<(Arc<Keeper>, Tally)> = Vec::new();
    for Chosen { keeper, entry, anatomy } in plan.images {
        let inventory = keeper.inventory();
        let foretold = foretold(inventory, &entry, &anatomy, unused_for);
        if foretold.is_ok() {
            if !tallies.last().is_some_and(|(last, _)| Arc::ptr_eq(last, &keeper)) {
                tallies.push((Arc::clone(&keeper), Tally::default()));
            }
            let (_, tally) = tallies.last_mut().expect("it was just added");
            tally.add(&anatomy);
        }
        document.add(inventory, entry, &anatomy, foretold);
    }
    for ChosenTag { keeper, part, tag } in plan.tags {
        let inventory = keeper.inventory();
        let pins = || inventory.pins_of(&part.repository, &part.digest, vec![part.digest.clone()]);
        let foretold = if part.is_pinned { Err(PurgeError::Pinned(pins())) } else { Ok(()) };
        document.add_tag(inventory, part, &tag, foretold);
    }
    document.freed_bytes = tallies.iter().map(|(keeper, tally)| tally.freed_bytes(keeper.inventory())).sum();
}

/// The bytes that come free and the tags that go, or the reason why the image stays.
fn foretold(
    inventory: &Inventory,
    entry: &ImageEntry,
    anatomy: &Anatomy,
    unused_for: Duration,
) -> Result<(u64, Vec<Tag>), PurgeError> {
    let standing = &anatomy.standing;
    let unused = SystemTime::now().duration_since(standing.last_use).unwrap_or_default();
    if !standing.pins.is_empty() {
        return Err(PurgeError::Pinned(inventory.pins_of(
            &entry.repository,
            &entry.digest,
            standing.pins.clone(),
        )));
    }
    if standing.is_busy {
        return Err(PurgeError::Busy);
    }
    if unused < unused_for {
        return Err(PurgeError::Used);
    }
    Ok((anatomy.own_bytes, standing.tags.clone()))
}
