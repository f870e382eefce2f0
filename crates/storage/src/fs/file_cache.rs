//! A cache in memory of small files that are read often: the contents of records and manifests, and open
//! files of blobs. So a warm pull need not wait for a blocking thread.
//!
//! Files stay the truth. An entry has the content that was read from a file or written to it. Any write to
//! the file drops the entry, and it expires after a minute, so that changes by other programs are noticed
//! soon.

use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// The time after which an entry expires.
pub(super) const ENTRY_TTL: Duration = Duration::from_secs(60);

/// The weight of all entries of one sort in one store, in bytes at most: the manifests of some hundred
/// images.
pub(super) const CONTENT_BYTES_MAX: u64 = 4 << 20;

/// Shards of a cache, each with its own lock. An entry that weighs more than one shard's share is not cached.
const SHARD_COUNT: usize = 4;

/// The cached form of a file whose key is a `K`.
pub(super) trait Cached<K>: Clone {
    /// Its weight in the bound on its sort.
    fn weight(&self, key: &K) -> u64;
}

/// The cache of one sort of file.
pub(super) struct FileCache<K, V> {
    entries: Cache<K, Entry<V>, Weights>,
    changes: Mutex<Changes>,
    ttl: Duration,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    made_at: Instant,
}

/// The state of the cache before a file was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadStamp {
    change_count: u64,
    at: Instant,
}

/// The changes of files so far, to tell whether one may have changed while it was read.
#[derive(Debug, Default)]
struct Changes {
    /// The number of beginnings and ends of changes so far.
    count: u64,
    under_way: usize,
}

impl<K, V> FileCache<K, V>
where
    K: Clone + Hash + Eq,
    V: Cached<K>,
{
    /// A cache of entries that weigh `weight_max` in all and expire after `ttl`.
    pub(super) fn new(weight_max: u64, ttl: Duration) -> Self {
        // The cache makes one shard for each 32 expected items.
        let entries = Cache::with_weighter(SHARD_COUNT * 32, in_shards(weight_max), Weights);
        Self { entries, changes: Mutex::default(), ttl }
    }

    /// Changes the bound on the weight of all entries. Entries beyond it are dropped at once.
    pub(super) fn resize(&self, weight_max: u64) {
        self.entries.set_capacity(in_shards(weight_max));
    }

    /// The entry of a key, unless it has expired; then it is dropped.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let entry = self.entries.get(key)?;
        if entry.made_at.elapsed() < self.ttl {
            return Some(entry.value);
        }
        self.entries.remove_if(key, |now| now.made_at == entry.made_at);
        None
    }

    /// Reads the file with `read`, and caches the result unless the file may have changed meanwhile.
    pub(super) fn read<E>(
        &self,
        key: &K,
        read: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, E> {
        let stamp = self.read_stamp();
        let found = read()?;
        match &found {
            Some(value) => self.insert_read(key, value.clone(), stamp),
            None => self.forget(key),
        }
        Ok(found)
    }

    /// The stamp to take before reading a file whose content is to be [cached](Self::insert_read).
    pub(super) fn read_stamp(&self) -> ReadStamp {
        ReadStamp { change_count: self.changes.lock().count, at: Instant::now() }
    }

    /// Drops the entry of a file that is gone.
    pub(super) fn forget(&self, key: &K) {
        drop(self.entries.remove(key));
    }

    /// Caches the content that was read after `stamp`, unless the file may have changed since.
    pub(super) fn insert_read(&self, key: &K, value: V, stamp: ReadStamp) {
        let changes = self.changes.lock();
        if changes.count == stamp.change_count {
            self.insert(key, value, stamp.at);
        }
    }

    /// Runs `change`, after which the file has the content `value`; `None`: it is gone, or its content is not
    /// cached.
    pub(super) fn change<T, E>(
        &self,
        key: &K,
        value: Option<V>,
        change: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let begin = self.begin_change();
        let made_at = Instant::now();
        let changed = change();
        let mut changes = self.changes.lock();
        // After two concurrent changes it is unknown which content the file has.
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
        // Closing the last handle of a removed file waits for the disk, so it must not happen under the lock.
        drop(changes);
        drop(removed);
        changed
    }

    /// Does `change` to a file that the entries of all keys were read from for which `is_of_file` holds, and
    /// drops them.
    pub(super) fn change_shared<T, E>(
        &self,
        is_of_file: impl Fn(&K) -> bool,
        change: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin_change();
        let changed = change();
        let mut changes = self.changes.lock();
        changes.count += 1;
        changes.under_way -= 1;
        self.entries.retain(|key, _| !is_of_file(key));
        changed
    }

    fn begin_change(&self) -> u64 {
        let mut changes = self.changes.lock();
        changes.count += 1;
        changes.under_way += 1;
        changes.count
    }

    /// The caller has locked `changes`, so the entry is current.
    fn insert(&self, key: &K, value: V, made_at: Instant) {
        self.entries.insert(key.clone(), Entry { value, made_at });
    }
}

impl<K, V> fmt::Debug for FileCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCache").field("changes", &self.changes).finish_non_exhaustive()
    }
}

/// The largest weight up to `weight_max` that divides evenly among the shards: the cache rounds each share
/// up.
fn in_shards(weight_max: u64) -> u64 {
    weight_max - weight_max % SHARD_COUNT as u64
}

#[derive(Clone)]
struct Weights;

impl<K, V: Cached<K>> Weighter<K, Entry<V>> for Weights {
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        entry.value.weight(key)
    }
}

#[cfg(test)]
mod tests;
