//! Copies in memory of small files that are asked for often: a pull of something held should not wait for a
//! thread that may block, only to read the same kilobyte again.
//!
//! Files stay the truth. A copy is made of what a file was read or written with, is gone when the file is
//! written or removed, and is believed for a minute at most, so that what somebody else does to the files
//! counts soon.

use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// How long a copy is believed.
pub(super) const BELIEVED_FOR: Duration = Duration::from_secs(60);

/// What the copies of one sort may weigh in one store, in bytes: some hundred images' manifests.
const WEIGHT_MAX: u64 = 4 << 20;

/// What a copy weighs beside its content: keys, hashes, allocations.
const ENTRY_BYTES: usize = 256;

/// So many parts have a lock of their own. What weighs more than a part, 1 MiB, is not kept.
const PART_COUNT: usize = 4;

/// What an entry takes of the store's memory.
pub(super) trait Weigh {
    /// Its bytes, beside those that every entry takes.
    fn bytes(&self) -> usize;
}

/// The copies of one sort of file.
pub(super) struct Copies<K, V> {
    entries: Cache<K, Entry<V>, Scales>,
    changes: Mutex<Changes>,
    believed_for: Duration,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    made_at: Instant,
}

/// What tells whether a file may have changed while it was read.
#[derive(Debug, Default)]
struct Changes {
    /// Begins and ends of changes so far.
    count: u64,
    under_way: usize,
}

impl<K, V> Copies<K, V>
where
    K: Clone + Hash + Eq + Weigh,
    V: Clone + Weigh,
{
    pub(super) fn new(believed_for: Duration) -> Self {
        // The cache takes as many parts as there are 32 items for.
        let entries = Cache::with_weighter(PART_COUNT * 32, WEIGHT_MAX, Scales);
        Self { entries, changes: Mutex::default(), believed_for }
    }

    /// The copy, if there is one that is believed.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let entry = self.entries.get(key)?;
        (entry.made_at.elapsed() < self.believed_for).then_some(entry.value)
    }

    /// What `read` finds in the file, of which a copy is kept unless the file may have changed meanwhile.
    pub(super) fn read<E>(
        &self,
        key: &K,
        read: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E> {
        let before = self.changes().count;
        let made_at = Instant::now();
        let found = read()?;
        let changes = self.changes();
        match &found {
            Some(value) if changes.count == before => self.insert(key, value.clone(), made_at),
            Some(_) => {}
            None => drop(self.entries.remove(key)),
        }
        Ok(found)
    }

    /// Does `change` to the file, after which it holds `value`, or nothing.
    pub(super) fn change<E>(
        &self,
        key: &K,
        value: Option<V>,
        change: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let begin = self.begin_change();
        let made_at = Instant::now();
        let changed = change();
        let mut changes = self.changes();
        // Of two changes at a time it is unknown which the file has.
        let is_only = changes.count == begin && changes.under_way == 1;
        changes.count += 1;
        changes.under_way -= 1;
        match value {
            Some(value) if is_only && changed.is_ok() => self.insert(key, value, made_at),
            _ => drop(self.entries.remove(key)),
        }
        changed
    }

    fn begin_change(&self) -> u64 {
        let mut changes = self.changes();
        changes.count += 1;
        changes.under_way += 1;
        changes.count
    }

    /// To be called with the changes locked, so that what is kept is the last word.
    fn insert(&self, key: &K, value: V, made_at: Instant) {
        self.entries.insert(key.clone(), Entry { value, made_at });
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        // A panic in between leaves a change under way for good: then copies of writes are no longer kept.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> fmt::Debug for Copies<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("changes", &self.changes).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Scales;

impl<K: Weigh, V: Weigh> Weighter<K, Entry<V>> for Scales {
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        (ENTRY_BYTES + key.bytes() + entry.value.bytes()) as u64
    }
}

#[cfg(test)]
mod tests;
