//! The stored lists of tags and referrers by repository, and the order in which loose ones go: those of a
//! repository without an image.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use oci::Repository;
use storage::Held;
use tokio::sync::{Mutex, MutexGuard};

use crate::clock::Seconds;

/// Repositories without an image whose lists are stored. Clients choose the repositories, so this bounds the
/// memory and the files that they can take.
pub(crate) const LOOSE_COUNT_MAX: usize = 16_384;

/// Repositories whose lists can be written at the same time.
const TURN_COUNT: usize = 64;

/// The turns of writers: one task at a time writes and measures the lists of a repository, or removes them.
#[derive(Debug)]
pub(crate) struct Turns([Mutex<()>; TURN_COUNT]);

/// The turn of one writer.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _guard: MutexGuard<'a, ()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    /// Waits until no other task writes lists of the repository.
    pub(crate) async fn take(&self, repository: &Repository) -> Turn<'_> {
        let mut hasher = DefaultHasher::new();
        repository.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % TURN_COUNT as u64).expect("it is less than 64");
        Turn { _guard: self.0[at].lock().await }
    }
}

/// The lists of a store.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    entries: HashMap<Repository, Entry>,
    /// The repositories with loose lists, by last use.
    order: BTreeSet<(Seconds, Repository)>,
    loose: Held,
    /// The lists of repositories with an image, which go when that goes.
    bound: Held,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    held: Held,
    used: Seconds,
    is_loose: bool,
}

impl Lists {
    /// The lists of a repository take `held` from now on, and were used at `used`.
    pub(crate) fn set(&mut self, repository: &Repository, held: Held, used: Seconds, is_loose: bool) {
        let before = self.take(repository).map_or(0, |entry| entry.used);
        if held.count > 0 {
            self.put(repository, Entry { held, used: used.max(before), is_loose });
        }
    }

    /// The lists of a repository are gone.
    pub(crate) fn remove(&mut self, repository: &Repository) {
        self.take(repository);
    }

    /// A list of the repository was used.
    pub(crate) fn touch(&mut self, repository: &Repository, now: Seconds) {
        self.change(repository, |entry| entry.used = entry.used.max(now));
    }

    /// Notes whether the repository has no image.
    pub(crate) fn place(&mut self, repository: &Repository, is_loose: bool) {
        if self.entries.get(repository).is_some_and(|entry| entry.is_loose != is_loose) {
            self.change(repository, |entry| entry.is_loose = is_loose);
        }
    }

    /// What the lists of a repository take, as far as it is known.
    pub(crate) fn of(&self, repository: &Repository) -> Held {
        self.entries.get(repository).map(|entry| entry.held).unwrap_or_default()
    }

    /// The repository whose loose lists were used least recently, if that was at `until` at the latest.
    pub(crate) fn oldest(&self, until: Seconds) -> Option<Repository> {
        self.order.first().filter(|(used, _)| *used <= until).map(|(_, repository)| repository.clone())
    }

    /// What the loose lists take.
    pub(crate) fn loose(&self) -> Held {
        self.loose
    }

    /// What the lists of repositories with an image take.
    pub(crate) fn bound(&self) -> Held {
        self.bound
    }

    /// What the loose lists take that were used at `until` at the latest.
    pub(crate) fn loose_until(&self, until: Seconds) -> Held {
        let old = self.order.iter().take_while(|(used, _)| *used <= until);
        old.fold(Held::default(), |sum, (_, repository)| plus(sum, self.of(repository)))
    }

    /// The number of repositories with loose lists.
    pub(crate) fn loose_count(&self) -> usize {
        self.order.len()
    }

    /// The memory that they take, in bytes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        let names: usize = self.entries.keys().map(|name| name.as_str().len() + 16).sum();
        // A map has a control byte for each place, and a tree is two thirds full.
        let map = self.entries.capacity() * (size_of::<(Repository, Entry)>() + 1);
        names + map + self.order.len() * size_of::<(Seconds, Repository)>() * 3 / 2
    }

    fn change(&mut self, repository: &Repository, change: impl FnOnce(&mut Entry)) {
        if let Some(mut entry) = self.take(repository) {
            change(&mut entry);
            self.put(repository, entry);
        }
    }

    fn take(&mut self, repository: &Repository) -> Option<Entry> {
        let entry = self.entries.remove(repository)?;
        if entry.is_loose {
            self.order.remove(&(entry.used, repository.clone()));
            self.loose = minus(self.loose, entry.held);
        } else {
            self.bound = minus(self.bound, entry.held);
        }
        Some(entry)
    }

    fn put(&mut self, repository: &Repository, entry: Entry) {
        if entry.is_loose {
            self.order.insert((entry.used, repository.clone()));
            self.loose = plus(self.loose, entry.held);
        } else {
            self.bound = plus(self.bound, entry.held);
        }
        self.entries.insert(repository.clone(), entry);
    }
}

fn plus(one: Held, other: Held) -> Held {
    Held { bytes: one.bytes.saturating_add(other.bytes), count: one.count + other.count }
}

fn minus(one: Held, other: Held) -> Held {
    Held { bytes: one.bytes.saturating_sub(other.bytes), count: one.count.saturating_sub(other.count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_lists_stand_in_the_order_of_their_uses() {
        let name = |name: &str| name.parse::<Repository>().unwrap();
        let held = |bytes| Held { bytes, count: 1 };
        let mut lists = Lists::default();
        lists.set(&name("a"), held(10), 1, true);
        lists.set(&name("b"), held(20), 2, true);
        lists.set(&name("c"), held(40), 3, false);
        assert_eq!((lists.loose(), lists.bound()), (Held { bytes: 30, count: 2 }, held(40)));
        assert_eq!((lists.oldest(0), lists.oldest(9)), (None, Some(name("a"))));
        lists.touch(&name("a"), 4);
        assert_eq!((lists.oldest(9), lists.loose_until(3)), (Some(name("b")), held(20)));
        lists.set(&name("b"), held(25), 1, true);
        assert_eq!(lists.loose_until(2), held(25), "its last use is not forgotten");
        lists.place(&name("b"), false);
        lists.place(&name("c"), true);
        assert_eq!((lists.oldest(9), lists.bound()), (Some(name("c")), held(25)));
        lists.set(&name("c"), Held::default(), 5, true);
        lists.remove(&name("a"));
        assert_eq!((lists.loose(), lists.loose_count(), lists.oldest(9)), (Held::default(), 0, None));
        assert_eq!(lists.of(&name("b")), held(25));
    }
}
