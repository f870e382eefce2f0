//! Describes to the operator why a store's disk cannot be used, or can only be read.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, StatVfsMountFlags, statat, statvfs};
use storage::{StoreError, StoreErrorKind};
use telemetry::StoreCall;

use crate::registry_error::several;

/// The ways to set another root.
const ANOTHER_ROOT: &str = "set another root: `root` of [storage], or WHARF_ROOT";

/// Describes why the store of the registry `name` at `root` cannot be opened, and what to do.
pub(crate) fn describe(name: &str, root: &Path, error: &StoreError) -> String {
    let target = Path::new(error.target());
    let place = existing(target);
    let shown = place.display();
    // The stores of one wharf lie side by side. A fault of the directory above them gets one sentence for
    // all.
    let shared = root.parent().filter(|_| root.file_name().is_some_and(|last| last == name)).unwrap_or(root);
    if let Some(file) = file_in_the_way(shared) {
        let file = if file == shared { "it".to_owned() } else { file.display().to_string() };
        return format!("cannot store in {}: {file} is not a directory; {ANOTHER_ROOT}", shared.display());
    }
    let advice = match error.kind() {
        StoreErrorKind::Denied => return denied(error, &place, root, shared),
        StoreErrorKind::ReadOnly => {
            return format!("{shown} is on a read-only disk; mount it writable, or {ANOTHER_ROOT}");
        }
        StoreErrorKind::Full => {
            return format!("the disk of {shown} is full; free some space, or {ANOTHER_ROOT}");
        }
        StoreErrorKind::Locked => {
            let shared = shared.display();
            return format!("another wharf uses {shared}; stop that one, or for this one {ANOTHER_ROOT}");
        }
        // These errors say what to do.
        StoreErrorKind::Version | StoreErrorKind::Unfit => {
            let said = error.reason().to_string().replace("set another root", ANOTHER_ROOT);
            return format!("cannot store in {}: {said}", root.display());
        }
        StoreErrorKind::MissingRoot => format!("mount the volume, or {ANOTHER_ROOT}"),
        StoreErrorKind::Busy => "raise this process's limits".to_owned(),
        StoreErrorKind::Size | StoreErrorKind::Closed | StoreErrorKind::Io => {
            format!("repair the disk, or {ANOTHER_ROOT}")
        }
    };
    // An error inside a store concerns that store alone.
    let shown = if target.starts_with(root) && target != root { root } else { shared };
    if target == root {
        return format!(
            "cannot store in {}: {}: {}; {advice}",
            shown.display(),
            error.call(),
            error.reason()
        );
    }
    format!("cannot store in {}: {error}; {advice}", shown.display())
}

/// Describes what to do if this user lacks a permission. `place` is the nearest existing directory, and
/// `shared` the one above all stores.
fn denied(error: &StoreError, place: &Path, root: &Path, shared: &Path) -> String {
    let user = rustix::process::geteuid().as_raw();
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (store, shared) = (absolute(root), absolute(shared));
    let makes = error.call() == StoreCall::Mkdir;
    if !makes && !place.starts_with(&store) {
        let store = store.display();
        return format!(
            "user {user} cannot reach {store}: permission denied; grant it access to the directories above, or \
             {ANOTHER_ROOT}"
        );
    }
    // An image that sets the variable has a directory ready there; others in the image cannot be changed from
    // outside.
    let other = std::env::var("WHARF_ROOT").map_or_else(
        |_| ANOTHER_ROOT.to_owned(),
        |ready| format!("set root = {ready:?}, which is ready for it"),
    );
    // Never advise to give away a directory that others use too, such as /srv.
    if makes && !place.starts_with(&shared) && !place.starts_with(&store) {
        let (group, shared) = (rustix::process::getegid().as_raw(), shared.display());
        return format!(
            "user {user} cannot create {shared}: permission denied; as root, run \
             `install -d -o {user} -g {group} {shared}`, or {other}"
        );
    }
    let (deed, all, place) = if makes {
        ("create directories in", "", place)
    } else {
        ("use the store's files below", "-R ", &*store)
    };
    let place = place.display();
    format!(
        "user {user} cannot {deed} {place}: permission denied; as root, run `chown {all}{user} {place}`, or \
         {other}"
    )
}

/// A file at or above `root` that is not a directory.
fn file_in_the_way(root: &Path) -> Option<&Path> {
    root.ancestors().find(|ancestor| ancestor.exists()).filter(|found| !found.is_dir())
}

/// The nearest existing directory at or above `path`, which the operator has to change.
fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find(|ancestor| ancestor.is_dir());
    found.map_or_else(|| path.clone(), Path::to_owned)
}

/// A directory above `root` in which any user may rename files, and so replace the store. With the sticky
/// bit, as on `/tmp`, only owners may (chmod(1)).
pub(crate) fn open_to_everyone(root: &Path) -> Option<PathBuf> {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let is_open = |directory: &&Path| {
        let mode = statat(CWD, *directory, AtFlags::empty()).map(|stat| Mode::from_raw_mode(stat.st_mode));
        mode.is_ok_and(|mode| mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX))
    };
    root.ancestors().skip(1).find(is_open).map(Path::to_owned)
}

/// One notice for all the stores at `roots` whose disk can only be read.
pub(crate) fn read_only_notice(roots: &[(&str, &Path)]) -> Option<String> {
    let is_read_only =
        |root: &Path| statvfs(root).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
    let names: Vec<&str> =
        roots.iter().filter(|(_, root)| is_read_only(root)).map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{}: the disk is read-only: stored content is served, and nothing new is stored",
            several(&names, roots.len())
        )
    })
}

#[cfg(test)]
mod tests;
