//! The manifests and tags of a store, by number, and the order in which manifests were last used.
//!
//! The order is lazy: a use changes a time and nothing else. Eviction takes the oldest, compares its place in
//! the order with its time, and puts it back if it was used since.

mod held;

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BinaryHeap, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashTable;
use oci::{Digest, Repository, Tag};

use crate::clock::Seconds;
use crate::repositories::{Number, Repositories};
use crate::short_digest::{Rest, ShortDigest};
use crate::table::{grow, note_use};
use crate::tag_name::TagName;

/// A manifest's number. It is free for another one when the manifest is gone.
pub(crate) type Slot = u32;

const NONE: u32 = u32::MAX;

/// How many places in the order one look takes, so that nothing holds the lock for long.
const LOOK_COUNT_MAX: usize = 1024;

/// The store holds the manifest.
const HELD: u8 = 1;
/// It must not go.
const PINNED: u8 = 2;
/// It has a place in the order. The place stays when the manifest goes, and the next manifest of this number
/// has it.
const QUEUED: u8 = 4;
/// The store holds a record of the manifest, but its bytes were damaged and set aside. The counts of what it
/// names stay: if it comes back, it names the same.
const LOST: u8 = 8;

#[derive(Debug)]
struct Entry {
    digest: ShortDigest,
    flags: u8,
    /// [`NONE`]: the number is free, and `first_tag` is the next free one.
    repository: Number,
    used: AtomicU32,
    first_tag: u32,
}

#[derive(Debug)]
struct TagEntry {
    name: TagName,
    manifest: Slot,
    /// The next tag of the manifest, or the next free number.
    next: u32,
}

/// A manifest, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) slot: Slot,
    pub(crate) repository: Repository,
    pub(crate) number: Number,
    pub(crate) digest: Digest,
    pub(crate) used: Seconds,
    pub(crate) is_held: bool,
    /// Its bytes were damaged and set aside, so it is not held, but its record is.
    pub(crate) is_lost: bool,
    pub(crate) is_pinned: bool,
}

/// The oldest manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oldest {
    /// None was last used as long ago as that.
    Nothing,
    /// There may be one behind those that were looked at.
    Unknown,
    /// This one, last used then.
    Found(Slot, Seconds),
}

/// A manifest that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) number: Number,
    /// The store did not hold it before, so the caller has to count what it names.
    pub(crate) is_new: bool,
}

/// The manifests and tags.
#[derive(Debug)]
pub(crate) struct Images {
    entries: Vec<Entry>,
    first_free: Slot,
    index: HashTable<Slot>,
    tags: Vec<TagEntry>,
    first_free_tag: u32,
    tag_index: HashTable<u32>,
    repositories: Repositories,
    /// The second halves of SHA-512 digests, and the number of manifests with each digest.
    rests: HashMap<ShortDigest, (Rest, u32)>,
    order: BinaryHeap<Reverse<(Seconds, Slot)>>,
    hasher: RandomState,
    held_count: usize,
}

impl Images {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            first_free: NONE,
            index: HashTable::new(),
            tags: Vec::new(),
            first_free_tag: NONE,
            tag_index: HashTable::new(),
            repositories: Repositories::default(),
            rests: HashMap::new(),
            order: BinaryHeap::new(),
            hasher: RandomState::new(),
            held_count: 0,
        }
    }

    /// How many manifests the store holds.
    pub(crate) fn held_count(&self) -> usize {
        self.held_count
    }

    /// Whether the repository has a manifest or a tag.
    pub(crate) fn has_any(&self, repository: &Repository) -> bool {
        self.repositories.number(repository).is_some()
    }

    pub(crate) fn number_of(&self, repository: &Repository) -> Option<Number> {
        self.repositories.number(repository)
    }

    /// The manifest that a tag names, which the store may not hold.
    pub(crate) fn of_tag(&self, repository: &Repository, tag: &Tag) -> Option<Slot> {
        self.find_tag(repository, tag).map(|at| self.tags[at as usize].manifest)
    }

    pub(crate) fn find(&self, repository: &Repository, digest: &Digest) -> Option<Slot> {
        self.find_in(self.repositories.number(repository)?, digest)
    }

    pub(crate) fn find_in(&self, number: Number, digest: &Digest) -> Option<Slot> {
        self.find_short(number, &ShortDigest::of(digest).0)
    }

    fn find_short(&self, number: Number, short: &ShortDigest) -> Option<Slot> {
        let hash = self.hasher.hash_one((number, short));
        let is_it = |slot: &Slot| {
            let entry = &self.entries[*slot as usize];
            entry.repository == number && entry.digest == *short
        };
        self.index.find(hash, is_it).copied()
    }

    /// Notes a use. Returns whether that changed anything.
    pub(crate) fn touch(&self, repository: &Repository, digest: &Digest, now: Seconds) -> bool {
        let slot = self.find(repository, digest);
        slot.is_some_and(|slot| note_use(&self.entries[slot as usize].used, now))
    }

    /// Notes that the manifest was used at `used` at the least.
    pub(crate) fn renew(&mut self, slot: Slot, used: Seconds) {
        let last = self.entries[slot as usize].used.get_mut();
        *last = used.max(*last);
    }

    /// Returns a manifest; `None`: the number is free.
    pub(crate) fn row(&self, slot: Slot) -> Option<Row> {
        let entry = self.entries.get(slot as usize)?;
        let repository = self.repositories.name(entry.repository)?.clone();
        Some(Row {
            slot,
            repository,
            number: entry.repository,
            digest: entry.digest.to_digest(self.rests.get(&entry.digest).map(|(rest, _)| rest)),
            used: entry.used.load(Ordering::Relaxed),
            is_held: entry.flags & HELD != 0,
            is_lost: entry.flags & LOST != 0,
            is_pinned: entry.flags & PINNED != 0,
        })
    }

    /// Manifests from number `from` on, and the number with which it goes on after `count_max` numbers.
    pub(crate) fn rows(&self, from: Slot, count_max: usize) -> (Vec<Row>, Option<Slot>) {
        let end = (from as usize).saturating_add(count_max).min(self.entries.len());
        let to_slot = |at: usize| u32::try_from(at).expect("numbers are of 32 bits");
        let rows = (from as usize..end).filter_map(|at| self.row(to_slot(at))).collect();
        (rows, (end < self.entries.len()).then(|| to_slot(end)))
    }

    /// The tags that name the manifest.
    pub(crate) fn tags_of(&self, slot: Slot) -> Vec<Tag> {
        let mut tags = Vec::new();
        let mut at = self.entries.get(slot as usize).map_or(NONE, |entry| entry.first_tag);
        while let Some(tag) = self.tags.get(at as usize) {
            tags.push(tag.name.to_tag());
            at = tag.next;
        }
        tags
    }

    /// Notes that the store holds a manifest, last used at `used` at the least.
    pub(crate) fn store(
        &mut self,
        repository: &Repository,
        digest: &Digest,
        used: Seconds,
        is_pinned: bool,
    ) -> Stored {
        let slot = self.entry(repository, digest, used);
        let entry = &mut self.entries[slot as usize];
        let stored = Stored { number: entry.repository, is_new: entry.flags & (HELD | LOST) == 0 };
        let was_lost = entry.flags & LOST != 0;
        self.held_count += usize::from(entry.flags & HELD == 0);
        entry.flags &= !LOST;
        entry.flags |= HELD | if is_pinned { PINNED } else { 0 };
        if was_lost {
            self.regain(digest);
        }
        stored
    }

    /// Notes that the lost bytes of a manifest are back, which all repositories share.
    fn regain(&mut self, digest: &Digest) {
        let short = ShortDigest::of(digest).0;
        let lost = self
            .entries
            .iter_mut()
            .filter(|entry| entry.repository != NONE && entry.digest == short && entry.flags & LOST != 0);
        for entry in lost {
            entry.flags = entry.flags & !LOST | HELD;
            self.held_count += 1;
        }
    }

    /// Notes that the bytes of a manifest were damaged and set aside, in all repositories.
    pub(crate) fn lose(&mut self, digest: &Digest) {
        let short = ShortDigest::of(digest).0;
        let held = self
            .entries
            .iter_mut()
            .filter(|entry| entry.repository != NONE && entry.digest == short && entry.flags & HELD != 0);
        let mut count = 0;
        for entry in held {
            entry.flags = entry.flags & !HELD | LOST;
            count += 1;
        }
        self.held_count -= count;
    }

    /// Notes that the store does not hold the manifest any more. Returns whether it did, or had lost only its
    /// bytes.
    pub(crate) fn remove(&mut self, slot: Slot) -> bool {
        let Some(entry) = self.entries.get_mut(slot as usize) else { return false };
        let was_counted = entry.flags & (HELD | LOST) != 0;
        self.held_count -= usize::from(entry.flags & HELD != 0);
        entry.flags &= QUEUED;
        self.drop_if_unknown(slot);
        was_counted
    }

    pub(crate) fn pin(&mut self, slot: Slot, is_pinned: bool) {
        let flags = &mut self.entries[slot as usize].flags;
        *flags = if is_pinned { *flags | PINNED } else { *flags & !PINNED };
    }

    /// Notes that a tag names a manifest from now on, which the store may not hold.
    pub(crate) fn set_tag(&mut self, repository: &Repository, tag: &Tag, digest: &Digest, used: Seconds) {
        let before = self.find_tag(repository, tag);
        if let Some(at) = before
            && self.find(repository, digest) == Some(self.tags[at as usize].manifest)
        {
            // Nothing new: it is no use of the manifest.
            return;
        }
        let slot = self.entry(repository, digest, used);
        if let Some(at) = before {
            self.drop_tag(at);
        }
        let next = self.entries[slot as usize].first_tag;
        let entry = TagEntry { name: TagName::of(tag), manifest: slot, next };
        let at = match self.first_free_tag {
            NONE => {
                grow(&mut self.tags);
                self.tags.push(entry);
                u32::try_from(self.tags.len() - 1).expect("fewer tags than u32::MAX")
            }
            free => {
                self.first_free_tag = self.tags[free as usize].next;
                self.tags[free as usize] = entry;
                free
            }
        };
        self.entries[slot as usize].first_tag = at;
        let number = self.entries[slot as usize].repository;
        let hash = self.hasher.hash_one((number, tag.as_str().as_bytes()));
        let rehash = |at: &u32| {
            let tag = &self.tags[*at as usize];
            let number = self.entries[tag.manifest as usize].repository;
            self.hasher.hash_one((number, tag.name.bytes()))
        };
        self.tag_index.insert_unique(hash, at, rehash);
    }

    /// Forgets a tag; only if it names this manifest, where one is given. Returns whether it was known.
    pub(crate) fn remove_tag(&mut self, repository: &Repository, tag: &Tag, of: Option<Slot>) -> bool {
        let Some(at) = self.find_tag(repository, tag) else { return false };
        if of.is_some_and(|slot| self.tags[at as usize].manifest != slot) {
            return false;
        }
        self.drop_tag(at);
        true
    }

    /// Whether the tag is known.
    pub(crate) fn has_tag(&self, repository: &Repository, tag: &Tag) -> bool {
        self.find_tag(repository, tag).is_some()
    }

    /// Takes the manifest that was used least recently, at `until` at the latest and before `rival`, out of
    /// the order. The caller removes it or puts it back. `rival` is an orphan's last use: of two with the
    /// same time the orphan goes, which no client can pull as an image.
    pub(crate) fn take_oldest(&mut self, until: Seconds, rival: Option<Seconds>) -> Oldest {
        let oldest = self.oldest(rival.map_or(until, |rival| rival.saturating_sub(1).min(until)));
        if let Oldest::Found(slot, _) = oldest {
            self.order.pop();
            self.entries[slot as usize].flags &= !QUEUED;
        }
        oldest
    }

    /// The manifest that was used least recently, at `until` at the latest.
    pub(crate) fn oldest(&mut self, until: Seconds) -> Oldest {
        for _ in 0..LOOK_COUNT_MAX {
            let Some(Reverse((place, slot))) = self.order.peek().copied() else { return Oldest::Nothing };
            if place > until {
                return Oldest::Nothing;
            }
            let entry = &mut self.entries[slot as usize];
            let is_free = entry.repository == NONE;
            let used = *entry.used.get_mut();
            if !is_free && used <= place {
                return Oldest::Found(slot, place);
            }
            self.order.pop();
            self.entries[slot as usize].flags &= !QUEUED;
            if !is_free {
                self.queue(slot, used);
            }
        }
        Oldest::Unknown
    }

    /// Puts a manifest into the order, if it has no place there.
    pub(crate) fn queue(&mut self, slot: Slot, place: Seconds) {
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        if entry.repository == NONE || entry.flags & QUEUED != 0 {
            return;
        }
        entry.flags |= QUEUED;
        if self.order.len() == self.order.capacity() {
            self.order.reserve_exact((self.order.len() / 16).max(4));
        }
        self.order.push(Reverse((place, slot)));
    }

    /// The memory that all of it takes, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let long_names: usize = self.tags.iter().map(|tag| tag.name.memory_bytes()).sum();
        self.entries.capacity() * size_of::<Entry>()
            + self.index.allocation_size()
            + self.tags.capacity() * size_of::<TagEntry>()
            + long_names
            + self.tag_index.allocation_size()
            + self.repositories.memory_bytes()
            + self.rests.capacity() * (size_of::<(ShortDigest, Rest, u32)>() + 1)
            + self.order.capacity() * size_of::<(Seconds, Slot)>()
    }

    /// The entry of a manifest, made if it is missing.
    fn entry(&mut self, repository: &Repository, digest: &Digest, used: Seconds) -> Slot {
        let (short, rest) = ShortDigest::of(digest);
        let known = self.repositories.number(repository).and_then(|number| self.find_short(number, &short));
        if let Some(slot) = known {
            self.renew(slot, used);
            return slot;
        }
        let number = self.repositories.refer(repository);
        if let Some(rest) = rest {
            self.rests.entry(short).or_insert((rest, 0)).1 += 1;
        }
        let mut entry =
            Entry { digest: short, flags: 0, repository: number, used: used.into(), first_tag: NONE };
        let slot = match self.first_free {
            NONE => {
                grow(&mut self.entries);
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("fewer manifests than u32::MAX")
            }
            free => {
                let old = &mut self.entries[free as usize];
                self.first_free = old.first_tag;
                entry.flags = old.flags & QUEUED;
                *old = entry;
                free
            }
        };
        let hash = self.hasher.hash_one((number, &short));
        let rehash = |slot: &Slot| {
            let entry = &self.entries[*slot as usize];
            self.hasher.hash_one((entry.repository, &entry.digest))
        };
        self.index.insert_unique(hash, slot, rehash);
        self.queue(slot, used);
        slot
    }

    /// Drops a manifest that is not held and that no tag names.
    fn drop_if_unknown(&mut self, slot: Slot) {
        let entry = &self.entries[slot as usize];
        if entry.repository == NONE || entry.flags & (HELD | LOST) != 0 || entry.first_tag != NONE {
            return;
        }
        let (number, short) = (entry.repository, entry.digest);
        let hash = self.hasher.hash_one((number, &short));
        if let Ok(found) = self.index.find_entry(hash, |at| *at == slot) {
            found.remove();
        }
        let entry = &mut self.entries[slot as usize];
        entry.flags &= QUEUED;
        entry.repository = NONE;
        entry.first_tag = self.first_free;
        self.first_free = slot;
        self.repositories.leave(number);
        if let Some((_, count)) = self.rests.get_mut(&short) {
            *count -= 1;
            if *count == 0 {
                self.rests.remove(&short);
            }
        }
    }

    fn find_tag(&self, repository: &Repository, tag: &Tag) -> Option<u32> {
        let number = self.repositories.number(repository)?;
        let name = tag.as_str().as_bytes();
        let hash = self.hasher.hash_one((number, name));
        let is_it = |at: &u32| {
            let tag = &self.tags[*at as usize];
            tag.name.bytes() == name && self.entries[tag.manifest as usize].repository == number
        };
        self.tag_index.find(hash, is_it).copied()
    }

    fn drop_tag(&mut self, at: u32) {
        let (slot, next) = (self.tags[at as usize].manifest, self.tags[at as usize].next);
        let number = self.entries[slot as usize].repository;
        let hash = self.hasher.hash_one((number, self.tags[at as usize].name.bytes()));
        if let Ok(found) = self.tag_index.find_entry(hash, |found| *found == at) {
            found.remove();
        }
        self.unlink(slot, at, next);
        let freed = TagName::Short { len: 0, bytes: Default::default() };
        self.tags[at as usize] = TagEntry { name: freed, manifest: NONE, next: self.first_free_tag };
        self.first_free_tag = at;
        self.drop_if_unknown(slot);
    }

    /// Takes a tag out of its manifest's list.
    fn unlink(&mut self, slot: Slot, at: u32, next: u32) {
        let first = &mut self.entries[slot as usize].first_tag;
        if *first == at {
            *first = next;
            return;
        }
        let mut before = *first;
        while self.tags[before as usize].next != at {
            before = self.tags[before as usize].next;
        }
        self.tags[before as usize].next = next;
    }
}

#[cfg(test)]
mod tests;
