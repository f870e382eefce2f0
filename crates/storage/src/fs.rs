//! The file engine: plain files that a person can read with `find` and `cat` (`layout.rs` draws the tree).
//!
//! Files are the truth; there is no index, only what is kept at hand of small files that were used lately. Disk
//! work runs on the runtime's threads for blocking work, because a disk that hangs would hold up every
//! connection of a thread. Only what the kernel promises to find in memory is opened and read where it is
//! asked for.

mod blobs;
pub(crate) mod collected;
mod commits;
pub(crate) mod disk;
pub mod fault;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod jobs;
mod kept;
mod layout;
mod left;
mod lists;
pub(crate) mod partial;
mod quarantine;
mod records;
mod repositories;
pub(crate) mod root;
mod sidecar;
mod slots;
mod spools;
mod sweep;
mod timestamp;
mod together;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use budget::Budget;
use oci::{Digest, Repository, Tag};
use policy::freshness::TagRecord;
use rustix::fs::OFlags;
use telemetry::RegistryMetrics;
use tokio::sync::Semaphore;

use crate::buffer_pool::BufferPool;
use crate::error::StoreError;
use crate::open_blob::{FileAccess, OpenBlob};
use crate::record_store::StoredManifest;
use commits::Commits;
use disk::{Disk, Found};
use fault::Faults;
use jobs::Jobs;
use kept::{BELIEVED_FOR, CONTENT_BYTES_MAX, Kept};
use partial::Workshop;
use repositories::Levels;
use root::Root;
use slots::Slots;

/// The kernel's name for this start of the machine.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// What bytes of small blobs on their way may take of memory in one store, unless [`FsStore::collecting`] says
/// otherwise.
const COLLECTED_BYTES_MAX_IN_ALL: u64 = 16 << 20;

/// Small blobs of one store whose bytes are whole and not yet durable under their names. Each takes a file descriptor,
/// and a further one waits: then the disk sets the pace.
const UNSTORED_COUNT_MAX: usize = 1024;

/// Blobs kept open unless [`FsStore::keeping_open`] says otherwise.
const OPEN_COUNT_MAX: u64 = 64;

/// What manifests in memory may take in one store, in bytes: half of it are those that are kept. Beyond it they are
/// sent as files.
const MANIFEST_BYTES_MAX: u64 = 2 * CONTENT_BYTES_MAX;

/// What `statfs` calls ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs, F2FS, bcachefs and ZFS (statfs(2)).
const LOCAL_FILE_SYSTEMS: [i128; 8] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0xf2f5_2010, 0xca45_1a4e, 0x2fc1_2fc1];

/// Those of them that make everything durable at once: ext2 to ext4, XFS, Btrfs, tmpfs and F2FS.
const SYNCED_TOGETHER: [i128; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0xf2f5_2010];

/// A store in a directory of its own, which it alone uses until it and its spools are dropped. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct FsStore {
    workshop: Workshop,
    slots: Arc<Slots>,
    /// What bytes of small blobs may take of memory on their way; none: they go into files at once.
    collected_bytes: Option<Budget>,
    commits: Arc<Commits>,
    /// Small ones, open.
    blobs: Arc<Kept<Digest, OpenBlob>>,
    manifests: Arc<Kept<(Repository, Digest), StoredManifest>>,
    /// What manifests take of memory: those that are kept, and those that are not any more and still sent.
    manifest_bytes: Budget,
    tags: Arc<Kept<(Repository, Tag), TagRecord>>,
    /// Held by the one who lists repositories.
    listing: Arc<tokio::sync::Mutex<()>>,
    levels: Arc<Levels>,
}

/// Opens the store at `root`, making it if there is nothing or an empty directory.
///
/// Takes the same few system calls whatever is stored. Leftovers in `tmp` are removed, and partial files that
/// nobody has touched for a day.
///
/// # Errors
/// [`Locked`](crate::StoreErrorKind::Locked) when another process uses the root,
/// [`Version`](crate::StoreErrorKind::Version) when a later program wrote it,
/// [`Unfit`](crate::StoreErrorKind::Unfit) when it is neither empty nor a store, or when everyone may write
/// into it (its group may), and those of the disk.
pub fn open(root: &Path, metrics: Arc<RegistryMetrics>) -> Result<FsStore, StoreError> {
    let boot_id = std::fs::read_to_string(BOOT_ID_PATH).ok().map(|id| id.trim().to_owned());
    open_in(root, metrics, Faults::none(), boot_id, Some(Budget::new(COLLECTED_BYTES_MAX_IN_ALL)))
}

/// Like [`open`], with faults to come and in a machine whose present start is called `boot_id`. Bytes of small blobs
/// go into files at once, unless [`FsStore::collecting`] says otherwise.
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
    open_in(root, metrics, faults, boot_id, None)
}

fn open_in(
    root: &Path,
    metrics: Arc<RegistryMetrics>,
    faults: Faults,
    boot_id: Option<String>,
    collected_bytes: Option<Budget>,
) -> Result<FsStore, StoreError> {
    let disk = Disk::new(faults);
    let root = Arc::new(Root::open(root, disk.clone(), metrics)?);
    let buffers = Arc::new(BufferPool::default());
    let can_send = can_send(&disk, &root);
    let is_local = is_local(root.layout().root());
    let syncs_together = syncs_together(root.layout().root());
    let jobs = if is_local { Jobs::of_local_disk() } else { Jobs::default() };
    let access =
        Arc::new(FileAccess { disk, buffers, jobs: jobs.clone(), can_send, is_local, syncs_together });
    let (left, settles) = (Arc::default(), Arc::default());
    let unstored = Arc::new(Semaphore::new(UNSTORED_COUNT_MAX));
    let workshop = Workshop { root, jobs, access, boot_id, left, settles, unstored };
    let store = FsStore {
        workshop,
        slots: Arc::new(Slots::default()),
        collected_bytes,
        commits: Arc::default(),
        blobs: Arc::new(Kept::new(OPEN_COUNT_MAX, BELIEVED_FOR)),
        manifests: Arc::new(Kept::new(CONTENT_BYTES_MAX, BELIEVED_FOR)),
        manifest_bytes: Budget::new(MANIFEST_BYTES_MAX),
        tags: Arc::new(Kept::new(CONTENT_BYTES_MAX, BELIEVED_FOR)),
        listing: Arc::default(),
        levels: Arc::default(),
    };
    store.sweep_now();
    Ok(store)
}

/// Whether the root's file system has what `sendfile` needs, found out with the root's own marker. Where it
/// does not (some FUSE and network ones), nothing is lost but speed.
fn can_send(disk: &Disk, root: &Root) -> bool {
    let marker = disk.open_regular(&root.layout().version(), OFlags::RDONLY);
    let (Ok(Found::Regular(file, _)), Ok((socket, _peer))) = (marker, UnixStream::pair()) else {
        return false;
    };
    disk.send(&file, socket.as_fd(), 0, 1).is_ok()
}

/// Whether the root lies on a file system known to open a file without asking another machine or program. A
/// path in memory does not mean that elsewhere.
fn is_local(root: &Path) -> bool {
    is_one_of(root, &LOCAL_FILE_SYSTEMS)
}

/// Whether one call makes all of the root's file system durable, and tells of every write to it that failed: for
/// `syncfs` does so from Linux 5.8 on, and not through overlayfs.
fn syncs_together(root: &Path) -> bool {
    let release = rustix::system::uname();
    release.release().to_str().is_ok_and(tells_of_failed_writes) && is_one_of(root, &SYNCED_TOGETHER)
}

/// Whether a kernel of this release has `syncfs` tell of writes that failed.
fn tells_of_failed_writes(release: &str) -> bool {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (5, 8))
}

fn is_one_of(root: &Path, kinds: &[i128]) -> bool {
    let kind = rustix::fs::statfs(root).map(|stat| stat.f_type);
    // The field's width differs between machines.
    kind.is_ok_and(|kind| kinds.contains(&i128::from(kind)))
}

impl FsStore {
    /// The same store, which keeps so many blobs of up to 64 KiB open between two who ask for them. Each takes a
    /// file descriptor.
    #[must_use]
    pub fn keeping_open(mut self, count_max: u64) -> Self {
        self.blobs = Arc::new(Kept::new(count_max, BELIEVED_FOR));
        self
    }

    /// The same store, in which small blobs on their way may take so many bytes of memory in all.
    #[must_use]
    pub fn collecting(mut self, bytes_max: u64) -> Self {
        self.collected_bytes = (bytes_max > 0).then(|| Budget::new(bytes_max));
        self
    }

    fn root(&self) -> &Root {
        &self.workshop.root
    }

    fn jobs(&self) -> &Jobs {
        &self.workshop.jobs
    }
}

#[cfg(test)]
mod tests;
