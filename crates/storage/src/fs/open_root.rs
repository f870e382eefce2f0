//! Opens a root: for one process at a time, and only if it is a store or can become one.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use telemetry::RegistryMetrics;

use super::disk::{Disk, Found};
use super::layout::{Layout, TOP_DIRECTORIES};
use super::publish::{self, Durability};
use super::root::Root;
use crate::error::{StoreError, StoreErrorKind};

/// The version of the layout that this program reads and writes.
const VERSION: u32 = 1;

/// Larger than any `VERSION` file.
const VERSION_BYTES_MAX: usize = 64;

/// Names that an interrupted first start or a new file system leaves in an empty root.
const NAMES_OF_AN_EMPTY_ROOT: [&str; 3] = ["lock", "tmp", "lost+found"];

/// Opens a root. If there is no store, creates it where `is_made`, and else touches nothing. Lists no
/// directory of a store, so the time it takes does not depend on the content.
pub(super) fn open(
    path: &Path,
    disk: Disk,
    metrics: Arc<RegistryMetrics>,
    is_made: bool,
) -> Result<Root, StoreError> {
    let layout = Layout::new(path);
    // Any other error is one of the store that may be there.
    if !is_made && disk.stat_target(&layout.version()).is_err_and(|error| error.is(Errno::NOENT)) {
        return Ok(Root::new(layout, disk, metrics, None));
    }
    ensure_fit(&disk, path)?;
    let version = read_version(&disk, &layout)?;
    if version.is_none() {
        ensure_empty(&disk, path)?;
    }
    let lock = take_lock(&disk, &layout)?;
    let root = Root::new(layout, disk, metrics, Some(lock));
    if version.is_none() {
        write_version(&root)?;
    }
    make_top_directories(&root)?;
    Ok(root)
}

fn write_version(root: &Root) -> Result<(), StoreError> {
    let (layout, temporary) = (root.layout(), root.layout().temporary());
    root.disk().make_directory(&temporary)?;
    // Only here, both count as present although the marker does not exist yet.
    root.trust_directories([temporary, layout.root().to_owned()]);
    let text = Bytes::from(format!("{VERSION}\n"));
    let written = publish::bytes(root, &layout.version(), &[text], Durability::PowerLoss);
    root.trust_directories([]);
    written
}

/// Creates the missing top directories. On a full or read-only disk, a store that has them all can still
/// serve.
fn make_top_directories(root: &Root) -> Result<(), StoreError> {
    let path = root.layout().root();
    let paths: Vec<PathBuf> = TOP_DIRECTORIES.iter().map(|name| path.join(name)).collect();
    let mut has_made_any = false;
    for path in &paths {
        has_made_any |= root.disk().make_directory(path)?;
    }
    if has_made_any {
        root.disk().sync_directory(path)?;
    }
    root.trust_directories(paths);
    Ok(())
}

/// The root must be a directory, or a link to one, that only its owner and group can write to: any other
/// writer could plant links and replace verified content. The group may write, because container platforms
/// provide volumes that way.
fn ensure_fit(disk: &Disk, path: &Path) -> Result<(), StoreError> {
    let unfit = |reason: &str| StoreError::own(StoreErrorKind::Unfit, "open", path.to_string_lossy(), reason);
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

/// Creates the root and its missing parents.
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

/// The root's version; `None`: there is no `VERSION` file.
fn read_version(disk: &Disk, layout: &Layout) -> Result<Option<u32>, StoreError> {
    let path = layout.version();
    let refused =
        |reason: String| StoreError::own(StoreErrorKind::Version, "open", path.to_string_lossy(), reason);
    let (file, size) = match disk.open_regular(&path, OFlags::RDONLY)? {
        Found::Nothing => return Ok(None),
        Found::Unfit => return Err(refused("its VERSION is not a file; set another root".into())),
        Found::Regular(file, size) => (file, size),
    };
    let mut buffer =
        vec![0; usize::try_from(size).map_or(VERSION_BYTES_MAX, |size| size.min(VERSION_BYTES_MAX))];
    let read = disk.read_full(&file, &mut buffer, 0);
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

/// A directory with content and without `VERSION` belongs to another program, or its volume is missing.
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
            path.to_string_lossy(),
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
    Err(StoreError::own(StoreErrorKind::Locked, "flock", path.to_string_lossy(), reason))
}
