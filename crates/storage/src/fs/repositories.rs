//! Which repositories there are, told by the directories.
//!
//! Names are listed in the order of their bytes, in which `foo-bar` stands between `foo` and `foo/bar`. So
//! each level is walked by its names and, apart from them, by its names with a slash behind.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use oci::Repository;
use rustix::fs::{FileType, Stat};

use super::FsStore;
use super::layout::REPOSITORY_DIRECTORIES;
use crate::error::StoreError;

/// Names of one level kept at once; a level with more is read again for each further batch.
const BATCH_COUNT_MAX: usize = 2048;

impl FsStore {
    pub(super) fn repositories_now(
        &self,
        after: &str,
        count_max: usize,
    ) -> Result<Vec<Repository>, StoreError> {
        if self.root().disk().stat(&self.root().layout().repositories())?.is_none() {
            self.root().ensure_present()?;
        }
        let mut found = Vec::new();
        if count_max > 0 {
            // It is full or complete; either way, this is the page.
            let _ = self.walk("", after, count_max, &mut found)?;
        }
        Ok(found)
    }

    /// Adds the repositories whose names begin with `prefix`, which is empty or ends in a slash. Breaks off
    /// when the page is full.
    fn walk(
        &self,
        prefix: &str,
        after: &str,
        count_max: usize,
        found: &mut Vec<Repository>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let mut last = None;
        loop {
            let keys = self.next_keys(prefix, after, last.as_deref())?;
            let is_last_batch = keys.len() < BATCH_COUNT_MAX;
            for key in &keys {
                let flow = if key.ends_with('/') {
                    self.walk(key, after, count_max, found)?
                } else {
                    self.visit(key, count_max, found)?
                };
                if flow.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if is_last_batch {
                return Ok(ControlFlow::Continue(()));
            }
            last = keys.into_iter().next_back();
        }
    }

    fn visit(
        &self,
        name: &str,
        count_max: usize,
        found: &mut Vec<Repository>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let directory = self.root().layout().repositories().join(name);
        let disk = self.root().disk();
        let is_directory = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if disk.stat(&directory)?.as_ref().is_some_and(is_directory) {
            for inner in REPOSITORY_DIRECTORIES {
                if disk.stat(&directory.join(inner))?.as_ref().is_some_and(is_directory) {
                    found.extend(name.parse::<Repository>());
                    break;
                }
            }
        }
        Ok(if found.len() < count_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    /// The smallest keys of a level that can lead to anything behind `after`: `name` for a repository of that
    /// name, `name/` for those below it.
    fn next_keys(
        &self,
        prefix: &str,
        after: &str,
        last: Option<&str>,
    ) -> Result<BTreeSet<String>, StoreError> {
        let mut keys = BTreeSet::new();
        // With its slash, a link would be followed.
        let directory = self.root().layout().repositories().join(prefix.trim_end_matches('/'));
        self.root().disk().list(&directory, &mut |component| {
            let Some(name) = component.to_str().map(|component| format!("{prefix}{component}")) else {
                return ControlFlow::Continue(());
            };
            // What is no repository's name, such as `_tags`, cannot begin one either.
            if name.parse::<Repository>().is_ok() {
                let below = format!("{name}/");
                let is_wanted = |key: &String| {
                    let leads_on = key.as_str() > after || (key.ends_with('/') && after.starts_with(key));
                    leads_on && last.is_none_or(|last| key.as_str() > last)
                };
                keys.extend([name, below].into_iter().filter(is_wanted));
                while keys.len() > BATCH_COUNT_MAX {
                    keys.pop_last();
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(keys)
    }
}

#[cfg(test)]
mod tests;
