//! The removal of images, safe at every point where the process or the machine may end.
//!
//! An image goes in this order: its tags, its manifests, and, once that is durable, the bytes of the
//! manifests and the blobs that nothing else names. If the process ends in between, it leaves a blob that no
//! manifest names, never an image with a hole.

mod batch;
mod orphaned;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Repository, Tag};
use policy::eviction::{Candidate, Limits, Reason, Verdict, may_go};
use policy::image::NamedImage;
use tokio_util::sync::CancellationToken;

use crate::clock::Seconds;
use crate::contents::Contents;
use crate::failure::Failure;
use crate::images::{Oldest, Slot};
use crate::inventory::Inventory;
use crate::model::{Composition, Image, PART_COUNT_MAX};
use crate::short_digest::key_of;
use batch::Batch;
pub use batch::Freed;
pub(crate) use batch::Unsynced;
pub(crate) use orphaned::Orphaned;

/// Images whose removals become durable together.
const BATCH_COUNT: usize = 32;

/// After so many failures in one run, the disk is the problem and not a file.
const FAILURE_COUNT_MAX: usize = 8;

/// How often the composition of an image is looked at anew before it is left for later. Each look learns of
/// one more level of nested indexes, of which a composition has fewer.
const LOOK_COUNT_MAX: usize = 32;

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As many bytes are free as were wanted.
    Enough,
    /// Nothing more may go.
    Nothing,
    /// The store failed too often, or the run was cancelled.
    Failed,
}

/// The reason why an image stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A held index names it.
    Part,
    /// An operator pinned it or a part of it.
    Pinned,
    /// A rule keeps it.
    Kept,
    /// One of its blobs is on its way in.
    Busy,
    /// It was used since.
    Used,
}

/// The outcome for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// The image is gone, and these tags with it.
    Removed(Freed, Vec<Tag>),
    Gone,
    Stays(Why),
}

/// The result of a look at an image.
enum Looked {
    Gone,
    /// It stays, and this is its place in line.
    Stays(Why, Seconds),
    Goes(Image),
}

/// The outcome for an image's records.
enum Records {
    Removed(Vec<Tag>),
    Gone,
    Stay(Why, Seconds),
}

/// Removes images and orphans of one store. One at a time does so.
#[derive(Debug)]
pub(crate) struct Evictor<'a> {
    pub(crate) inventory: &'a Inventory,
    pub(crate) limits: &'a Limits,
    pub(crate) unsynced: &'a mut Unsynced,
    pub(crate) reason: Reason,
    /// Manifests whose images stay in this run.
    pub(crate) spared: Arc<HashSet<Slot>>,
    /// An image that was used within this time stays, whatever the reason.
    pub(crate) unused_min: Duration,
    /// Ends a run after the batch that it is at.
    pub(crate) cancel: CancellationToken,
}

impl Evictor<'_> {
    /// Removes the least recently used images and orphans, none with a last use after `until`, until `wanted`
    /// bytes are free.
    pub(crate) async fn run(&mut self, wanted: u64, until: Seconds) -> (Freed, Ended) {
        let mut freed = Freed::default();
        let mut failure_count = 0;
        if wanted == 0 {
            return (freed, Ended::Enough);
        }
        loop {
            let mut batch = Batch::default();
            while batch.count() < BATCH_COUNT && freed.bytes.saturating_add(batch.claimed_bytes()) < wanted {
                match self.add_oldest(&mut batch, until).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        self.inventory.failed(&error, "an image cannot be removed");
                        failure_count += 1;
                    }
                }
                if failure_count >= FAILURE_COUNT_MAX {
                    break;
                }
            }
            let is_empty = batch.count() == 0;
            let done = self.finish(batch).await;
            freed.add(done.freed);
            failure_count += done.failure_count;
            if freed.bytes >= wanted {
                return (freed, Ended::Enough);
            }
            if done.is_broken || failure_count >= FAILURE_COUNT_MAX || self.cancel.is_cancelled() {
                return (freed, Ended::Failed);
            }
            if is_empty && !self.find_orphans().await {
                return (freed, Ended::Nothing);
            }
        }
    }

    /// Removes one image, if it may go.
    ///
    /// # Errors
    /// The image is still there, as a whole or in part.
    pub(crate) async fn remove(
        &mut self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Removal, Failure> {
        let slot = self.inventory.model.images.read().find(repository, digest);
        let Some(slot) = slot else { return Ok(Removal::Gone) };
        let mut batch = Batch::default();
        let removed = self.remove_records(&mut batch, slot, Seconds::MAX).await;
        let done = self.finish(batch).await;
        Ok(match removed? {
            Records::Removed(tags) => Removal::Removed(done.freed, tags),
            Records::Gone => Removal::Gone,
            Records::Stay(why, _) => Removal::Stays(why),
        })
    }

    /// Removes the records of the next image in line, or takes the next orphan. Returns whether there was
    /// one.
    async fn add_oldest(&mut self, batch: &mut Batch, until: Seconds) -> Result<bool, Failure> {
        let model = &self.inventory.model;
        loop {
            let orphan = model.orphans.lock().oldest().filter(|used| *used <= until);
            let oldest = model.images.write().take_oldest(until, orphan);
            match (oldest, orphan) {
                (Oldest::Found(slot, place), _) => {
                    self.remove_records(batch, slot, place).await?;
                    return Ok(true);
                }
                (Oldest::Nothing, None) => return Ok(false),
                (Oldest::Nothing, Some(_)) => {
                    let orphan = model.orphans.lock().take_oldest(until);
                    if let Some((place, digest)) = orphan {
                        self.add_orphan(batch, digest, place).await;
                        return Ok(true);
                    }
                }
                (Oldest::Unknown, _) => tokio::task::yield_now().await,
            }
        }
    }

    async fn add_orphan(&self, batch: &mut Batch, digest: Digest, place: Seconds) {
        let model = &self.inventory.model;
        let now = self.inventory.clock().now();
        let known = model.blobs.get(key_of(&digest));
        if !known.is_orphan() {
            return;
        }
        let candidate = Candidate {
            unused: self.inventory.unused(known.used),
            is_pinned: false,
            is_kept: false,
            is_busy: self.inventory.serving().is_filling(&digest),
        };
        match may_go(&candidate, self.reason, self.limits) {
            Verdict::Go if known.used <= place => {
                // An orphan that is gone already has no size.
                let size = self.inventory.store().open(&digest).await.ok().flatten().map(|blob| blob.size());
                batch.add_orphan(digest, size.unwrap_or(0));
            }
            Verdict::Go | Verdict::Stay(_) => {
                let place = if candidate.is_busy { now } else { known.used };
                model.orphans.lock().add(digest, place);
            }
        }
    }

    /// Removes the tags and manifests of an image, if it may go and was not used after its `place` in line.
    /// If it stays, it is back in line, unless it is a part of another one.
    async fn remove_records(
        &mut self,
        batch: &mut Batch,
        slot: Slot,
        place: Seconds,
    ) -> Result<Records, Failure> {
        let now = self.inventory.clock().now();
        let removed = self.try_remove_records(batch, slot, place, now).await;
        match &removed {
            // A part is in line again when nothing names it any more.
            Ok(Records::Removed(_) | Records::Gone | Records::Stay(Why::Part, _)) => {}
            Ok(Records::Stay(_, place)) => self.inventory.model.queue(slot, *place),
            Err(_) => self.inventory.model.queue(slot, now),
        }
        removed
    }

    async fn try_remove_records(
        &mut self,
        batch: &mut Batch,
        slot: Slot,
        place: Seconds,
        now: Seconds,
    ) -> Result<Records, Failure> {
        let mut known = HashMap::new();
        for _ in 0..LOOK_COUNT_MAX {
            // Manifests are read before the gate is closed.
            match self.look(slot, &mut known, place, now).await? {
                Looked::Stays(why, place) => return Ok(Records::Stay(why, place)),
                Looked::Gone => return Ok(Records::Gone),
                Looked::Goes(image) => self.unsynced.note(self.inventory, &image).await,
            }
            let alone = self.inventory.gate().write().await;
            match self.inventory.model.compose(slot, &known) {
                // A manifest came meanwhile that belongs to the image.
                Composition::Lacks(_) => drop(alone),
                Composition::Gone => return Ok(Records::Gone),
                Composition::Part => return Ok(Records::Stay(Why::Part, now)),
                Composition::Whole(image) => {
                    if let Some((why, place)) = self.place_of_staying(&image, place, now) {
                        return Ok(Records::Stay(why, place));
                    }
                    return Ok(Records::Removed(self.remove_members(batch, &image, &known).await?));
                }
            }
        }
        Ok(Records::Stay(Why::Used, now))
    }

    /// Learns what an image names, and whether it may go.
    async fn look(
        &self,
        slot: Slot,
        known: &mut HashMap<Digest, Contents>,
        place: Seconds,
        now: Seconds,
    ) -> Result<Looked, Failure> {
        for _ in 0..LOOK_COUNT_MAX {
            match self.inventory.model.compose(slot, known) {
                Composition::Gone => return Ok(Looked::Gone),
                Composition::Part => return Ok(Looked::Stays(Why::Part, now)),
                Composition::Whole(image) => {
                    let staying = self.place_of_staying(&image, place, now);
                    return Ok(staying.map_or(Looked::Goes(image), |(why, place)| Looked::Stays(why, place)));
                }
                Composition::Lacks(digests) => {
                    let row = self.inventory.model.images.read().row(slot);
                    let Some(row) = row else { return Ok(Looked::Gone) };
                    let mut part_count: usize = known.values().map(Contents::part_count).sum();
                    for digest in digests {
                        if part_count > PART_COUNT_MAX {
                            break;
                        }
                        let contents = self.inventory.contents(&row.repository, &digest).await?;
                        // Of a manifest whose bytes are lost, the counts stay as they are until the next
                        // start.
                        let contents = contents.unwrap_or_default();
                        part_count += contents.part_count();
                        known.insert(digest, contents);
                    }
                }
            }
        }
        Ok(Looked::Stays(Why::Used, now))
    }

    /// The reason why an image stays, and its place in line; `None`: it goes.
    fn place_of_staying(&self, image: &Image, place: Seconds, now: Seconds) -> Option<(Why, Seconds)> {
        let (serving, holds) = (self.inventory.serving(), &self.inventory.model.holds);
        let candidate = Candidate {
            unused: self.inventory.unused(image.used),
            is_pinned: image.members.iter().any(|row| row.is_pinned),
            is_kept: self.is_kept(image),
            is_busy: image.blobs.iter().any(|blob| serving.is_filling(&blob.digest))
                || image.members.iter().any(|row| holds.has(&row.repository, &row.digest)),
        };
        match may_go(&candidate, self.reason, self.limits) {
            Verdict::Go if candidate.unused < self.unused_min => Some((Why::Used, image.used.min(now))),
            // Its turn comes later: others were used before it.
            Verdict::Go => (image.used > place).then_some((Why::Used, image.used)),
            Verdict::Stay(_) if candidate.is_busy => Some((Why::Busy, now)),
            Verdict::Stay(_) if candidate.is_pinned => Some((Why::Pinned, now)),
            Verdict::Stay(_) if candidate.is_kept => Some((Why::Kept, now)),
            Verdict::Stay(_) => Some((Why::Used, image.used.min(now))),
        }
    }

    fn is_kept(&self, image: &Image) -> bool {
        if image.members.iter().any(|row| self.spared.contains(&row.slot)) {
            return true;
        }
        if self.limits.keep.is_empty() {
            return false;
        }
        let images = self.inventory.model.images.read();
        let tags: Vec<_> = image.members.iter().flat_map(|row| images.tags_of(row.slot)).collect();
        let Some(root) = image.members.first() else { return false };
        let named = NamedImage {
            registry: self.inventory.name(),
            repository: root.repository.as_str(),
            digest: &root.digest,
        };
        self.limits.keep.iter().any(|pattern| pattern.names(named, tags.iter().map(Tag::as_str)))
    }

    /// Removes tags, then manifests: the image's own first, so that what an end in between leaves are whole
    /// images. Returns the tags. The caller holds the gate alone.
    async fn remove_members(
        &self,
        batch: &mut Batch,
        image: &Image,
        known: &HashMap<Digest, Contents>,
    ) -> Result<Vec<Tag>, Failure> {
        let (inventory, serving) = (self.inventory, self.inventory.serving());
        let mut removed = Vec::new();
        for row in &image.members {
            let tags = inventory.model.images.read().tags_of(row.slot);
            for tag in tags {
                serving.remove_tag(&row.repository, &tag, &row.digest).await?;
                inventory.model.images.write().remove_tag(&row.repository, &tag, Some(row.slot));
                removed.push(tag);
            }
        }
        for row in image.members.iter().filter(|row| row.is_held || row.is_lost) {
            inventory.store().remove_manifest(&row.repository, &row.digest).await?;
            let nothing = Contents::default();
            let contents = known.get(&row.digest).unwrap_or(&nothing);
            let orphans = inventory.model.remove_manifest(row, contents);
            let is_shared = inventory.model.has_copy(&row.digest);
            let manifest_bytes = if is_shared { 0 } else { contents.manifest_bytes };
            batch.add_manifest(&row.repository, manifest_bytes, orphans);
        }
        // Of an image whose manifests were never held, only tags went.
        image.members.first().into_iter().for_each(|root| inventory.model.place_lists(&root.repository));
        batch.add_image(image);
        Ok(removed)
    }

    /// Searches the store for orphans, if there were more than are known. Returns whether there may be any.
    async fn find_orphans(&self) -> bool {
        if !self.inventory.model.orphans.lock().must_be_searched() {
            return false;
        }
        if let Err(error) = batch::find_orphans(self.inventory).await {
            self.inventory.failed(&error.into(), "the store cannot be searched for blobs that nothing names");
            return false;
        }
        true
    }

    async fn finish(&mut self, batch: Batch) -> batch::Done {
        batch.finish(self.inventory, self.unsynced).await
    }
}
