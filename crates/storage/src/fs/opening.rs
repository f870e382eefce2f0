//! Opens a store.

use std::path::Path;
use std::sync::Arc;

use budget::Budget;
use telemetry::RegistryMetrics;

use super::buffer_pool::BufferPool;
use super::capabilities::Capabilities;
use super::collected::Collecting;
use super::disk::Disk;
use super::fault::Faults;
use super::file_source::FileAccess;
use super::jobs::Jobs;
use super::layout::Layout;
use super::leftovers::Leftovers;
use super::open_root;
use super::partial_files::PartialFiles;
use super::store::FsStore;
use crate::error::StoreError;

/// The kernel's name for this start of the machine.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The resources that one store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many blobs of up to 64 KiB stay open between two requests. Each takes a file descriptor.
    pub kept_open_count_max: u64,
    /// Bytes in memory of incomplete small blobs; 0: they are written to files at once.
    pub collected_bytes_max: u64,
    /// How many small blobs may be complete and not yet durable under their names. Each takes a file
    /// descriptor. Further ones wait, so the disk sets the pace.
    pub unstored_count_max: usize,
    /// Whether opening removes files in `tmp`, and partial files that were not changed for a day.
    pub is_swept: bool,
    /// Whether opening makes a store where there is none. Otherwise it opens an empty one there, which
    /// nothing can be written to, and leaves the disk alone.
    pub is_made: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kept_open_count_max: 64,
            collected_bytes_max: 16 << 20,
            unstored_count_max: 1024,
            is_swept: true,
            is_made: true,
        }
    }
}

/// Tells whether there may be a store at `root`: false only if its marker is certainly absent. Opening a root
/// that cannot be looked at says why.
pub fn may_be_store(root: &Path) -> bool {
    !matches!(Layout::new(root).version().try_exists(), Ok(false))
}

/// Opens the store at `root`, creating it if there is none or an empty directory.
///
/// Takes the same few system calls whatever is stored. Removes files in `tmp`, and partial files that were
/// not changed for a day.
///
/// # Errors
/// [`Locked`](crate::StoreErrorKind::Locked) when another process uses the root,
/// [`Version`](crate::StoreErrorKind::Version) when a later program wrote it,
/// [`Unfit`](crate::StoreErrorKind::Unfit) when it is neither empty nor a store, or when everyone may write
/// to it (its group may), and I/O errors.
pub fn open(root: &Path, metrics: Arc<RegistryMetrics>) -> Result<FsStore, StoreError> {
    Settings::default().open(root, metrics)
}

/// Like [`open`], with injected faults and a given boot id. Small blobs are written to files at once.
///
/// # Errors
/// As [`open`].
#[cfg(any(test, feature = "fault"))]
pub fn open_with(
    root: &Path,
    metrics: Arc<RegistryMetrics>,
    faults: Faults,
    boot_id: Option<String>,
) -> Result<FsStore, StoreError> {
    let settings = Settings { collected_bytes_max: 0, ..Settings::default() };
    settings.open_with(root, metrics, faults, boot_id)
}

impl Settings {
    /// Opens the store at `root`, as [`open`] does, with these settings.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(self, root: &Path, metrics: Arc<RegistryMetrics>) -> Result<FsStore, StoreError> {
        let boot_id = std::fs::read_to_string(BOOT_ID_PATH).ok().map(|id| id.trim().to_owned());
        self.open_in(root, metrics, Faults::none(), boot_id)
    }

    /// Like [`open_with`], with these settings.
    ///
    /// # Errors
    /// As [`open`].
    #[cfg(any(test, feature = "fault"))]
    pub fn open_with(
        self,
        root: &Path,
        metrics: Arc<RegistryMetrics>,
        faults: Faults,
        boot_id: Option<String>,
    ) -> Result<FsStore, StoreError> {
        self.open_in(root, metrics, faults, boot_id)
    }

    fn open_in(
        self,
        root: &Path,
        metrics: Arc<RegistryMetrics>,
        faults: Faults,
        boot_id: Option<String>,
    ) -> Result<FsStore, StoreError> {
        let disk = Disk::new(faults);
        let root = open_root::open(root, disk.clone(), metrics, self.is_made)?;
        let can = Capabilities::of(&disk, root.layout());
        let jobs = if can.is_local { Jobs::of_local_disk() } else { Jobs::default() };
        let access = Arc::new(FileAccess { disk, buffers: Arc::new(BufferPool::default()), jobs, can });
        let partial_files = Arc::new(PartialFiles { root, access, boot_id, left: Leftovers::default() });
        let collected_bytes = (self.collected_bytes_max > 0).then(|| Budget::new(self.collected_bytes_max));
        let collecting =
            Collecting::new(Arc::clone(&partial_files), collected_bytes, self.unstored_count_max);
        let store = FsStore::new(partial_files, collecting, self.kept_open_count_max);
        store.look_at_start(self.is_swept);
        Ok(store)
    }
}
