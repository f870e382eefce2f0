//! Files that commands write: made with the right permissions from their first byte, and replaced in one
//! step.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The bits of the mode that let other users read.
const OTHERS_READ: u32 = 0o044;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permissions {
    Secret,
    Public,
}

impl Permissions {
    fn mode(self) -> u32 {
        match self {
            Self::Secret => 0o600,
            Self::Public => 0o644,
        }
    }
}

/// Makes the directory of `file`, and those above it, if they are missing.
///
/// # Errors
/// A line for the operator, as all functions here.
pub(super) fn make_directory(file: &Path) -> Result<(), String> {
    let Some(directory) = file.parent() else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
    made.map_err(|error| describe("make", directory, &error))
}

pub(super) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| describe("read", path, &error))
}

/// Whether other users than the owner may read the file.
pub(super) fn others_may_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & OTHERS_READ != 0)
}

/// Writes a file that does not exist yet.
pub(super) fn write_new(path: &Path, text: &str, permissions: Permissions) -> Result<(), String> {
    let write = || -> io::Result<()> {
        let mut file = create(path, permissions)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| describe("write", path, &error))
}

/// Replaces a file in one step. The new one has the owner and the permissions of the old one, so that the
/// server may still read a key that another user renews.
pub(super) fn replace(path: &Path, text: &str, permissions: Permissions) -> Result<(), String> {
    let new = beside(path);
    let write = || -> io::Result<()> {
        // A run that was killed may have left it.
        let _ = fs::remove_file(&new);
        let mut file = create(&new, permissions)?;
        if let Ok(old) = fs::metadata(path) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
            file.set_permissions(fs::Permissions::from_mode(old.permissions().mode() & 0o777))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&new);
        describe("write", path, &error)
    })
}

fn create(path: &Path, permissions: Permissions) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(permissions.mode()).open(path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn describe(what: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}
