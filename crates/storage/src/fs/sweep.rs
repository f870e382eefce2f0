//! Removes files that earlier processes or broken transfers left behind.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;
use tracing::warn;

use super::disk::regular_len;
use super::layout::parse_partial_name;
use super::leftovers::LEFTOVER_COUNT_MAX;
use super::store::FsStore;
use crate::error::StoreError;

/// How long an untouched partial file is kept to be resumed.
const PARTIAL_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Names read in one directory and sweep, so that a directory full of garbage delays nothing; the next sweep
/// continues.
const NAME_COUNT_MAX: usize = LEFTOVER_COUNT_MAX;

impl FsStore {
    /// Counts at the start, before the store is used, what earlier processes left, and sweeps before if
    /// `is_swept`.
    pub(super) fn look_at_start(&self, is_swept: bool) {
        if is_swept {
            self.root().swallow(self.empty_temporary());
            self.root().swallow(self.sweep_partials());
        }
        self.root().swallow(self.count_leftovers());
    }

    /// Learns which partial files earlier processes left, and counts them. The store is not used yet, so each
    /// file is counted once, without a record of which were.
    fn count_leftovers(&self) -> Result<(), StoreError> {
        let directory = self.root().layout().partials();
        let names = self.names_in(&directory)?;
        let mut digests = HashSet::new();
        for name in &names {
            let Some(digest) = name.to_str().and_then(parse_partial_name) else { continue };
            let path = directory.join(name);
            if path == self.root().layout().partial(&digest)
                && let Some(len) = self.root().len_of(&path)?
            {
                self.root().meter().partial_added(len);
            }
            digests.insert(digest);
        }
        if names.len() < NAME_COUNT_MAX {
            self.partial_files().left.set(digests);
        } else {
            warn!(
                directory = %directory.display(),
                count = names.len(),
                "too many files of unfinished blobs; only these are counted"
            );
        }
        self.root().meter().leftovers_are_counted();
        Ok(())
    }

    fn empty_temporary(&self) -> Result<(), StoreError> {
        let directory = self.root().layout().temporary();
        for name in self.names_in(&directory)? {
            self.root().swallow(self.remove_tree(&directory.join(name)));
        }
        Ok(())
    }

    /// Removes partial files that were not changed for a day.
    pub(super) fn sweep_partials(&self) -> Result<(), StoreError> {
        let directory = self.root().layout().partials();
        for name in self.names_in(&directory)? {
            self.sweep_partial(&directory.join(name), PARTIAL_AGE_MAX, false)?;
        }
        Ok(())
    }

    /// Removes a file in the directory of partial files, or only looks at it, if nothing uses it and it was
    /// not changed for `age`. Returns the length of a partial file that goes; `None`: it stays, or is a note
    /// about one.
    pub(super) fn sweep_partial(
        &self,
        path: &Path,
        age: Duration,
        is_dry_run: bool,
    ) -> Result<Option<u64>, StoreError> {
        let name = path.file_name().and_then(OsStr::to_str);
        let Some(digest) = name.and_then(parse_partial_name) else { return Ok(None) };
        let slot = self.slots().of(&digest);
        let slot = slot.lock();
        let stat = self.root().disk().stat(path)?.filter(|stat| is_older(stat, SystemTime::now(), age));
        let Some(stat) = stat.filter(|_| !slot.is_live()) else { return Ok(None) };
        let sidecar = self.root().layout().sidecar(&digest);
        let len = regular_len(&stat).filter(|_| path != sidecar);
        if is_dry_run {
            return Ok(len);
        }
        // The sidecar is removed first: without one, no bytes are trusted.
        self.root().swallow(self.root().unlink(&sidecar));
        if path == sidecar {
            return Ok(None);
        }
        match (self.root().unlink(path), len) {
            (Ok(()), Some(len)) => {
                self.root().meter().partial_removed(len);
                Ok(Some(len))
            }
            (removed, _) => {
                self.root().swallow(removed);
                Ok(None)
            }
        }
    }

    fn names_in(&self, directory: &Path) -> Result<Vec<OsString>, StoreError> {
        let mut names = Vec::new();
        self.root().disk().list(directory, &mut |name| {
            names.push(name.to_owned());
            if names.len() < NAME_COUNT_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(names)
    }
}

/// A time that is as far in the future counts as old too: the clock was wrong.
fn is_older(stat: &Stat, now: SystemTime, limit: Duration) -> bool {
    let modified = UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    let age = match now.duration_since(modified) {
        Ok(age) => age,
        Err(ahead) => ahead.duration(),
    };
    age > limit
}
