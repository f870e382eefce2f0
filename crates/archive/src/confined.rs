//! Reading beneath a directory that others wrote.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, open, openat};
use rustix::io::Errno;

/// The most names read from one directory.
pub(crate) const NAME_COUNT_MAX: usize = 1_000_000;

/// An open directory. Everything beneath it is opened name by name, and no symbolic link is followed.
#[derive(Debug)]
pub(crate) struct Confined(File);

impl Confined {
    /// Opens the directory at `path`, which the user chose and which may be a link.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(File::from(open(path, flags, Mode::empty())?)))
    }

    /// Opens a directory beneath this one; `None`: there is none of that name.
    pub(crate) fn directory(&self, path: &[&str]) -> io::Result<Option<Self>> {
        let mut current = Self(self.0.try_clone()?);
        for name in path {
            match current.open_at(name, OFlags::DIRECTORY)? {
                Some(next) => current = Self(next),
                None => return Ok(None),
            }
        }
        Ok(Some(current))
    }

    /// Opens a regular file beneath this directory; `None`: there is none of that name. Returns its size in
    /// bytes too.
    pub(crate) fn file(&self, path: &[&str]) -> io::Result<Option<(File, u64)>> {
        let Some((name, above)) = path.split_last() else { return Ok(None) };
        let Some(directory) = self.directory(above)? else { return Ok(None) };
        let Some(file) = directory.open_at(name, OFlags::NONBLOCK)? else { return Ok(None) };
        let stat = fstat(&file)?;
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok(is_regular.then(|| (file, u64::try_from(stat.st_size).unwrap_or(0))))
    }

    /// Reads a small file and tells when it was last written; `None`: there is none of that name.
    ///
    /// # Errors
    /// I/O errors, and [`io::ErrorKind::FileTooLarge`] beyond `bytes_max`.
    pub(crate) fn read(&self, path: &[&str], bytes_max: usize) -> io::Result<Option<(Vec<u8>, SystemTime)>> {
        let Some((file, _)) = self.file(path)? else { return Ok(None) };
        let modified_at = file.metadata()?.modified()?;
        Ok(Some((read_all(file, bytes_max)?, modified_at)))
    }

    /// The names in this directory, sorted. Names that are not UTF-8 are left out: no name that wharf reads
    /// has others.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
            if names.len() > NAME_COUNT_MAX {
                return Err(io::Error::other(format!("a directory has more than {NAME_COUNT_MAX} names")));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open_at(&self, name: &str, flags: OFlags) -> io::Result<Option<File>> {
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags;
        match openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            // LOOP, NOTDIR: a symbolic link; NXIO: a socket.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Reads a file of up to `bytes_max` bytes, whatever size it claims.
pub(crate) fn read_all(file: File, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {bytes_max} bytes"),
        ));
    }
    Ok(bytes)
}
