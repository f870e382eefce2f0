//! A store in a directory, and its parts.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use budget::Budget;
use oci::{Digest, Repository, Tag};
use policy::freshness::TagRecord;

use super::collected::Collecting;
use super::commits::Commits;
use super::file_cache::{CONTENT_BYTES_MAX, ENTRY_TTL, FileCache};
use super::jobs::{Jobs, Sort};
use super::levels::Levels;
use super::partial_files::PartialFiles;
use super::root::Root;
use super::slots::Slots;
use crate::content::OpenBlob;
use crate::error::StoreError;
use crate::record_store::StoredManifest;

/// Memory of one store's manifests, in bytes: half of it for the cache, the rest for others that are being
/// sent. Beyond it they are sent as files.
pub(super) const MANIFEST_BYTES_MAX: u64 = 2 * CONTENT_BYTES_MAX;

/// A store in a directory that it uses exclusively until it and its spools are dropped. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FsStore(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    partial_files: Arc<PartialFiles>,
    slots: Slots,
    collecting: Arc<Collecting>,
    commits: Commits,
    /// Small blobs, open.
    blobs: Arc<FileCache<Digest, OpenBlob>>,
    manifests: FileCache<(Repository, Digest), StoredManifest>,
    /// The memory of manifests: of those in the cache, and of those that have left it and are still sent.
    manifest_bytes: Budget,
    tags: FileCache<(Repository, Tag), TagRecord>,
    /// Held while repositories are listed.
    listing: Arc<tokio::sync::Mutex<()>>,
    levels: Levels,
    /// Where the next sweep continues to count.
    counted_again: AtomicUsize,
}

impl FsStore {
    /// The store of an open root, which keeps `kept_open_count_max` small blobs open.
    pub(super) fn new(
        partial_files: Arc<PartialFiles>,
        collecting: Collecting,
        kept_open_count_max: u64,
    ) -> Self {
        let blobs = Arc::new(FileCache::new(kept_open_count_max, ENTRY_TTL));
        Self(Arc::new(Parts {
            commits: Commits::new(Arc::clone(&partial_files), Arc::clone(&blobs)),
            partial_files,
            slots: Slots::default(),
            collecting: Arc::new(collecting),
            blobs,
            manifests: FileCache::new(CONTENT_BYTES_MAX, ENTRY_TTL),
            manifest_bytes: Budget::new(MANIFEST_BYTES_MAX),
            tags: FileCache::new(CONTENT_BYTES_MAX, ENTRY_TTL),
            listing: Arc::default(),
            levels: Levels::default(),
            counted_again: AtomicUsize::new(0),
        }))
    }

    /// Runs a job off the runtime's threads, to its end even when the caller drops the future.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        sort: Sort,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        self.jobs().run(sort, move || work(&store)).await
    }

    pub(super) fn root(&self) -> &Root {
        &self.0.partial_files.root
    }

    pub(super) fn jobs(&self) -> &Jobs {
        self.0.partial_files.jobs()
    }

    pub(super) fn partial_files(&self) -> &Arc<PartialFiles> {
        &self.0.partial_files
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.0.slots
    }

    /// Changes how many small blobs may stay open.
    pub(super) fn keep_open_at_most(&self, count_max: u64) {
        self.0.blobs.resize(count_max);
    }

    pub(super) fn collecting(&self) -> &Arc<Collecting> {
        &self.0.collecting
    }

    pub(super) fn commits(&self) -> &Commits {
        &self.0.commits
    }

    /// Small blobs, open.
    pub(super) fn blobs(&self) -> &FileCache<Digest, OpenBlob> {
        &self.0.blobs
    }

    pub(super) fn manifest_cache(&self) -> &FileCache<(Repository, Digest), StoredManifest> {
        &self.0.manifests
    }

    /// The memory of manifests: of those in the cache, and of those that have left it and are still sent.
    pub(super) fn manifest_bytes(&self) -> &Budget {
        &self.0.manifest_bytes
    }

    pub(super) fn tag_cache(&self) -> &FileCache<(Repository, Tag), TagRecord> {
        &self.0.tags
    }

    /// Held while repositories are listed.
    pub(super) fn listing(&self) -> &Arc<tokio::sync::Mutex<()>> {
        &self.0.listing
    }

    pub(super) fn levels(&self) -> &Levels {
        &self.0.levels
    }

    /// The number of the directory at which the next sweep continues to count, plus any multiple of the
    /// number of directories.
    pub(super) fn counted_again(&self) -> &AtomicUsize {
        &self.0.counted_again
    }
}

#[cfg(test)]
impl FsStore {
    /// Replaces the levels, while there are no clones.
    pub(super) fn set_levels(&mut self, levels: Levels) {
        Arc::get_mut(&mut self.0).expect("there is no other clone").levels = levels;
    }
}
