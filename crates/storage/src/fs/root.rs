//! An open root: creates its directories when they are needed, but never after the root has vanished, and
//! quarantines damaged files.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockWriteGuard};
use rustix::fs::FileType;
use telemetry::RegistryMetrics;
use tracing::{error, warn};

use super::counted::Counted;
use super::disk::{Disk, Found, regular_len};
use super::layout::{Layout, is_name_of_quarantined};
use super::meter::Meter;
use crate::error::{StoreError, StoreErrorKind};

/// Directories remembered as durable. A forgotten one costs an `fsync` that writes nothing.
const DURABLE_DIRECTORY_COUNT_MAX: usize = 4096;

/// Damaged files kept; the oldest are removed first.
const QUARANTINE_COUNT_MAX: usize = 64;

/// An open root.
#[derive(Debug)]
pub(crate) struct Root {
    layout: Layout,
    disk: Disk,
    metrics: Arc<RegistryMetrics>,
    meter: Meter,
    /// Directories whose own names are known to be durable.
    durable_directories: Mutex<HashSet<PathBuf>>,
    /// Directories created so far.
    made_count: AtomicU64,
    /// Held shared while a file gets its name in a repository's directory, and exclusively while such
    /// directories are removed.
    repository_names: RwLock<()>,
    temporary_prefix: u64,
    temporary_count: AtomicU64,
    /// Closing it, at the latest at the end of the process, frees the root. `None`: there was no store when
    /// this was opened, so this is an empty one, and nothing below the root is changed.
    lock: Option<File>,
}

impl Root {
    /// A root with a store, or one in which a store is about to be created. This process owns it while `lock`
    /// is open; without a lock it is an empty store that nothing can be written to.
    pub(super) fn new(layout: Layout, disk: Disk, metrics: Arc<RegistryMetrics>, lock: Option<File>) -> Self {
        Self {
            layout,
            disk,
            metrics,
            meter: Meter::default(),
            durable_directories: Mutex::new(HashSet::new()),
            made_count: AtomicU64::new(0),
            repository_names: RwLock::default(),
            temporary_prefix: fastrand::u64(..),
            temporary_count: AtomicU64::new(0),
            lock,
        }
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

    /// How much the store holds.
    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Whether there was no store when it was opened.
    pub(super) fn is_absent(&self) -> bool {
        self.lock.is_none()
    }

    /// Fails when the root has vanished: its volume was unmounted, or it was removed. Call it before
    /// believing that a file is absent.
    pub(crate) fn ensure_present(&self) -> Result<(), StoreError> {
        let version = self.layout.version();
        if self.is_absent() || self.disk.stat(&version)?.is_some() {
            return Ok(());
        }
        let reason = "the store's marker is gone; is its volume mounted?";
        Err(StoreError::own(StoreErrorKind::MissingRoot, "stat", version.to_string_lossy(), reason))
    }

    /// Fails when the root has vanished, or never was there.
    fn ensure_writable(&self) -> Result<(), StoreError> {
        if self.is_absent() {
            let (root, reason) =
                (self.layout.root().to_string_lossy(), "there is no store, and none is made");
            return Err(StoreError::own(StoreErrorKind::MissingRoot, "open", root, reason));
        }
        self.ensure_present()
    }

    /// The number of directories created so far. While it stays the same, this process has added no directory
    /// to those that were listed before.
    pub(crate) fn made_count(&self) -> u64 {
        self.made_count.load(Ordering::Acquire)
    }

    /// Whether the kernel knows, without accessing the disk, that the root is present.
    pub(crate) fn is_known_present(&self) -> bool {
        matches!(self.disk.open_cached(&self.layout.version()), Some(Found::Regular(..)))
    }

    /// A new name in `tmp`, on the same file system as every possible target.
    pub(crate) fn temporary_path(&self) -> PathBuf {
        let count = self.temporary_count.fetch_add(1, Ordering::Relaxed);
        self.layout.temporary().join(format!("{:016x}-{count}", self.temporary_prefix))
    }

    /// Runs `action`, which needs `directory`. First creates the directory if it is missing and makes its
    /// name durable, so that no durable file is below a directory that a power loss can remove.
    pub(crate) fn in_directory<T>(
        &self,
        directory: &Path,
        action: impl Fn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // No directory is removed between its making and the action. Nothing below waits for this lock again.
        let is_of_repository = directory.starts_with(self.layout.repositories());
        let _shared = is_of_repository.then(|| self.repository_names.read());
        self.ensure_directory(directory)?;
        match action() {
            // An operator has removed the directory.
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
            // Never created again: below a missing mount the bytes would go to another disk.
            return self.ensure_writable();
        }
        let parent = directory.parent().expect("every directory of a store lies beneath its root");
        self.make_children(parent, &[directory])
    }

    /// Creates the missing directories. Siblings share the sync of their parent.
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

    /// Replaces garbage, or a planted link, under the name of a directory by that directory.
    fn ensure_is_directory(&self, path: &Path) -> Result<(), StoreError> {
        let stat = self.disk.stat(path)?;
        if stat.is_none_or(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory) {
            self.set_aside(path)?;
            self.disk.make_directory(path)?;
        }
        Ok(())
    }

    /// Treats these directories, and no others, as present and durable.
    pub(super) fn trust_directories(&self, directories: impl IntoIterator<Item = PathBuf>) {
        *self.durable_directories() = directories.into_iter().collect();
    }

    fn durable_directories(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.durable_directories.lock()
    }

    /// Renames a file, replacing any file under the new name. `len` is its length in bytes, if the caller
    /// knows it.
    pub(crate) fn rename(&self, from: &Path, to: &Path, len: Option<u64>) -> Result<(), StoreError> {
        let (left, entered) = (Counted::of(&self.layout, from), Counted::of(&self.layout, to));
        let Some(entered) = entered else { return self.disk.rename(from, to) };
        // A file that leaves a directory of blobs or manifests enters the quarantine, whose number is the
        // highest.
        let mut left = left.filter(|left| *left != entered).map(|left| self.meter.lock(left));
        let mut entered = self.meter.lock(entered);
        let len = if len.is_some() { len } else { self.len_of(from)? };
        if !self.disk.rename_to_new(from, to)? {
            let replaced = self.len_of(to)?;
            self.disk.rename(from, to)?;
            replaced.into_iter().for_each(|len| entered.remove(len));
        }
        if let Some(len) = len {
            entered.add(len);
            left.iter_mut().for_each(|left| left.remove(len));
        }
        Ok(())
    }

    /// Removes a name. It is no error if it is gone already.
    pub(crate) fn unlink(&self, path: &Path) -> Result<(), StoreError> {
        self.remove(path).map(drop)
    }

    /// Removes a name. Returns the file's length in bytes; 0 when it is gone already or does not count.
    pub(super) fn remove(&self, path: &Path) -> Result<u64, StoreError> {
        if self.is_absent() {
            // A server that makes the store meanwhile owns its files.
            return Ok(0);
        }
        let Some(counted) = Counted::of(&self.layout, path) else {
            return self.disk.unlink(path).map(|()| 0);
        };
        let mut counted = self.meter.lock(counted);
        let len = self.len_of(path)?;
        self.disk.unlink(path)?;
        len.into_iter().for_each(|len| counted.remove(len));
        Ok(len.unwrap_or(0))
    }

    /// Keeps new names out of all repositories' directories as long as the guard lives. A caller that removes
    /// such a directory holds it.
    pub(super) fn close_repositories(&self) -> RwLockWriteGuard<'_, ()> {
        self.repository_names.write()
    }

    /// Removes an empty directory. False: it stays, for it is not empty or no directory.
    pub(super) fn remove_directory(&self, path: &Path) -> Result<bool, StoreError> {
        let is_gone = !self.is_absent() && self.disk.remove_directory(path)?;
        if is_gone {
            self.durable_directories().remove(path);
        }
        Ok(is_gone)
    }

    /// Moves a directory and everything in it to a new name in `tmp`, which is returned. `None`: there is
    /// nothing.
    pub(super) fn move_out(&self, path: &Path) -> Result<Option<PathBuf>, StoreError> {
        if self.disk.stat(path)?.is_none() {
            return Ok(None);
        }
        let target = self.temporary_path();
        self.in_directory(&self.layout.temporary(), || self.disk.rename(path, &target))?;
        self.durable_directories().retain(|known| !known.starts_with(path));
        Ok(Some(target))
    }

    /// Makes the names in a directory durable. A repository's directory that is gone has taken its names with
    /// it.
    pub(super) fn sync_names(&self, directory: &Path) -> Result<(), StoreError> {
        match self.disk.sync_directory(directory) {
            Err(error) if error.is_absence() && directory.starts_with(self.layout.repositories()) => {
                self.ensure_present()
            }
            synced => synced,
        }
    }

    /// The length in bytes of the regular file under a name; `None`: there is none.
    pub(super) fn len_of(&self, path: &Path) -> Result<Option<u64>, StoreError> {
        Ok(self.disk.stat(path)?.as_ref().and_then(regular_len))
    }

    /// Moves the damaged file under `path` to the quarantine, where an operator can examine it. If that
    /// fails, removes it.
    ///
    /// # Errors
    /// Both failed, so it is still under `path`.
    pub(crate) fn set_aside(&self, path: &Path) -> Result<(), StoreError> {
        let directory = self.layout.quarantine();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let target = directory.join(format!("{seconds:010}-{name}"));
        let moved = self.in_directory(&directory, || self.rename(path, &target, None));
        match moved {
            Ok(()) => warn!(from = %path.display(), to = %target.display(), "damaged file quarantined"),
            Err(error) => {
                self.unlink(path)?;
                warn!(path = %path.display(), %error, "damaged file removed, because it could not be quarantined");
            }
        }
        self.metrics.quarantined();
        self.prune(&directory);
        Ok(())
    }

    /// Like [`set_aside`](Self::set_aside), for callers that report the damaged file as absent in either
    /// case.
    pub(crate) fn try_set_aside(&self, path: &Path) {
        if let Err(error) = self.set_aside(path) {
            self.metrics.store_failed(error.call());
            error!(path = %path.display(), %error, "damaged file could be neither quarantined nor removed");
        }
    }

    /// Removes the oldest files above the bound. Names begin with the time, so the smallest are the oldest.
    /// Files with other names stay.
    fn prune(&self, quarantine: &Path) {
        let names = self.quarantined(quarantine).unwrap_or_else(|error| {
            self.swallow(Err(error));
            Vec::new()
        });
        let excess = names.len().saturating_sub(QUARANTINE_COUNT_MAX);
        for name in &names[..excess] {
            self.swallow(self.unlink(&quarantine.join(name)));
        }
    }

    /// The names of quarantined files, the oldest first.
    pub(crate) fn quarantined(&self, quarantine: &Path) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        self.disk.list(quarantine, &mut |name| {
            if is_name_of_quarantined(name)
                && let Some(name) = name.to_str()
            {
                names.push(name.to_owned());
            }
            ControlFlow::Continue(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    /// Counts and logs a failure that does not concern the caller.
    pub(crate) fn swallow(&self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            self.metrics.store_failed(error.call());
            warn!(%error, "store cleanup failed");
        }
    }
}
