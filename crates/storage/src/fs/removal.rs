//! How manifests and repositories are removed, and how removals become durable.
//!
//! Nothing else removes directories of repositories. Meanwhile no file can get a name in any of them
//! (`Root::close_repositories`), so grants and lists are only moved to `tmp` then, and removed afterwards.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use oci::{Digest, Repository};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::layout::ALGORITHMS;
use super::store::FsStore;
use crate::error::StoreError;
use crate::usage::Held;

/// Directories inside each other that are removed as a whole: those of grants are two.
const TREE_DEPTH_MAX: usize = 4;

/// Names in memory while a directory is emptied.
const BATCH_COUNT: usize = 1024;

/// Repositories whose directories one job syncs. The file system syncs more of them as a whole, if it can:
/// each directory by itself costs a write to its journal.
pub(super) const SYNC_COUNT: usize = 64;

/// The directories of a repository that were moved to `tmp`.
#[derive(Debug, Default)]
struct Moved {
    links: Option<PathBuf>,
    lists: Option<PathBuf>,
}

impl FsStore {
    /// The repositories that share the bytes have an entry each in the cache.
    pub(super) fn remove_manifest_bytes_blocking(&self, digest: &Digest) -> Result<u64, StoreError> {
        let path = self.root().layout().manifest(digest);
        self.manifest_cache().change_shared(|(_, of)| of == digest, || self.root().remove(&path))
    }

    /// Makes everything on the file system durable with one sync. False: it cannot do that.
    pub(super) fn sync_all_removals_blocking(&self) -> Result<bool, StoreError> {
        let (root, path) = (self.root(), self.root().layout().root());
        if !self.partial_files().access.can.syncs_together {
            return Ok(false);
        }
        root.ensure_present()?;
        root.disk().sync_whole(&root.disk().open_directory(path)?, path)
    }

    /// Syncs each directory once.
    pub(super) fn sync_removals_blocking(&self, repositories: &[Repository]) -> Result<(), StoreError> {
        let mut synced = HashSet::new();
        repositories
            .iter()
            .flat_map(|repository| self.record_directories(repository))
            .try_for_each(|directory| self.sync_nearest(&directory, &mut synced))
    }

    /// Syncs a directory. If that is gone, its removal is durable once the directory above it is synced.
    fn sync_nearest(&self, directory: &Path, synced: &mut HashSet<PathBuf>) -> Result<(), StoreError> {
        let repositories = self.root().layout().repositories();
        for nearest in directory.ancestors().take_while(|above| above.starts_with(&repositories)) {
            if synced.contains(nearest) {
                return Ok(());
            }
            match self.root().disk().sync_directory(nearest) {
                Err(error) if error.is_absence() => {}
                done => {
                    synced.insert(nearest.to_owned());
                    return done;
                }
            }
        }
        self.root().ensure_present()
    }

    /// Returns the lists that went; `None`: the repository has a manifest or a tag.
    pub(super) fn remove_repository_blocking(
        &self,
        repository: &Repository,
    ) -> Result<Option<Held>, StoreError> {
        let mut moved = Moved::default();
        let is_removed = self.take_down(repository, &mut moved);
        let mut lists = Held::default();
        if let Some(path) = &moved.lists {
            match self.measure_lists(path) {
                Ok(measured) => lists = measured.held,
                Err(error) => self.root().swallow(Err(error)),
            }
        }
        for path in moved.links.iter().chain(&moved.lists) {
            // If this fails, the next start empties `tmp`.
            self.root().swallow(self.remove_tree(path));
        }
        Ok(is_removed?.then_some(lists))
    }

    /// Removes the directories of a repository without manifests and tags. Grants and lists are moved to
    /// `moved`. False: it has a manifest or a tag, and stays.
    fn take_down(&self, repository: &Repository, moved: &mut Moved) -> Result<bool, StoreError> {
        let (root, layout) = (self.root(), self.root().layout());
        let _closed = root.close_repositories();
        let records = self.record_directories(repository);
        for directory in &records {
            if self.has_names(directory)? {
                return Ok(false);
            }
        }
        moved.links = root.move_out(&layout.all_links(repository))?;
        moved.lists = root.move_out(&layout.lists(repository))?;
        for directory in records.iter().chain([&layout.all_manifest_records(repository)]) {
            root.remove_directory(directory)?;
        }
        let repositories = layout.repositories();
        for directory in layout.repository(repository).ancestors().take_while(|above| *above != repositories)
        {
            if !root.remove_directory(directory)? {
                break;
            }
        }
        Ok(true)
    }

    /// The directories of the records that name a repository's images.
    fn record_directories(&self, repository: &Repository) -> Vec<PathBuf> {
        let layout = self.root().layout();
        let manifests = ALGORITHMS.map(|algorithm| layout.manifest_records(repository, algorithm));
        [layout.tags(repository)].into_iter().chain(manifests).collect()
    }

    /// Removes a file, or a directory with everything in it; fine when it is gone already.
    pub(super) fn remove_tree(&self, path: &Path) -> Result<(), StoreError> {
        self.remove_to_depth(path, TREE_DEPTH_MAX)
    }

    fn remove_to_depth(&self, path: &Path, depth: usize) -> Result<(), StoreError> {
        let disk = self.root().disk();
        let Some(stat) = disk.stat(path)? else { return Ok(()) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return disk.unlink(path);
        }
        if let Some(depth) = depth.checked_sub(1) {
            self.empty_directory(path, depth)?;
        }
        if disk.remove_directory(path)? {
            return Ok(());
        }
        Err(StoreError::os("rmdir", path, Errno::NOTEMPTY))
    }

    fn empty_directory(&self, path: &Path, depth: usize) -> Result<(), StoreError> {
        loop {
            // Opened anew for each batch: not every file system lists all names of a directory that changes.
            let names = self.root().disk().names(path)?.next(BATCH_COUNT)?;
            if names.is_empty() {
                return Ok(());
            }
            names.iter().try_for_each(|name| self.remove_to_depth(&path.join(name), depth))?;
        }
    }
}
