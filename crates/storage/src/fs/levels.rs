//! A cache of levels of repository names, so that not every page lists a large directory again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The time after which a level is read again, to notice directories that other programs made. A directory
/// that this process makes invalidates all levels at once.
const ENTRY_TTL: Duration = Duration::from_secs(10);

/// The keys of one level in memory, in bytes with their overhead; a larger level is read again for each
/// further batch.
const LEVEL_BYTES_MAX: usize = 4 << 20;

/// The cached levels of one store, in bytes at most.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// A level with fewer keys is cheap to read and not cached.
const KEPT_KEY_COUNT_MIN: usize = 64;

/// The overhead of a key in memory, in bytes.
const KEY_BYTES: usize = 48;

/// A level's keys from `start` on, in order.
#[derive(Debug)]
pub(super) struct Level {
    start: String,
    keys: Vec<String>,
    /// Whether these are the last keys.
    is_rest: bool,
    bytes: usize,
    made_count: u64,
    made_at: Instant,
}

impl Level {
    pub(super) fn keys_from<'a>(&'a self, start: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let first = self.keys.partition_point(|key| key.as_str() < start);
        self.keys[first..].iter().map(String::as_str)
    }

    /// The start of the next batch; `None`: this was the last.
    pub(super) fn next_start(&self) -> Option<String> {
        let last = self.keys.last().filter(|_| !self.is_rest)?;
        Some(format!("{last}\0"))
    }

    /// Whether this has the next key at or after `start`.
    pub(super) fn has_keys_from(&self, start: &str) -> bool {
        let reaches = self.is_rest || self.keys.last().is_some_and(|last| last.as_str() >= start);
        self.start.as_str() <= start && reaches
    }
}

/// A level that is being read.
pub(super) struct Builder {
    level: Level,
    keys: BTreeSet<String>,
    bytes_max: usize,
}

impl Builder {
    fn new(start: &str, made_count: u64, bytes_max: usize) -> Self {
        let level = Level {
            start: start.to_owned(),
            keys: Vec::new(),
            is_rest: true,
            bytes: 0,
            made_count,
            made_at: Instant::now(),
        };
        Self { level, keys: BTreeSet::new(), bytes_max }
    }

    pub(super) fn add(&mut self, name: String) {
        let below = format!("{name}/");
        for key in [name, below] {
            if key >= self.level.start {
                self.level.bytes += weight(&key);
                self.keys.insert(key);
            }
        }
        // The last key stays, whatever its size, so that each batch makes progress.
        while self.level.bytes > self.bytes_max && self.keys.len() > 1 {
            self.level.is_rest = false;
            self.level.bytes -= self.keys.pop_last().as_deref().map_or(0, weight);
        }
    }

    pub(super) fn finish(self) -> Level {
        Level { keys: self.keys.into_iter().collect(), ..self.level }
    }
}

fn weight(key: &str) -> usize {
    key.len() + KEY_BYTES
}

/// Large levels by their prefix.
#[derive(Debug)]
pub(super) struct Levels {
    kept: Mutex<HashMap<String, Arc<Level>>>,
    level_bytes_max: usize,
}

impl Default for Levels {
    fn default() -> Self {
        Self::of_at_most(LEVEL_BYTES_MAX)
    }
}

impl Levels {
    pub(super) fn of_at_most(level_bytes_max: usize) -> Self {
        Self { kept: Mutex::default(), level_bytes_max }
    }

    /// Begins to build a level. Call it before the level is read, with the number of directories created so
    /// far.
    pub(super) fn builder(&self, start: &str, made_count: u64) -> Builder {
        Builder::new(start, made_count, self.level_bytes_max)
    }

    /// The keys of a level from `start` on, if they were read lately and no directory was created since.
    pub(super) fn get(&self, prefix: &str, start: &str, made_count: u64) -> Option<Arc<Level>> {
        let levels = self.kept.lock();
        let level = levels.get(prefix)?;
        let is_fresh = level.made_count == made_count && level.made_at.elapsed() < ENTRY_TTL;
        (is_fresh && level.has_keys_from(start)).then(|| Arc::clone(level))
    }

    pub(super) fn keep(&self, prefix: &str, level: Level) -> Arc<Level> {
        let level = Arc::new(level);
        let mut levels = self.kept.lock();
        levels.retain(|_, kept| kept.made_count == level.made_count && kept.made_at.elapsed() < ENTRY_TTL);
        if level.keys.len() < KEPT_KEY_COUNT_MIN {
            return level;
        }
        levels.insert(prefix.to_owned(), Arc::clone(&level));
        while levels.values().map(|level| level.bytes).sum::<usize>() > KEPT_BYTES_MAX {
            let oldest =
                levels.iter().min_by_key(|(_, level)| level.made_at).map(|(prefix, _)| prefix.clone());
            oldest.and_then(|prefix| levels.remove(&prefix));
        }
        level
    }
}

#[cfg(test)]
mod tests;
