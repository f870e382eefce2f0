//! The contents of a store: manifests, tags and blobs, which of them name which, and their last uses.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oci::{Digest, Repository, Tag};
use parking_lot::{Mutex, RwLock};
use storage::Held;

use crate::clock::Seconds;
use crate::contents::{Contents, NamedBlob};
use crate::hold::Holds;
use crate::images::{Images, Row, Slot};
use crate::lists::{Lists, Turns};
use crate::orphans::Orphans;
use crate::repositories::Number;
use crate::short_digest::key_of;
use crate::table::Table;

/// Pieces of the table of blobs, and of the tables of manifests.
const BLOB_PIECES: usize = 256;
const MANIFEST_PIECES: usize = 64;

/// The most contents that the manifests of one image name, and its greatest depth of indexes, for which it
/// goes as a whole. Real images have some thousands, and two levels.
pub(crate) const PART_COUNT_MAX: usize = 100_000;
const DEPTH_MAX: usize = 16;

/// The contents of a store.
#[derive(Debug)]
pub(crate) struct Model {
    /// Blobs, by digest: how many held manifests name each.
    pub(crate) blobs: Table,
    /// Manifests, by repository and digest: how many held indexes of the repository name each.
    children: Table,
    /// Manifests, by digest: in how many repositories they are. Their bytes are shared.
    copies: Table,
    pub(crate) images: RwLock<Images>,
    pub(crate) orphans: Mutex<Orphans>,
    pub(crate) lists: Arc<Mutex<Lists>>,
    pub(crate) list_turns: Turns,
    pub(crate) holds: Arc<Holds>,
    /// Blobs and tags that were removed during the walk, which may have seen them before; `None`: the walk is
    /// over.
    removed: Mutex<Option<Removed>>,
    is_changed: AtomicBool,
}

#[derive(Debug, Default)]
struct Removed {
    blobs: HashSet<u64>,
    tags: HashSet<(Repository, Tag)>,
}

/// A manifest with the manifests that only it names, and the blobs that they name.
#[derive(Debug)]
pub(crate) struct Image {
    /// The image's own manifest first.
    pub(crate) members: Vec<Row>,
    /// The last use of a member, or of a blob that no other image needs.
    pub(crate) used: Seconds,
    /// The blobs that it names.
    pub(crate) blobs: Vec<NamedBlob>,
}

/// The role of a manifest.
#[derive(Debug)]
pub(crate) enum Composition {
    /// It is not there any more.
    Gone,
    /// A held index names it, so it is a part of another image.
    Part,
    /// The answer needs the contents of these manifests.
    Lacks(Vec<Digest>),
    /// An image.
    Whole(Image),
}

impl Model {
    /// The model of a store that is about to be walked.
    pub(crate) fn new() -> Self {
        Self {
            blobs: Table::new(BLOB_PIECES),
            children: Table::new(MANIFEST_PIECES),
            copies: Table::new(MANIFEST_PIECES),
            images: RwLock::new(Images::new()),
            orphans: Mutex::default(),
            lists: Arc::default(),
            list_turns: Turns::default(),
            holds: Arc::default(),
            removed: Mutex::new(Some(Removed::default())),
            is_changed: AtomicBool::new(false),
        }
    }

    /// The store holds a manifest, which was used at `used`. Returns whether that was not known before. No
    /// image may be removed meanwhile.
    pub(crate) fn store_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
        contents: &Contents,
        used: Seconds,
        is_pinned: bool,
    ) -> bool {
        let stored = self.images.write().store(repository, digest, used, is_pinned);
        if stored.is_new {
            self.copies.name(key_of(digest));
            for child in &contents.children {
                self.children.name(child_key(stored.number, child));
            }
            for blob in &contents.blobs {
                self.blobs.name(key_of(&blob.digest));
            }
        }
        self.place_lists(repository);
        self.changed();
        stored.is_new
    }

    pub(crate) fn use_manifest(&self, repository: &Repository, digest: &Digest, now: Seconds) {
        if self.images.read().touch(repository, digest, now) {
            self.changed();
        }
    }

    /// The store does not hold a manifest any more, which names `contents`. Returns the blobs that are
    /// orphans now.
    pub(crate) fn remove_manifest(&self, row: &Row, contents: &Contents) -> Vec<NamedBlob> {
        if !self.images.write().remove(row.slot) {
            return Vec::new();
        }
        self.copies.unname(key_of(&row.digest));
        for child in &contents.children {
            if self.children.unname(child_key(row.number, child)).count == 0 {
                // It may be an image of its own from now on.
                let mut images = self.images.write();
                let slot = images.find_in(row.number, child);
                let child = slot.and_then(|slot| images.row(slot));
                child.into_iter().for_each(|child| images.queue(child.slot, child.used));
            }
        }
        self.place_lists(&row.repository);
        let is_orphan = |blob: &&NamedBlob| self.blobs.unname(key_of(&blob.digest)).is_orphan();
        self.changed();
        contents.blobs.iter().filter(is_orphan).cloned().collect()
    }

    /// The bytes of a manifest were damaged and set aside.
    pub(crate) fn lose_manifest(&self, digest: &Digest) {
        self.images.write().lose(digest);
        self.changed();
    }

    /// The repository's number, if it has a manifest or a tag.
    pub(crate) fn number_of(&self, repository: &Repository) -> Option<Number> {
        self.images.read().number_of(repository)
    }

    /// The number of held indexes of the repository that name the manifest with this key.
    pub(crate) fn child_count(&self, number: Number, key: u64) -> u32 {
        self.children.get(child_key_of(number, key)).count
    }

    /// In how many repositories the manifest with this key is.
    pub(crate) fn copy_count(&self, key: u64) -> u32 {
        self.copies.get(key).count
    }

    /// Whether a repository has the manifest.
    pub(crate) fn has_copy(&self, digest: &Digest) -> bool {
        self.copies.get(key_of(digest)).count > 0
    }

    /// A tag names a manifest.
    pub(crate) fn set_tag(&self, repository: &Repository, tag: &Tag, digest: &Digest, now: Seconds) {
        let mut images = self.images.write();
        if let Some(removed) = &mut *self.removed.lock() {
            removed.tags.remove(&(repository.clone(), tag.clone()));
        }
        images.set_tag(repository, tag, digest, now);
        drop(images);
        self.place_lists(repository);
    }

    /// The walk saw a tag. A report that came meanwhile is newer.
    pub(crate) fn find_tag(&self, repository: &Repository, tag: &Tag, digest: &Digest, used: Seconds) {
        let mut images = self.images.write();
        let removed = self.removed.lock();
        let was_removed =
            removed.as_ref().is_some_and(|all| all.tags.contains(&(repository.clone(), tag.clone())));
        if !was_removed && !images.has_tag(repository, tag) {
            images.set_tag(repository, tag, digest, used);
        }
        drop((images, removed));
        self.place_lists(repository);
    }

    /// A tag is gone.
    pub(crate) fn remove_tag(&self, repository: &Repository, tag: &Tag) {
        let mut images = self.images.write();
        if let Some(removed) = &mut *self.removed.lock() {
            removed.tags.insert((repository.clone(), tag.clone()));
        }
        images.remove_tag(repository, tag, None);
        drop(images);
        self.place_lists(repository);
    }

    /// The lists of a repository take `held` from now on, and were used at `used`.
    pub(crate) fn set_lists(&self, repository: &Repository, held: Held, used: Seconds) {
        let images = self.images.read();
        self.lists.lock().set(repository, held, used, !images.has_any(repository));
    }

    /// Looks whether the repository's lists are loose. To be called when it may have got its first manifest
    /// or tag, or lost its last one.
    pub(crate) fn place_lists(&self, repository: &Repository) {
        let images = self.images.read();
        self.lists.lock().place(repository, !images.has_any(repository));
    }

    /// The store holds a blob.
    pub(crate) fn store_blob(&self, digest: &Digest, now: Seconds) {
        let key = key_of(digest);
        let mut removed = self.removed.lock();
        if let Some(removed) = &mut *removed {
            removed.blobs.remove(&key);
        }
        let known = self.blobs.hold(key, now);
        // The walk looks for orphans when the manifests are known.
        if known.count == 0 && removed.is_none() {
            self.orphans.lock().add(digest.clone(), now);
        }
        drop(removed);
        self.changed();
    }

    /// A blob was seen on the walk, after the manifests.
    pub(crate) fn find_blob(&self, digest: &Digest, used: Seconds) {
        let key = key_of(digest);
        let removed = self.removed.lock();
        if removed.as_ref().is_some_and(|all| all.blobs.contains(&key)) {
            return;
        }
        let known = self.blobs.hold(key, used);
        if known.count == 0 {
            self.orphans.lock().add(digest.clone(), known.used);
        }
    }

    pub(crate) fn use_blob(&self, digest: &Digest, now: Seconds) {
        if self.blobs.touch(key_of(digest), now) {
            self.changed();
        }
    }

    /// A blob is gone.
    pub(crate) fn remove_blob(&self, digest: &Digest) {
        let key = key_of(digest);
        let mut removed = self.removed.lock();
        if let Some(removed) = &mut *removed {
            removed.blobs.insert(key);
        }
        self.blobs.release(key);
    }

    /// The walk is over.
    pub(crate) fn walk_ended(&self) {
        *self.removed.lock() = None;
    }

    /// Puts a manifest back into the order of last uses.
    pub(crate) fn queue(&self, slot: Slot, place: Seconds) {
        self.images.write().queue(slot, place);
    }

    /// Whether anything changed since this was asked last.
    pub(crate) fn take_changed(&self) -> bool {
        self.is_changed.swap(false, Ordering::Relaxed)
    }

    /// Something changed that is worth a note.
    pub(crate) fn changed(&self) {
        if !self.is_changed.load(Ordering::Relaxed) {
            self.is_changed.store(true, Ordering::Relaxed);
        }
    }

    /// The memory of all tables, in bytes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let tables = [&self.blobs, &self.children, &self.copies];
        tables.iter().map(|table| table.memory_bytes()).sum::<usize>()
            + self.images.read().memory_bytes()
            + self.orphans.lock().memory_bytes()
            + self.lists.lock().memory_bytes()
    }

    /// Returns the role of a manifest. `known` has the contents of some manifests. An index that is too large
    /// or too deep is an image without its parts, which become images of their own when it is gone.
    pub(crate) fn compose(&self, slot: Slot, known: &HashMap<Digest, Contents>) -> Composition {
        let images = self.images.read();
        let Some(root) = images.row(slot) else { return Composition::Gone };
        if self.children.get(child_key(root.number, &root.digest)).count > 0 {
            return Composition::Part;
        }
        let number = root.number;
        let (mut part_count, mut is_too_deep) = (0, false);
        let (mut members, mut ahead, mut lacking) = (Vec::new(), vec![(root, 0)], Vec::new());
        // By how many members each child is named, and each blob.
        let (mut children, mut blobs) = (HashMap::<&Digest, u32>::new(), HashMap::<&Digest, _>::new());
        while let Some((row, depth)) = ahead.pop() {
            is_too_deep |= depth > DEPTH_MAX;
            match known.get(&row.digest) {
                None if row.is_held => lacking.push(row.digest.clone()),
                None => {}
                Some(contents) => {
                    part_count += contents.part_count();
                    for child in &contents.children {
                        let count = children.entry(child).or_default();
                        *count += 1;
                        let is_only_here = *count == self.children.get(child_key(number, child)).count;
                        let row = images.find_in(number, child).and_then(|slot| images.row(slot));
                        let row = row.filter(|row| is_only_here && (row.is_held || row.is_lost));
                        ahead.extend(row.map(|row| (row, depth + 1)));
                    }
                    for blob in &contents.blobs {
                        blobs.entry(&blob.digest).or_insert((blob, 0)).1 += 1;
                    }
                }
            }
            members.push(row);
        }
        if is_too_deep || part_count > PART_COUNT_MAX {
            members.truncate(1);
            lacking.clear();
            let own = known.get(&members[0].digest).map(|contents| &contents.blobs);
            blobs = own.into_iter().flatten().map(|blob| (&blob.digest, (blob, 1))).collect();
        }
        if !lacking.is_empty() {
            return Composition::Lacks(lacking);
        }
        drop(images);
        let own_uses = blobs.values().filter_map(|(blob, count)| {
            let known = self.blobs.get(key_of(&blob.digest));
            (known.count <= *count).then_some(known.used)
        });
        let used = members.iter().map(|row| row.used).chain(own_uses).max().unwrap_or(0);
        let blobs = blobs.into_values().map(|(blob, _)| blob.clone()).collect();
        Composition::Whole(Image { members, used, blobs })
    }

    /// Whether a held index of the repository names the manifest.
    pub(crate) fn is_part(&self, row: &Row) -> bool {
        self.children.get(child_key(row.number, &row.digest)).count > 0
    }
}

/// The key of a repository's manifest among those that an index names.
fn child_key(number: Number, digest: &Digest) -> u64 {
    child_key_of(number, key_of(digest))
}

fn child_key_of(number: Number, key: u64) -> u64 {
    key ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests;
