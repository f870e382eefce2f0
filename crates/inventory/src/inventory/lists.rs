//! Reports of stored lists of tags and referrers, and the removal of loose ones.

use oci::Repository;
use storage::{Held, StoreError};

use super::Inventory;
use crate::clock::Seconds;
use crate::lists::{LOOSE_COUNT_MAX, Turn};

/// Repositories with loose lists beyond the bound until the keeper has removed others.
const SURPLUS_COUNT_MAX: usize = 1024;

/// After so many failures in one run, the disk is the problem and not a file.
const FAILURE_COUNT_MAX: usize = 8;

/// The right to write or remove the lists of one repository.
#[derive(Debug)]
pub struct Listing<'a> {
    repository: Repository,
    _turn: Turn<'a>,
}

/// The lists that a run removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unlisted {
    pub(crate) held: Held,
    pub(crate) failure_count: usize,
}

impl Inventory {
    /// The right to write or remove lists of a repository. To be taken before the call of the store, and to
    /// be given back with the report of what the repository's lists take after it.
    pub async fn listing(&self, repository: &Repository) -> Listing<'_> {
        Listing { repository: repository.clone(), _turn: self.model.list_turns.take(repository).await }
    }

    /// A list was stored or removed: the lists of its repository take `held` from now on. Without an image in
    /// the repository, they go before images do.
    pub fn listed(&self, listing: Listing<'_>, held: Held) {
        self.model.set_lists(&listing.repository, held, self.clock.now());
        drop(listing);
        self.wake_keepers();
    }

    /// Whether a list of `size` bytes can be stored. While too many repositories have loose lists, it cannot:
    /// the keeper removes some.
    pub fn fits_list(&self, size: u64) -> bool {
        self.model.lists.lock().loose_count() < LOOSE_COUNT_MAX + SURPLUS_COUNT_MAX && self.fits(size)
    }

    /// A client got a list of this repository. Writes nothing.
    pub fn list_used(&self, repository: &Repository) {
        self.model.lists.lock().touch(repository, self.clock.now());
    }

    /// All lists of the store, as far as they are known.
    pub fn lists(&self) -> Held {
        let lists = self.model.lists.lock();
        let (loose, bound) = (lists.loose(), lists.bound());
        Held { bytes: loose.bytes.saturating_add(bound.bytes), count: loose.count + bound.count }
    }

    /// Learns what lists a repository has, on the walk.
    pub(crate) async fn find_lists(&self, repository: &Repository) -> Result<(), StoreError> {
        let _turn = self.model.list_turns.take(repository).await;
        let lists = self.store.lists(repository).await?;
        let used = lists.stored_at.map_or(0, |stored_at| self.clock.of_file(stored_at));
        self.model.set_lists(repository, lists.held, used);
        Ok(())
    }

    /// Removes the grants, lists and directories of a repository without an image. Returns the lists that
    /// went.
    pub(crate) async fn remove_repository(&self, repository: &Repository) -> Result<Held, StoreError> {
        let _turn = self.model.list_turns.take(repository).await;
        let removed = self.store.remove_repository(repository).await;
        let mut lists = self.model.lists.lock();
        match &removed {
            Ok(Some(_)) => lists.remove(repository),
            // It has an image that is not known yet, or an unreadable record: its lists stay as long.
            Ok(None) => lists.place(repository, false),
            Err(_) => lists.place(repository, true),
        }
        Ok(removed?.unwrap_or_default())
    }

    /// Removes loose lists, the least recently used ones first and none with a last use after `until`, until
    /// `wanted` bytes are free. They may have been used a moment ago: a list is no part of a pull.
    pub(crate) async fn remove_loose_lists(&self, wanted: u64, until: Seconds) -> Unlisted {
        let mut removed = Unlisted::default();
        while removed.held.bytes < wanted {
            let Some(repository) = self.model.lists.lock().oldest(until) else { break };
            self.remove_lists_of(&repository, &mut removed).await;
            if removed.failure_count >= FAILURE_COUNT_MAX {
                break;
            }
        }
        removed
    }

    /// Removes the least recently used loose lists while too many repositories have some.
    pub(crate) async fn bound_loose_lists(&self) {
        let mut removed = Unlisted::default();
        while removed.failure_count < FAILURE_COUNT_MAX {
            let oldest = {
                let lists = self.model.lists.lock();
                (lists.loose_count() > LOOSE_COUNT_MAX).then(|| lists.oldest(Seconds::MAX)).flatten()
            };
            let Some(repository) = oldest else { return };
            self.remove_lists_of(&repository, &mut removed).await;
        }
    }

    async fn remove_lists_of(&self, repository: &Repository, removed: &mut Unlisted) {
        match self.remove_repository(repository).await {
            Ok(lists) => {
                removed.held.bytes = removed.held.bytes.saturating_add(lists.bytes);
                removed.held.count += lists.count;
            }
            Err(error) => {
                self.failed(&error.into(), "the lists of a repository without an image cannot be removed");
                removed.failure_count += 1;
                // Others come first next time.
                self.list_used(repository);
            }
        }
    }
}
