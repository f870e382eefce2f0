//! The walk over a store, which learns all that it holds while it is in use.
//!
//! Manifests come first, then blobs and lists, so that the walk recognises a blob that no manifest names and
//! a list whose repository has no image. Contents that are stored meanwhile are reported; the model remembers
//! removals until the walk is over.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{Repository, Tag};
use policy::elapsed::Course;
use storage::StoreError;
use tracing::{info, warn};

use crate::clock::Seconds;
use crate::failure::Failure;
use crate::inventory::Inventory;
use crate::notes::pins::{NAMES, PinList};
use crate::notes::uses::{self, Uses};

/// Records that are asked for at a time.
const PAGE_COUNT: usize = 256;

/// Repositories that are walked at the same time: a walk waits for the disk, and for its turn on it.
const WALK_COUNT: usize = 8;

/// Walks the store. What an earlier walk that failed has found is not read again.
///
/// # Errors
/// The first failure of the store: as long as one manifest is not known, its blobs may look unused.
pub(crate) async fn walk(inventory: &Inventory) -> Result<(), Failure> {
    read_pins(inventory).await?;
    let uses = read_uses(inventory).await;
    let mut after: Option<Repository> = None;
    loop {
        let name = after.as_ref().map(Repository::as_str);
        let page = inventory.store().repositories(name, PAGE_COUNT).await?;
        after = page.last().filter(|_| page.len() >= PAGE_COUNT).cloned();
        let walk = |repository| walk_repository(inventory, repository, uses.as_ref());
        stream::iter(page).map(Ok).try_for_each_concurrent(WALK_COUNT, walk).await?;
        if after.is_none() {
            break;
        }
    }
    let mut entries = inventory.store().entries();
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        let noted = uses.as_ref().and_then(|uses| uses.of_blob(&entry.digest));
        // Any program that reads the files, such as a backup, would renew them by their time of reading.
        let used = used(inventory, noted, entry.modified_at);
        inventory.model.find_blob(&entry.digest, used);
    }
    walk_lists(inventory).await?;
    inventory.model.walk_ended();
    inventory.set_complete();
    let (registry, manifests) = (inventory.name(), inventory.manifest_count());
    info!(registry, manifests, "all stored images are known");
    Ok(())
}

/// The last use: as noted, or else as the file tells.
fn used(inventory: &Inventory, noted: Option<Duration>, modified: SystemTime) -> Seconds {
    noted.map_or_else(|| inventory.clock().of_file(modified), |age| inventory.clock().before_note(age))
}

async fn walk_repository(
    inventory: &Inventory,
    repository: Repository,
    uses: Option<&Uses>,
) -> Result<(), Failure> {
    walk_manifests(inventory, &repository, uses).await?;
    Ok(walk_tags(inventory, &repository).await?)
}

async fn walk_manifests(
    inventory: &Inventory,
    repository: &Repository,
    uses: Option<&Uses>,
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = inventory.store().manifests(repository, after.as_ref(), PAGE_COUNT).await?;
        for entry in &page {
            if inventory.is_held(repository, &entry.digest) {
                continue;
            }
            // Nothing removes the manifest between the reading and the counting.
            let _storing = inventory.storing().await;
            let Some(contents) = inventory.contents(repository, &entry.digest).await? else { continue };
            let noted = uses.and_then(|uses| uses.of_manifest(repository, &entry.digest));
            let used = used(inventory, noted, entry.stored_at);
            let is_pinned = inventory.is_pinned(repository, &entry.digest);
            inventory.model.store_manifest(repository, &entry.digest, &contents, used, is_pinned);
        }
        match page.last() {
            Some(last) if page.len() >= PAGE_COUNT => after = Some(last.digest.clone()),
            _ => return Ok(()),
        }
    }
}

async fn walk_tags(inventory: &Inventory, repository: &Repository) -> Result<(), StoreError> {
    let mut after: Option<Tag> = None;
    loop {
        let page = inventory.store().tags(repository, after.as_ref(), PAGE_COUNT).await?;
        for tag in &page {
            if let Some(record) = inventory.store().tag(repository, tag).await? {
                // A tag of a manifest that is not held is as old as its last check.
                let used = inventory.clock().of_file(record.checked_at);
                let is_held = inventory.is_held(repository, &record.digest);
                inventory.model.find_tag(repository, tag, &record.digest, if is_held { 0 } else { used });
            }
        }
        match page.last() {
            Some(last) if page.len() >= PAGE_COUNT => after = Some(last.clone()),
            _ => return Ok(()),
        }
    }
}

/// Measures the lists, after the manifests and tags, so that loose ones are known as such.
async fn walk_lists(inventory: &Inventory) -> Result<(), StoreError> {
    let mut after: Option<Repository> = None;
    loop {
        let name = after.as_ref().map(Repository::as_str);
        let page = inventory.store().repositories_with_lists(name, PAGE_COUNT).await?;
        for repository in &page {
            inventory.find_lists(repository).await?;
        }
        match page.last() {
            Some(last) if page.len() >= PAGE_COUNT => after = Some(last.clone()),
            _ => return Ok(()),
        }
    }
}

/// Reads the pins. If they cannot be read, nothing is removed until an operator has looked at them.
async fn read_pins(inventory: &Inventory) -> Result<(), StoreError> {
    if inventory.pins().is_some() {
        return Ok(());
    }
    let notes = [inventory.store().note(NAMES[0]).await?, inventory.store().note(NAMES[1]).await?];
    let registry = inventory.name();
    match PinList::newest(notes) {
        Some((list, is_damaged)) => {
            if is_damaged {
                warn!(registry, "a note of pinned images is damaged; the one before it counts");
            }
            inventory.set_pins(list);
        }
        None => warn!(
            registry,
            "the notes of pinned images are damaged, so no image is removed; remove them and restart"
        ),
    }
    Ok(())
}

/// Reads the note of last uses and takes over its time.
async fn read_uses(inventory: &Inventory) -> Option<Uses> {
    let registry = inventory.name();
    let note = inventory.store().note(uses::NAME).await.unwrap_or_else(|error| {
        inventory.failed(&error.into(), "the note of last uses cannot be read; files tell instead");
        None
    })?;
    let uses = Uses::parse(&note);
    let Some(uses) = uses else {
        warn!(registry, "the note of last uses is damaged or of another version; files tell instead");
        return None;
    };
    if !inventory.is_complete() {
        log_course(inventory, inventory.clock().continue_from(uses.clock));
    }
    Some(uses)
}

/// Logs that the wall clock was set, or may have been.
pub(crate) fn log_course(inventory: &Inventory, course: Course) {
    let registry = inventory.name();
    match course {
        Course::Steady | Course::Pause(_) => {}
        Course::Ahead(by) => warn!(
            registry,
            seconds = by.as_secs(),
            counted = course.counted().as_secs(),
            "wharf did not run for long, or the clock was set ahead; not all of that counts as time without use"
        ),
        Course::Back(by) => warn!(
            registry,
            seconds = by.as_secs(),
            "the clock was set back; last uses keep their order and their ages"
        ),
    }
}

/// Writes the note of last uses, if something changed since it was written last, or if it `is_due` anyway.
/// Returns whether it was written.
pub(crate) async fn write_uses(inventory: &Inventory, is_due: bool) -> bool {
    if !inventory.is_complete() || !(inventory.model.take_changed() || is_due) {
        return false;
    }
    // The next process must know of a clock that was set a moment ago.
    log_course(inventory, inventory.clock().follow());
    let now = inventory.clock().now();
    let age = |used: Seconds| now.saturating_sub(used);
    let mut uses = Uses { clock: inventory.clock().handover(), manifests: Vec::new(), blobs: Vec::new() };
    let mut from = Some(0);
    while let Some(at) = from {
        let (rows, next) = inventory.model.images.read().rows(at, PAGE_COUNT);
        let held = rows.iter().filter(|row| row.is_held);
        uses.manifests
            .extend(held.map(|row| (uses::manifest_key(&row.repository, &row.digest), age(row.used))));
        from = next;
    }
    for piece in 0..inventory.model.blobs.piece_count() {
        let blobs = inventory.model.blobs.uses(piece).into_iter().filter(|(_, used)| *used > 0);
        uses.blobs.extend(blobs.map(|(key, used)| (key, age(used))));
    }
    let written = inventory.store().put_note(uses::NAME, &uses.to_bytes()).await;
    let is_written = written.is_ok();
    if let Err(error) = written {
        inventory.model.changed();
        inventory.failed(&error.into(), "the note of last uses cannot be written");
    }
    is_written
}
