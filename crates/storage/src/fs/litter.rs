//! Removes what an operator has cleared away: partial files that nothing uses, and quarantined files.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::layout::is_name_of_quarantined;
use super::store::FsStore;
use crate::error::StoreError;
use crate::usage::Held;

/// Names in memory while a directory is read.
const BATCH_COUNT: usize = 1024;

impl FsStore {
    pub(super) fn remove_partial_blocking(
        &self,
        unused_for: Duration,
        is_dry_run: bool,
    ) -> Result<Held, StoreError> {
        let directory = self.root().layout().partials();
        self.each_name(&directory, |name| self.sweep_partial(&directory.join(name), unused_for, is_dry_run))
    }

    pub(super) fn remove_quarantined_blocking(&self, is_dry_run: bool) -> Result<Held, StoreError> {
        let directory = self.root().layout().quarantine();
        self.each_name(&directory, |name| {
            // Other files there are not the store's.
            if !is_name_of_quarantined(name) {
                return Ok(None);
            }
            let path = directory.join(name);
            let len = self.root().len_of(&path)?;
            if len.is_some() && !is_dry_run {
                self.root().unlink(&path)?;
            }
            Ok(len)
        })
    }

    pub(super) fn remove_oldest_quarantined_blocking(
        &self,
        wanted: u64,
        kept_count: usize,
    ) -> Result<Held, StoreError> {
        let directory = self.root().layout().quarantine();
        let names = self.root().quarantined(&directory)?;
        let mut removed = Held::default();
        for name in &names[..names.len().saturating_sub(kept_count)] {
            if removed.bytes >= wanted {
                break;
            }
            let path = directory.join(name);
            if let Some(len) = self.root().len_of(&path)? {
                self.root().unlink(&path)?;
                removed.bytes += len;
                removed.count += 1;
            }
        }
        Ok(removed)
    }

    /// Sums up the lengths that `remove` returns for the names in a directory.
    fn each_name(
        &self,
        directory: &Path,
        mut remove: impl FnMut(&OsString) -> Result<Option<u64>, StoreError>,
    ) -> Result<Held, StoreError> {
        let mut removed = Held::default();
        let mut names = self.root().disk().names(directory)?;
        loop {
            let batch = names.next(BATCH_COUNT)?;
            for name in &batch {
                if let Some(len) = remove(name)? {
                    removed.bytes += len;
                    removed.count += 1;
                }
            }
            if batch.len() < BATCH_COUNT {
                return Ok(removed);
            }
        }
    }
}
