//! The root directory: opened once, held by a lock, never made anew once it has vanished.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use telemetry::RegistryMetrics;
use tracing::warn;

use super::disk::{Disk, Found};
use super::layout::{Layout, TOP_DIRECTORIES};
use super::quarantine;
use crate::error::{StoreError, StoreErrorKind};
use crate::publish;

/// The layout that this program reads and writes.
const VERSION: u32 = 1;

/// More than any `VERSION` file has.
const VERSION_BYTES_MAX: usize = 64;

/// What an interrupted first start leaves, and what a fresh file system brings along.
const NAMES_OF_AN_EMPTY_ROOT: [&str; 3] = ["lock", "tmp", "lost+found"];

/// Directories remembered as durable. One that was forgotten costs an `fsync` with nothing to write.
const DURABLE_DIRECTORY_COUNT_MAX: usize = 4096;

/// An open root.
#[derive(Debug)]
pub(crate) struct Root {
    layout: Layout,
    disk: Disk,
    metrics: Arc<RegistryMetrics>,
    /// Directories whose own names are known to be durable.
    durable_directories: Mutex<HashSet<PathBuf>>,
    /// Directories made so far.
    made_count: AtomicU64,
    temporary_prefix: u64,
    temporary_count: AtomicU64,
    /// Closing it, at the latest when the process ends in whatever way, frees the root.
    _lock: File,
}

impl Root {
    /// Opens a root, making it if there is nothing. Reads no directory of a store: the time it takes does
    /// not depend on what is stored.
    pub(crate) fn open(path: &Path, disk: Disk, metrics: Arc<RegistryMetrics>) -> Result<Self, StoreError> {
        let layout = Layout::new(path);
        ensure_fit(&disk, path)?;
        let version = read_version(&disk, &layout)?;
        if version.is_none() {
            ensure_empty(&disk, path)?;
        }
        let lock = take_lock(&disk, &layout)?;
        let root = Self {
            layout,
            disk,
            metrics,
            durable_directories: Mutex::new(HashSet::new()),
            made_count: AtomicU64::new(0),
            temporary_prefix: fastrand::u64(..),
            temporary_count: AtomicU64::new(0),
            _lock: lock,
        };
        if version.is_none() {
            root.write_version()?;
        }
        root.make_top_directories()?;
        Ok(root)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn metrics(&self) -> &RegistryMetrics {
        &self.metrics
    }

    /// Fails when the root has vanished: its volume was unmounted, or it was removed. To be asked where
    /// something is not there, before that is believed.
    pub(crate) fn ensure_present(&self) -> Result<(), StoreError> {
        let version = self.layout.version();
        match self.disk.stat(&version)? {
            Some(_) => Ok(()),
            None => Err(StoreError::own(
                StoreErrorKind::MissingRoot,
                "stat",
                &version,
                "the store's marker is gone; is its volume mounted?",
            )),
        }
    }

    /// How many directories were made so far: as long as this stays the same, the names of directories that were
    /// read are all that are there, as far as this program goes.
    pub(crate) fn made_count(&self) -> u64 {
        self.made_count.load(Ordering::Acquire)
    }

    /// Whether the root is there as far as the kernel knows without asking the disk.
    pub(crate) fn is_known_present(&self) -> bool {
        matches!(self.disk.open_cached(&self.layout.version()), Some(Found::Regular(..)))
    }

    /// A new name in `tmp`, on the same file system as every place where it may go.
    pub(crate) fn temporary_path(&self) -> PathBuf {
        let count = self.temporary_count.fetch_add(1, Ordering::Relaxed);
        self.layout.temporary().join(format!("{:016x}-{count}", self.temporary_prefix))
    }

    /// Does `action`, which needs `directory`. The directory is made if it is missing, and its name is
    /// durable before `action` is done, so that nothing durable hangs on a name that is not.
    pub(crate) fn in_directory<T>(
        &self,
        directory: &Path,
        action: impl Fn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.ensure_directory(directory)?;
        match action() {
            // Someone removed the directory by hand.
            Err(error) if error.is_absence() => {
                self.durable_directories().clear();
                self.ensure_directory(directory)?;
                action()
            }
            done => done,
        }
    }

    fn ensure_directory(&self, directory: &Path) -> Result<(), StoreError> {
        if self.durable_directories().contains(directory) {
            return Ok(());
        }
        if directory == self.layout.root() {
            // Never made anew: beneath a missing mount the bytes would land on another disk.
            return self.ensure_present();
        }
        let parent = directory.parent().expect("every directory of a store lies beneath its root");
        self.make_children(parent, &[directory])
    }

    /// Makes those directories that are missing. Siblings share the sync of their parent.
    pub(crate) fn make_directories<'a>(
        &self,
        directories: impl IntoIterator<Item = &'a Path>,
    ) -> Result<(), StoreError> {
        let mut by_parent: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
        {
            let durable = self.durable_directories();
            for directory in directories.into_iter().filter(|directory| !durable.contains(*directory)) {
                let parent = directory.parent().expect("every directory of a store lies beneath its root");
                by_parent.entry(parent).or_default().insert(directory);
            }
        }
        by_parent.iter().try_for_each(|(parent, children)| {
            self.make_children(parent, &Vec::from_iter(children.iter().copied()))
        })
    }

    fn make_children(&self, parent: &Path, children: &[&Path]) -> Result<(), StoreError> {
        self.ensure_directory(parent)?;
        for child in children {
            if self.disk.make_directory(child)? {
                self.made_count.fetch_add(1, Ordering::Release);
            } else if parent != self.layout.root() {
                self.ensure_is_directory(child)?;
            }
        }
        self.disk.sync_directory(parent)?;
        let mut durable = self.durable_directories();
        if durable.len() + children.len() > DURABLE_DIRECTORY_COUNT_MAX {
            durable.clear();
        }
        durable.extend(children.iter().map(|child| (*child).to_owned()));
        Ok(())
    }

    /// Puts a directory where garbage, or a planted link, has taken its name.
    fn ensure_is_directory(&self, path: &Path) -> Result<(), StoreError> {
        let stat = self.disk.stat(path)?;
        if stat.is_none_or(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory) {
            quarantine::set_aside(self, path)?;
            self.disk.make_directory(path)?;
        }
        Ok(())
    }

    fn durable_directories(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        // A set of paths is whole between any two of its steps.
        self.durable_directories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_version(&self) -> Result<(), StoreError> {
        let temporary = self.layout.temporary();
        self.disk.make_directory(&temporary)?;
        // This once, both count as present although there is no marker yet.
        self.durable_directories().extend([temporary, self.layout.root().to_owned()]);
        let text = Bytes::from(format!("{VERSION}\n"));
        let written = publish::bytes(self, &self.layout.version(), &[text], publish::Durability::PowerLoss);
        self.durable_directories().clear();
        written
    }

    /// Where the disk is full or read-only, a store that has its directories can still serve.
    fn make_top_directories(&self) -> Result<(), StoreError> {
        let paths: Vec<_> = TOP_DIRECTORIES.iter().map(|name| self.layout.root().join(name)).collect();
        let mut has_made_any = false;
        for path in &paths {
            has_made_any |= self.disk.make_directory(path)?;
        }
        if has_made_any {
            self.disk.sync_directory(self.layout.root())?;
        }
        self.durable_directories().extend(paths);
        Ok(())
    }

    /// Notes a failure that is made good without the caller hearing of it.
    pub(crate) fn swallow(&self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            self.metrics.store_failed(error.call());
            warn!(%error, "store failed while tidying up");
        }
    }
}

/// The root must be a directory, reached by links or not, that only its owner and group can write to: whoever
/// can write into it can plant links and swap what is verified. Its group may, because container platforms
/// hand volumes over that way.
fn ensure_fit(disk: &Disk, path: &Path) -> Result<(), StoreError> {
    let unfit = |reason: &str| StoreError::own(StoreErrorKind::Unfit, "open", path, reason);
    let stat = match disk.stat_target(path) {
        Err(error) if error.is(Errno::NOENT) => {
            make_root(disk, path)?;
            disk.stat_target(path)?
        }
        stat => stat?,
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(unfit("it is not a directory; set another root"));
    }
    if Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH) {
        return Err(unfit("everyone may write into the root; `chmod o-w` it"));
    }
    Ok(())
}

/// Makes the root and whatever is missing above it.
fn make_root(disk: &Disk, path: &Path) -> Result<(), StoreError> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    match disk.make_directory(path) {
        Err(error) if error.is(Errno::NOENT) => {
            make_root(disk, parent)?;
            disk.make_directory(path)?;
        }
        made => {
            made?;
        }
    }
    disk.sync_directory(parent)
}

/// The root's version; none: there is no `VERSION` file.
fn read_version(disk: &Disk, layout: &Layout) -> Result<Option<u32>, StoreError> {
    let path = layout.version();
    let refused = |reason: String| StoreError::own(StoreErrorKind::Version, "open", &path, reason);
    let file = match disk.open_regular(&path, OFlags::RDONLY)? {
        Found::Nothing => return Ok(None),
        Found::Unfit => return Err(refused("its VERSION is not a file; set another root".into())),
        Found::Regular(file, _) => file,
    };
    let mut buffer = [0; VERSION_BYTES_MAX];
    let read = disk.read(&file, &mut buffer, 0);
    let count = read.map_err(|error| StoreError::io("pread", &path, &error))?;
    let text = String::from_utf8_lossy(&buffer[..count]);
    match text.trim().parse::<u32>() {
        Ok(VERSION) => Ok(Some(VERSION)),
        Ok(other) if other > VERSION => Err(refused(format!(
            "its layout {other} is newer than this wharf understands ({VERSION}); run the newer wharf, or set another \
             root"
        ))),
        Ok(other) => Err(refused(format!(
            "its layout is {other}, and this wharf knows {VERSION}; run the wharf that wrote it, or set another root"
        ))),
        Err(_) => {
            let found = text.trim();
            Err(refused(format!(
                "its VERSION file holds {found:?} instead of {VERSION}; restore that file, or set another root"
            )))
        }
    }
}

/// A directory with anything in it and no `VERSION` is someone else's, or a store whose volume is missing.
fn ensure_empty(disk: &Disk, path: &Path) -> Result<(), StoreError> {
    let mut stranger = None;
    disk.list(path, &mut |name| {
        if NAMES_OF_AN_EMPTY_ROOT.iter().any(|expected| *expected == name) {
            return ControlFlow::Continue(());
        }
        stranger = Some(name.to_owned());
        ControlFlow::Break(())
    })?;
    match stranger {
        None => Ok(()),
        Some(name) => Err(StoreError::own(
            StoreErrorKind::Unfit,
            "open",
            path,
            format!(
                "it is not a wharf store and not empty (it contains {name:?}); use an empty directory or an existing \
                 store"
            ),
        )),
    }
}

fn take_lock(disk: &Disk, layout: &Layout) -> Result<File, StoreError> {
    let path = layout.lock();
    let file = disk.open_lock(&path)?;
    if disk.try_lock(&file, &path)? {
        return Ok(file);
    }
    let reason = format!("another process uses the root {}", layout.root().display());
    Err(StoreError::own(StoreErrorKind::Locked, "flock", &path, reason))
}
