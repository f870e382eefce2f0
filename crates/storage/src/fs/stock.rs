//! Counts the content of a store: once after the start, and then a share of the directories in each sweep.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::counted::Counted;
use super::jobs::Sort;
use super::store::FsStore;
use crate::error::StoreError;
use crate::maintain::Maintain;
use crate::space::Space;
use crate::usage::{Held, Usage};

/// A counting job ends with the directory in which it reaches this number of files, so that other long jobs
/// get a turn.
const FILE_COUNT_PER_TURN: u64 = 4096;

/// Every directory is counted again within this number of sweeps, a day, to notice changes by other programs.
const SWEEPS_PER_STOCK: usize = 24;

/// The directories that exist, so that a count need not open the absent ones one by one.
pub(super) struct Survey {
    /// How many directories had been created before the listing.
    made_count: u64,
    /// The directories that exist; `None`: they could not be listed.
    present: Option<HashSet<Counted>>,
}

#[async_trait]
impl Maintain for FsStore {
    async fn take_stock(&self) {
        self.count_from(0, Counted::COUNT).await;
    }

    async fn sweep(&self) {
        let swept = self.run(Sort::Long, Self::sweep_partials).await;
        self.root().swallow(swept);
        let share = Counted::COUNT.div_ceil(SWEEPS_PER_STOCK);
        let first = self.counted_again().fetch_add(share, Ordering::Relaxed) % Counted::COUNT;
        self.count_from(first, (first + share).min(Counted::COUNT)).await;
    }

    async fn remove_partial(&self, unused_for: Duration, is_dry_run: bool) -> Result<Held, StoreError> {
        self.run(Sort::Long, move |store| store.remove_partial_blocking(unused_for, is_dry_run)).await
    }

    async fn remove_oldest_quarantined(&self, wanted: u64, kept_count: usize) -> Result<Held, StoreError> {
        let remove = move |store: &FsStore| store.remove_oldest_quarantined_blocking(wanted, kept_count);
        self.run(Sort::Long, remove).await
    }

    async fn remove_quarantined(&self, is_dry_run: bool) -> Result<Held, StoreError> {
        self.run(Sort::Long, move |store| store.remove_quarantined_blocking(is_dry_run)).await
    }

    fn set_bounds(&self, kept_open_count_max: u64, collected_bytes_max: u64, unstored_count_max: usize) {
        self.keep_open_at_most(kept_open_count_max);
        self.collecting().set_bytes_max(collected_bytes_max);
        self.collecting().set_unstored_count_max(unstored_count_max);
    }

    fn usage(&self) -> Usage {
        self.root().meter().usage()
    }

    async fn space(&self) -> Result<Option<Space>, StoreError> {
        if self.root().is_absent() {
            return Ok(None);
        }
        self.run(Sort::Read, |store| store.space_blocking().map(Some)).await
    }
}

impl FsStore {
    /// The file system is asked through the marker: an empty mount point is another one's.
    fn space_blocking(&self) -> Result<Space, StoreError> {
        let space = self.root().disk().space(&self.root().layout().version()).or_else(|error| {
            self.root().ensure_present()?;
            Err(error)
        })?;
        let is_pooled = self.partial_files().access.can.is_pooled;
        Ok(Space { file_system: space.file_system.filter(|_| !is_pooled), ..space })
    }

    /// Counts the directories with numbers from `next` to `end`.
    async fn count_from(&self, mut next: usize, end: usize) {
        while next < end {
            match self.run(Sort::Long, move |store| Ok(store.count_turn(&store.survey(), next, end))).await {
                Ok(then) => next = then,
                // The runtime is shutting down.
                Err(_) => return,
            }
        }
    }

    /// Counts the next directories. Returns the number of the one after them.
    pub(super) fn count_turn(&self, survey: &Survey, first: usize, end: usize) -> usize {
        let mut seen_count = 0;
        for directory in Counted::from(first).take_while(|directory| directory.number() < end) {
            let mut locked = self.root().meter().lock(directory);
            // A directory is created before its lock is taken for its first file, so `made_count` shows a new
            // one.
            let is_absent = survey.present.as_ref().is_some_and(|present| !present.contains(&directory))
                && survey.made_count == self.root().made_count();
            let counted = if is_absent { Ok(Held::default()) } else { self.count(directory) };
            match counted {
                Ok(held) => {
                    locked.set(held);
                    seen_count += held.count;
                }
                // The old figure stays until the next count.
                failed => self.root().swallow(failed.map(drop)),
            }
            if seen_count >= FILE_COUNT_PER_TURN {
                return directory.number() + 1;
            }
        }
        end
    }

    pub(super) fn survey(&self) -> Survey {
        let made_count = self.root().made_count();
        let present = Counted::present(self.root().layout(), |parent, show| {
            self.root().disk().list(parent, &mut |name| {
                name.to_str().into_iter().for_each(&mut *show);
                ControlFlow::Continue(())
            })
        });
        let present = present.map_err(|error| self.root().swallow(Err(error))).ok();
        Survey { made_count, present }
    }

    /// Counts a directory that the caller has locked. Writers to it wait meanwhile; readers do not.
    fn count(&self, directory: Counted) -> Result<Held, StoreError> {
        let path = directory.path(self.root().layout());
        let mut counting = Ok(Held::default());
        self.root().disk().list(&path, &mut |name| {
            if name.to_str().is_some_and(|name| directory.takes(name))
                && let Ok(held) = &mut counting
            {
                match self.root().len_of(&path.join(name)) {
                    Ok(len) => {
                        held.bytes += len.unwrap_or(0);
                        held.count += u64::from(len.is_some());
                    }
                    Err(error) => counting = Err(error),
                }
            }
            if counting.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        counting
    }
}
