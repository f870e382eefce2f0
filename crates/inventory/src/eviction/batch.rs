//! A batch of images whose records are gone: once that is durable, their bytes go.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use oci::{Digest, Repository};
use storage::StoreError;
use tokio::time::Instant;

use crate::clock::Seconds;
use crate::contents::NamedBlob;
use crate::inventory::Inventory;
use crate::model::Image;
use crate::notes::leftovers;
use crate::short_digest::key_of;

/// For so long no manifest can be stored while blobs are removed.
const HOLD_MAX: Duration = Duration::from_millis(20);

/// Repositories that are listed at a time.
const PAGE_COUNT: usize = 256;

/// What a run removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Images, and orphaned blobs.
    pub images: u64,
    /// Bytes of blobs and manifests, and of the lists of repositories that went.
    pub bytes: u64,
}

impl Freed {
    pub(crate) fn add(&mut self, other: Self) {
        self.images += other.images;
        self.bytes += other.bytes;
    }
}

/// Removals that must become durable before the next blob is removed, and removals to repeat.
#[derive(Debug)]
pub(crate) struct Unsynced {
    /// An earlier process may have removed records without making that durable.
    is_everything: bool,
    repositories: BTreeSet<Repository>,
    /// Manifests without a record whose bytes could not be removed.
    manifests: BTreeSet<Digest>,
}

impl Default for Unsynced {
    fn default() -> Self {
        Self { is_everything: true, repositories: BTreeSet::new(), manifests: BTreeSet::new() }
    }
}

impl Unsynced {
    /// Takes over what an earlier process may have left.
    pub(crate) async fn read(&mut self, inventory: &Inventory) {
        match inventory.store().note(leftovers::NAME).await {
            Ok(note) => self.manifests.extend(note.iter().flat_map(|note| leftovers::parse(note))),
            Err(error) => inventory.failed(&error.into(), "the note of unfinished removals cannot be read"),
        }
    }

    /// Notes that the bytes of these manifests are about to go. If the note cannot be written, an end of the
    /// process leaves some bytes behind.
    pub(super) async fn note(&mut self, inventory: &Inventory, image: &Image) {
        let held = image.members.iter().filter(|row| row.is_held);
        self.manifests.extend(held.map(|row| row.digest.clone()));
        let note = leftovers::to_bytes(&self.manifests);
        if let Err(error) = inventory.store().put_note(leftovers::NAME, &note).await {
            inventory.failed(&error.into(), "the note of unfinished removals cannot be written");
        }
    }

    async fn sync(&mut self, inventory: &Inventory) -> Result<(), StoreError> {
        if self.is_everything {
            // One call for all of them: the file engine makes many directories durable together.
            let all = all_repositories(inventory).await?;
            inventory.store().sync_removals(&all).await?;
            // An earlier process may have left grants alone.
            remove_repositories(inventory, &all).await;
            self.is_everything = false;
        }
        let repositories: Vec<_> = self.repositories.iter().cloned().collect();
        inventory.store().sync_removals(&repositories).await?;
        self.repositories.clear();
        Ok(())
    }
}

async fn all_repositories(inventory: &Inventory) -> Result<Vec<Repository>, StoreError> {
    let mut all: Vec<Repository> = Vec::new();
    loop {
        let page = inventory.store().repositories(all.last().map(Repository::as_str), PAGE_COUNT).await?;
        let is_last = page.len() < PAGE_COUNT;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// Images whose records are gone.
#[derive(Debug, Default)]
pub(super) struct Batch {
    image_count: u64,
    repositories: BTreeSet<Repository>,
    /// Blobs that nothing names any more, with the repository that did.
    blobs: Vec<(Option<Repository>, Digest)>,
    claimed_bytes: u64,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) freed: Freed,
    pub(super) failure_count: usize,
    /// Removals cannot be made durable, so no blob was removed.
    pub(super) is_broken: bool,
}

impl Batch {
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.image_count).unwrap_or(usize::MAX)
    }

    /// The bytes that are to come free, as manifests claim.
    pub(super) fn claimed_bytes(&self) -> u64 {
        self.claimed_bytes
    }

    pub(super) fn add_image(&mut self, image: &Image) {
        self.image_count += 1;
        self.repositories.extend(image.members.first().map(|row| row.repository.clone()));
    }

    pub(super) fn add_manifest(
        &mut self,
        repository: &Repository,
        manifest_bytes: u64,
        orphans: Vec<NamedBlob>,
    ) {
        self.repositories.insert(repository.clone());
        self.claimed_bytes = self.claimed_bytes.saturating_add(manifest_bytes);
        for blob in orphans {
            self.claimed_bytes = self.claimed_bytes.saturating_add(blob.size.unwrap_or(0));
            self.blobs.push((Some(repository.clone()), blob.digest));
        }
    }

    pub(super) fn add_orphan(&mut self, digest: Digest, size: u64) {
        self.image_count += 1;
        self.claimed_bytes = self.claimed_bytes.saturating_add(size);
        self.blobs.push((None, digest));
    }

    /// Makes the removals durable and removes what nothing needs any more.
    pub(super) async fn finish(self, inventory: &Inventory, unsynced: &mut Unsynced) -> Done {
        if self.repositories.is_empty() && self.blobs.is_empty() && unsynced.manifests.is_empty() {
            return Done::default();
        }
        let freed = Freed { images: self.image_count, bytes: 0 };
        let mut done = Done { freed, ..Done::default() };
        unsynced.repositories.extend(self.repositories.iter().cloned());
        if let Err(error) = unsynced.sync(inventory).await {
            inventory.failed(&error.into(), "removals cannot be made durable, so no blob is removed");
            // The blobs are orphans until the disk is well again.
            let now = inventory.clock().now();
            self.blobs.into_iter().for_each(|(_, digest)| inventory.model.orphans.lock().add(digest, now));
            return Done { is_broken: true, ..done };
        }
        remove_manifests(inventory, unsynced, &mut done).await;
        remove_blobs(inventory, &self.blobs, &mut done).await;
        done.freed.bytes += remove_repositories(inventory, &self.repositories).await;
        done
    }
}

/// Removes the bytes of manifests that no repository has any more.
async fn remove_manifests(inventory: &Inventory, unsynced: &mut Unsynced, done: &mut Done) {
    let mut turn = Turn::default();
    for digest in std::mem::take(&mut unsynced.manifests) {
        turn.hold(inventory).await;
        if inventory.model.has_copy(&digest) {
            continue;
        }
        match inventory.store().remove_manifest_bytes(&digest).await {
            Ok(bytes) => done.freed.bytes += bytes,
            Err(error) => {
                inventory.failed(&error.into(), "a manifest that no repository has cannot be removed");
                done.failure_count += 1;
                if unsynced.manifests.len() < leftovers::COUNT_MAX {
                    unsynced.manifests.insert(digest);
                }
            }
        }
    }
}

async fn remove_blobs(inventory: &Inventory, blobs: &[(Option<Repository>, Digest)], done: &mut Done) {
    let (model, serving) = (&inventory.model, inventory.serving());
    let mut turn = Turn::default();
    for (repository, digest) in blobs {
        turn.hold(inventory).await;
        let now = inventory.clock().now();
        let known = model.blobs.get(key_of(digest));
        // A manifest that names it may have come, or a blob with the same digest may be on its way.
        if !known.is_orphan() {
            continue;
        }
        if serving.is_filling(digest) {
            model.orphans.lock().add(digest.clone(), now);
            continue;
        }
        // If the blob comes back while it is being removed, it is reported after this and known again.
        model.blobs.release(key_of(digest));
        match inventory.store().remove(digest).await {
            Ok(bytes) => {
                done.freed.bytes += bytes;
                forget_grant(inventory, repository.as_ref(), digest).await;
            }
            Err(error) => {
                inventory.failed(&error.into(), "a blob that nothing needs cannot be removed");
                done.failure_count += 1;
                model.blobs.hold(key_of(digest), known.used);
                model.orphans.lock().add(digest.clone(), now);
            }
        }
    }
}

async fn forget_grant(inventory: &Inventory, repository: Option<&Repository>, digest: &Digest) {
    let Some(repository) = repository else { return };
    if let Err(error) = inventory.store().remove_link(repository, digest).await {
        inventory.failed(&error.into(), "a grant for a blob that is gone cannot be removed");
    }
}

/// Removes what is left of repositories without an image. Returns the bytes that this freed.
async fn remove_repositories(
    inventory: &Inventory,
    repositories: impl IntoIterator<Item = &Repository>,
) -> u64 {
    let (mut turn, mut freed) = (Turn::default(), 0);
    for repository in repositories {
        turn.hold(inventory).await;
        if inventory.model.images.read().has_any(repository) {
            continue;
        }
        match inventory.remove_repository(repository).await {
            Ok(lists) => freed += lists.bytes,
            Err(error) => inventory.failed(&error.into(), "what is left of a repository cannot be removed"),
        }
    }
    freed
}

/// The exclusive gate, released now and then so that manifests can be stored.
#[derive(Debug, Default)]
struct Turn<'a>(Option<(tokio::sync::RwLockWriteGuard<'a, ()>, Instant)>);

impl<'a> Turn<'a> {
    async fn hold(&mut self, inventory: &'a Inventory) {
        if self.0.as_ref().is_some_and(|(_, since)| since.elapsed() < HOLD_MAX) {
            return;
        }
        self.0 = None;
        self.0 = Some((inventory.gate().write().await, Instant::now()));
    }
}

/// Searches the store for blobs that nothing names.
///
/// # Errors
/// I/O errors.
pub(super) async fn find_orphans(inventory: &Inventory) -> Result<(), StoreError> {
    let mut entries = inventory.store().entries();
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        let known = inventory.model.blobs.get(key_of(&entry.digest));
        if known.is_orphan() {
            inventory.model.orphans.lock().add(entry.digest, Seconds::max(known.used, 1));
        }
    }
    Ok(())
}
