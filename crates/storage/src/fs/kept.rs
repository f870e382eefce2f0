//! What is kept at hand of small files that are asked for often: the contents of records and manifests, and
//! blobs' files, open. A pull of something held should not wait for a thread that may block only to read the
//! same kilobyte again, nor look for the same name again.
//!
//! Files stay the truth. What is kept is what was found in a file or written to it. It is gone when the file is
//! written or removed, and is believed for a minute at most, so that what somebody else does to the files
//! counts soon.

use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// How long what is kept is believed.
pub(super) const BELIEVED_FOR: Duration = Duration::from_secs(60);

/// What the contents of one sort may weigh in one store, in bytes: some hundred images' manifests.
pub(super) const CONTENT_BYTES_MAX: u64 = 4 << 20;

/// So many parts have a lock of their own. What weighs more than a part is not kept.
const PART_COUNT: usize = 4;

/// What is kept of a file whose key is a `K`.
pub(super) trait Keep<K>: Clone {
    /// What it takes of the bound on its sort.
    fn weight(&self, key: &K) -> u64;
}

/// The most that is no more than `weight_max` in parts of one size: the cache rounds each part up.
fn in_parts(weight_max: u64) -> u64 {
    weight_max - weight_max % PART_COUNT as u64
}

/// What is kept of one sort of file.
pub(super) struct Kept<K, V> {
    entries: Cache<K, Entry<V>, Scales>,
    changes: Mutex<Changes>,
    believed_for: Duration,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    made_at: Instant,
}

/// When a look at a file began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    change_count: u64,
    at: Instant,
}

/// What tells whether a file may have changed while it was read.
#[derive(Debug, Default)]
struct Changes {
    /// Begins and ends of changes so far.
    count: u64,
    under_way: usize,
}

impl<K, V> Kept<K, V>
where
    K: Clone + Hash + Eq,
    V: Keep<K>,
{
    /// What weighs `weight_max` in all, each for `believed_for`.
    pub(super) fn new(weight_max: u64, believed_for: Duration) -> Self {
        // The cache takes as many parts as there are 32 items for.
        let entries = Cache::with_weighter(PART_COUNT * 32, in_parts(weight_max), Scales);
        Self { entries, changes: Mutex::default(), believed_for }
    }

    /// Changes what may be kept. What is too much goes at once.
    pub(super) fn resize(&self, weight_max: u64) {
        self.entries.set_capacity(in_parts(weight_max));
    }

    /// What is kept, if there is anything that is believed. What no longer is goes.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let entry = self.entries.get(key)?;
        if entry.made_at.elapsed() < self.believed_for {
            return Some(entry.value);
        }
        self.entries.remove_if(key, |now| now.made_at == entry.made_at);
        None
    }

    /// What `read` finds in the file, which is kept unless the file may have changed meanwhile.
    pub(super) fn read<E>(
        &self,
        key: &K,
        read: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E> {
        let look = self.look();
        let found = read()?;
        match &found {
            Some(value) => self.keep(key, value.clone(), look),
            None => self.forget(key),
        }
        Ok(found)
    }

    /// To be called before looking at a file to [`keep`](Self::keep) what is found.
    pub(super) fn look(&self) -> Look {
        Look { change_count: self.changes.lock().count, at: Instant::now() }
    }

    /// Drops what is kept: the file is gone.
    pub(super) fn forget(&self, key: &K) {
        drop(self.entries.remove(key));
    }

    /// Keeps what `look` found in the file, unless it may have changed since.
    pub(super) fn keep(&self, key: &K, value: V, look: Look) {
        let changes = self.changes.lock();
        if changes.count == look.change_count {
            self.insert(key, value, look.at);
        }
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
        let mut changes = self.changes.lock();
        // Of two changes at a time it is unknown which the file has.
        let is_only = changes.count == begin && changes.under_way == 1;
        changes.count += 1;
        changes.under_way -= 1;
        let removed = match value {
            Some(value) if is_only && changed.is_ok() => {
                self.insert(key, value, made_at);
                None
            }
            _ => self.entries.remove(key),
        };
        // The last to close a file that was removed waits for the disk; nobody else is to wait for that.
        drop(changes);
        drop(removed);
        changed
    }

    fn begin_change(&self) -> u64 {
        let mut changes = self.changes.lock();
        changes.count += 1;
        changes.under_way += 1;
        changes.count
    }

    /// To be called with the changes locked, so that what is kept is the last word.
    fn insert(&self, key: &K, value: V, made_at: Instant) {
        self.entries.insert(key.clone(), Entry { value, made_at });
    }
}

impl<K, V> fmt::Debug for Kept<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("changes", &self.changes).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Scales;

impl<K, V: Keep<K>> Weighter<K, Entry<V>> for Scales {
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        entry.value.weight(key)
    }
}

#[cfg(test)]
mod tests;
