//! Temporary names of archives that are being written.
//!
//! The process that writes an archive holds a lock on it, which ends with the process. So the next export
//! finds what a killed one left behind, and removes it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

/// The end of each temporary name, before eight hexadecimal digits.
const MARK: &str = ".wharf-";

/// The longest part of the final name that a temporary one repeats, in bytes: file systems take 255 in all.
const NAME_BYTES_MAX: usize = 200;

/// The names that are tried until one can be locked.
const ATTEMPT_COUNT_MAX: usize = 10;

/// A file or a directory under a temporary name, locked while this value lives, and removed with it.
pub(super) struct Temporary {
    pub(super) path: PathBuf,
    lock: File,
    is_kept: bool,
}

impl Temporary {
    /// A file beside `path`.
    pub(super) fn file(path: &Path) -> io::Result<(Self, File)> {
        let temporary = Self::new(path, |path| File::create_new(path))?;
        let file = temporary.lock.try_clone()?;
        Ok((temporary, file))
    }

    /// A directory beside `path`.
    pub(super) fn directory(path: &Path) -> io::Result<Self> {
        Self::new(path, |path| fs::create_dir(path).and_then(|()| File::open(path)))
    }

    fn new(path: &Path, make: impl Fn(&Path) -> io::Result<File>) -> io::Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| io::Error::other("it is no name of a file"))?;
        let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
        for _ in 0..ATTEMPT_COUNT_MAX {
            let path = path.with_file_name(format!(".{name}{MARK}{:08x}", fastrand::u32(..)));
            let lock = make(&path)?;
            // Another export may take the new name for an abandoned one, before it is locked.
            let is_taken = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
            if !is_taken && path.symlink_metadata().is_ok() {
                return Ok(Self { path, lock, is_kept: false });
            }
        }
        Err(io::Error::other("other exports remove its temporary files; try again"))
    }

    /// Gives it the final name.
    pub(super) fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_kept {
            // The next export tries again.
            let _ = remove(&self.path);
        }
    }
}

/// Removes what killed exports of this user left in a directory. What cannot be looked at stays.
pub(super) fn remove_abandoned(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_temporary)) {
        let path = entry.path();
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&path);
        let Ok(file) = opened else { continue };
        let is_own = file.metadata().is_ok_and(|it| it.uid() == geteuid().as_raw());
        // A file system without locks does not tell; then everything stays.
        if is_own && file.try_lock().is_ok() {
            let _ = remove(&path);
        }
    }
}

fn is_temporary(name: &str) -> bool {
    let digits = name.strip_prefix('.').and_then(|name| name.rsplit_once(MARK)).map(|(_, digits)| digits);
    digits.is_some_and(|digits| {
        digits.len() == 8 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn only_what_no_process_holds_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let (held, _file) = Temporary::file(&place("held.tar")).unwrap();
        let held_directory = Temporary::directory(&place("held")).unwrap();
        fs::write(held_directory.path.join("blob"), b"bytes").unwrap();
        fs::write(place(".app.tar.wharf-0123abcd"), b"bytes").unwrap();
        fs::create_dir_all(place(".layout.wharf-89abcdef/blobs/sha256")).unwrap();
        fs::write(place(".layout.wharf-89abcdef/blobs/sha256/a"), b"bytes").unwrap();
        std::os::unix::fs::symlink(directory.path(), place(".link.wharf-00000000")).unwrap();
        let others =
            [".app.tar.wharf", ".app.wharf-0123ABCD", ".app.wharf-1", "app.wharf-0123abcd", "app.tar"];
        for name in others {
            fs::write(place(name), b"bytes").unwrap();
        }
        remove_abandoned(directory.path());
        let name_of = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = others.map(str::to_owned).to_vec();
        expected.extend([
            name_of(&held.path),
            name_of(&held_directory.path),
            ".link.wharf-00000000".to_owned(),
        ]);
        expected.sort_unstable();
        assert_eq!(names(directory.path()), expected);
        drop((held, held_directory));
        assert_eq!(names(directory.path()).len(), others.len() + 1);
    }

    #[test]
    fn a_long_name_has_room_for_its_mark() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("é".repeat(127));
        let temporary = Temporary::directory(&path).unwrap();
        assert!(is_temporary(temporary.path.file_name().unwrap().to_str().unwrap()));
        temporary.rename(&path).unwrap();
        assert_eq!(names(directory.path()), ["é".repeat(127)]);
    }
}
