//! All system calls of the file engine, and nothing else. An error names the call and its path.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    self, Advice, CWD, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, Stat,
};
use rustix::io::{self, Errno, ReadWriteFlags, retry_on_intr};

use super::fault::{Call, Extent, Faults};
use crate::error::StoreError;
use crate::space::{Files, Space};

/// The most slices that one `pwritev` takes (`UIO_MAXIOV`).
const SLICE_COUNT_MAX: usize = 1024;

/// The flags for opening a name that may be anything: links are not followed, and a planted pipe does not
/// block. (`RDONLY` is no bit.)
const READING: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The only access to the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    faults: Faults,
}

/// The kind of file under a name.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    /// Not a regular file: a directory, a link, a device.
    Unfit,
    /// A regular file and its size in bytes.
    Regular(File, u64),
}

/// The names in an open directory.
#[derive(Debug)]
pub(crate) struct Names {
    directory: Option<Dir>,
    path: PathBuf,
}

impl Disk {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults }
    }

    /// Opens a regular file for reading, or for reading and writing.
    pub(crate) fn open_regular(&self, path: &Path, access: OFlags) -> Result<Found, StoreError> {
        let file = match self.open("open", path, access | READING) {
            Ok(file) => file,
            Err(error) if error.is_absence() => return Ok(Found::Nothing),
            // LOOP: a symbolic link; ISDIR: a directory opened for writing; NXIO: a socket.
            Err(error) if error.is(Errno::LOOP) || error.is(Errno::ISDIR) || error.is(Errno::NXIO) => {
                return Ok(Found::Unfit);
            }
            Err(error) => return Err(error),
        };
        let stat = self.call("fstat", Call::Stat, path, || fs::fstat(&file))?;
        Ok(if is_regular(&stat) { Found::Regular(file, size_of(&stat)) } else { Found::Unfit })
    }

    /// Opens a regular file for reading if the kernel has the whole path in memory (`openat2` with
    /// `RESOLVE_CACHED`, Linux 5.12). `None`: unknown; call [`open_regular`](Self::open_regular), which may
    /// block.
    pub(crate) fn open_cached(&self, path: &Path) -> Option<Found> {
        if self.faults.may_come() {
            // Faults are injected into the call that reports errors.
            return None;
        }
        let flags = READING | OFlags::CLOEXEC;
        let file = match fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Some(Found::Nothing),
            Err(_) => return None,
        };
        let stat = fs::fstat(&file).ok()?;
        is_regular(&stat).then(|| Found::Regular(file, size_of(&stat)))
    }

    /// Creates a file that must not exist yet and that only its owner can read.
    pub(crate) fn create(&self, path: &Path) -> Result<File, StoreError> {
        self.open("create", path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW)
    }

    /// Opens the root's lock file, creating it if the file system is writable.
    pub(crate) fn open_lock(&self, path: &Path) -> Result<File, StoreError> {
        // Network file systems grant an exclusive lock only on a file that is open for writing.
        match self.open("open", path, OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW) {
            Err(error) if error.is(Errno::ROFS) => self.open("open", path, OFlags::RDONLY | OFlags::NOFOLLOW),
            opened => opened,
        }
    }

    fn open(&self, name: &'static str, path: &Path, flags: OFlags) -> Result<File, StoreError> {
        self.call(name, Call::Open, path, || {
            retry_on_intr(|| fs::open(path, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR))
        })
        .map(File::from)
    }

    /// Takes the exclusive lock on an open file; false: another process has it.
    pub(crate) fn try_lock(&self, file: &File, path: &Path) -> Result<bool, StoreError> {
        let lock = || retry_on_intr(|| fs::flock(file, FlockOperation::NonBlockingLockExclusive));
        match self.call("flock", Call::Lock, path, lock) {
            Ok(()) => Ok(true),
            Err(error) if error.is(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The attributes of a name, without following links; `None`: there is no such name.
    pub(crate) fn stat(&self, path: &Path) -> Result<Option<Stat>, StoreError> {
        match self.call("stat", Call::Stat, path, || fs::lstat(path)) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The attributes of a name, links followed.
    pub(crate) fn stat_target(&self, path: &Path) -> Result<Stat, StoreError> {
        self.call("stat", Call::Stat, path, || fs::stat(path))
    }

    /// Reads up to `buffer.len()` bytes at `offset`; 0 only at the end of the file.
    pub(crate) fn read(&self, file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.faults.before(Call::Read, Path::new(""))?;
        Ok(retry_on_intr(|| io::pread(file, &mut *buffer, offset))?)
    }

    /// Reads until `buffer` is full or the file ends. Returns the number of bytes.
    pub(crate) fn read_full(&self, file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(file, &mut buffer[filled..], offset + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    /// Reads the bytes at `offset` that are in the page cache (`RWF_NOWAIT`, Linux 4.14).
    ///
    /// # Errors
    /// `EAGAIN` when there are none; `EOPNOTSUPP` when the file system cannot tell.
    pub(crate) fn read_cached(&self, file: &File, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.faults.before(Call::Read, Path::new(""))?;
        io::preadv2(file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT)
    }

    /// Sends up to `len` bytes at `offset` to a socket without copying them; 0 only at the end of the file.
    ///
    /// # Errors
    /// `EAGAIN` when the socket's buffer is full; `EINVAL` when the file system cannot do it.
    pub(crate) fn send(
        &self,
        file: &File,
        socket: BorrowedFd<'_>,
        mut offset: u64,
        len: usize,
    ) -> Result<usize, Errno> {
        self.faults.before(Call::Read, Path::new(""))?;
        retry_on_intr(|| fs::sendfile(socket, file, Some(&mut offset), len))
    }

    /// Tells the kernel that a file will be read from front to back. Only a hint.
    pub(crate) fn expect_sequential_reads(&self, file: &File) {
        let _ = fs::fadvise(file, 0, None, Advice::Sequential);
    }

    /// Tells the kernel to read only the bytes that are asked for. Only a hint.
    pub(crate) fn expect_random_reads(&self, file: &File) {
        let _ = fs::fadvise(file, 0, None, Advice::Random);
    }

    /// Takes bytes out of the page cache that no other reader has in use. Only a hint.
    pub(crate) fn drop_cached(&self, file: &File, offset: u64, len: u64) {
        let _ = fs::fadvise(file, offset, NonZeroU64::new(len), Advice::DontNeed);
    }

    /// Writes all of `slices` at `offset`.
    pub(crate) fn write_all(
        &self,
        file: &File,
        path: &Path,
        slices: &mut [IoSlice<'_>],
        mut offset: u64,
    ) -> Result<(), StoreError> {
        let mut rest = slices;
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let extent = self.before("pwritev", Call::Write, path)?;
            let written = match extent {
                Extent::Whole => {
                    retry_on_intr(|| io::pwritev(file, &rest[..rest.len().min(SLICE_COUNT_MAX)], offset))
                }
                Extent::Half => io::pwrite(file, &rest[0][..rest[0].len().div_ceil(2)], offset),
            };
            let count = written.map_err(|errno| StoreError::os("pwritev", path, errno))?;
            if count == 0 {
                // Not expected of a regular file; without this, the loop would never end.
                return Err(StoreError::os("pwritev", path, Errno::IO));
            }
            offset += count as u64;
            IoSlice::advance_slices(&mut rest, count);
        }
        Ok(())
    }

    /// Makes the content of `file` that of `other`, so that both share their blocks until one is written
    /// (FICLONE). Returns false where that is not possible.
    pub(crate) fn share(&self, other: &File, file: &File, path: &Path) -> Result<bool, StoreError> {
        self.before("ioctl", Call::Write, path)?;
        match fs::ioctl_ficlone(file, other) {
            Ok(()) => Ok(true),
            // Not this file system, not both files on one, not these kinds of files, or forbidden here.
            Err(
                Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::PERM | Errno::NOSYS,
            ) => Ok(false),
            Err(errno) => Err(StoreError::os("ioctl", path, errno)),
        }
    }

    /// Cuts a file to `len` bytes.
    pub(crate) fn truncate(&self, file: &File, path: &Path, len: u64) -> Result<(), StoreError> {
        self.call("ftruncate", Call::Truncate, path, || retry_on_intr(|| fs::ftruncate(file, len)))
    }

    /// Makes a file's contents durable. After an error the kernel may treat the lost pages as clean, so the
    /// call must not be repeated on the same file: it would succeed although the bytes are lost.
    pub(crate) fn sync(&self, file: &File, path: &Path) -> Result<(), StoreError> {
        self.call("fsync", Call::Sync, path, || fs::fsync(file))
    }

    /// Like [`sync`](Self::sync), for the contents and the size alone.
    pub(crate) fn sync_data(&self, file: &File, path: &Path) -> Result<(), StoreError> {
        self.call("fdatasync", Call::Sync, path, || fs::fdatasync(file))
    }

    /// Makes everything written to the file system of `file` durable, including names. From Linux 5.8 on it
    /// reports writes that failed since that file was opened. False: that is not possible here.
    pub(crate) fn sync_whole(&self, file: impl AsFd, path: &Path) -> Result<bool, StoreError> {
        match self.call("syncfs", Call::Sync, path, || fs::syncfs(file)) {
            Ok(()) => Ok(true),
            // The kernel does not support it, or a filter of system calls forbids it.
            Err(error) if [Errno::NOSYS, Errno::PERM, Errno::INVAL].iter().any(|errno| error.is(*errno)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a directory.
    pub(crate) fn open_directory(&self, path: &Path) -> Result<File, StoreError> {
        self.open("open", path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_directory(&self, path: &Path) -> Result<(), StoreError> {
        let directory = self.open_directory(path)?;
        match self.call("fsync", Call::Sync, path, || fs::fsync(&directory)) {
            // Some network and FUSE file systems do not support it.
            Err(error) if error.is(Errno::INVAL) => Ok(()),
            synced => synced,
        }
    }

    /// Renames a file, replacing any file under the new name.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let renamed = self.faults.before_rename(from, to).and_then(|_| fs::rename(from, to));
        renamed.map_err(|errno| StoreError::os("rename", to, errno))
    }

    /// Renames a file if the new name does not exist yet. False: it exists, or the file system cannot tell.
    pub(crate) fn rename_to_new(&self, from: &Path, to: &Path) -> Result<bool, StoreError> {
        let rename = |_| fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
        match self.faults.before_rename(from, to).and_then(rename) {
            Ok(()) => Ok(true),
            // INVAL, NOSYS: the file system (NFS, some FUSE ones) or the kernel does not support it.
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => Ok(false),
            Err(errno) => Err(StoreError::os("rename", to, errno)),
        }
    }

    /// Removes a name. It is no error if it is gone already.
    pub(crate) fn unlink(&self, path: &Path) -> Result<(), StoreError> {
        match self.call("unlink", Call::Unlink, path, || fs::unlink(path)) {
            Err(error) if error.is_absence() => Ok(()),
            unlinked => unlinked,
        }
    }

    /// Removes an empty directory; fine when it is gone already. False: it is not empty, or no directory.
    pub(crate) fn remove_directory(&self, path: &Path) -> Result<bool, StoreError> {
        // EXIST: some file systems call it that; BUSY: something is mounted on it.
        let stays = [Errno::NOTEMPTY, Errno::EXIST, Errno::NOTDIR, Errno::BUSY];
        match self.call("rmdir", Call::Unlink, path, || fs::rmdir(path)) {
            Ok(()) => Ok(true),
            Err(error) if stays.into_iter().any(|errno| error.is(errno)) => Ok(false),
            Err(error) if error.is_absence() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The size and the free space of the file system that holds `path`.
    pub(crate) fn space(&self, path: &Path) -> Result<Space, StoreError> {
        let stat = self.call("statvfs", Call::Stat, path, || retry_on_intr(|| fs::statvfs(path)))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space {
            total: bytes(stat.f_blocks),
            free: bytes(stat.f_bavail),
            unused: bytes(stat.f_bfree),
            // btrfs and FAT say 0.
            files: (stat.f_files > 0)
                .then(|| Files { total: stat.f_files, free: stat.f_favail.min(stat.f_files) }),
            file_system: Some(stat.f_fsid).filter(|id| *id != 0),
        })
    }

    /// Creates a directory for the owner and group; false: the name exists already.
    pub(crate) fn make_directory(&self, path: &Path) -> Result<bool, StoreError> {
        let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP;
        match self.call("mkdir", Call::MakeDirectory, path, || fs::mkdir(path, mode)) {
            Ok(()) => Ok(true),
            Err(error) if error.is(Errno::EXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The length of an open file in bytes. Not subject to injected faults, because `fstat` does not fail
    /// here.
    pub(crate) fn len(&self, file: &File) -> Option<u64> {
        fs::fstat(file).ok().map(|stat| size_of(&stat))
    }

    /// Calls `visit` with each name in a directory, in no order, until it breaks. An absent directory has no
    /// names.
    pub(crate) fn list(
        &self,
        path: &Path,
        visit: &mut dyn FnMut(&OsStr) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut names = self.names(path)?;
        while let Some(name) = names.read()? {
            if visit(&name).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Opens a directory to read its names in batches, in no order. An absent directory has no names.
    pub(crate) fn names(&self, path: &Path) -> Result<Names, StoreError> {
        let opened = self.call("readdir", Call::ReadDirectory, path, || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Dir::new(fs::open(path, flags, Mode::empty())?)
        });
        let directory = match opened {
            Ok(directory) => Some(directory),
            Err(error) if error.is_absence() || error.is(Errno::LOOP) => None,
            Err(error) => return Err(error),
        };
        Ok(Names { directory, path: path.to_owned() })
    }

    fn before(&self, name: &'static str, call: Call, path: &Path) -> Result<Extent, StoreError> {
        self.faults.before(call, path).map_err(|errno| StoreError::os(name, path, errno))
    }

    fn call<T>(
        &self,
        name: &'static str,
        call: Call,
        path: &Path,
        action: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, StoreError> {
        self.before(name, call, path)?;
        action().map_err(|errno| StoreError::os(name, path, errno))
    }
}

impl Names {
    /// Up to `count` further names; fewer only at the end.
    pub(crate) fn next(&mut self, count: usize) -> Result<Vec<OsString>, StoreError> {
        let mut names = Vec::new();
        while names.len() < count {
            let Some(name) = self.read()? else { break };
            names.push(name);
        }
        Ok(names)
    }

    fn read(&mut self) -> Result<Option<OsString>, StoreError> {
        while let Some(entry) = self.directory.as_mut().and_then(Dir::read) {
            let entry = entry.map_err(|errno| StoreError::os("readdir", &self.path, errno))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                return Ok(Some(OsStr::from_bytes(name).to_owned()));
            }
        }
        Ok(None)
    }
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// The length of a regular file in bytes; `None`: it is no regular file.
pub(crate) fn regular_len(stat: &Stat) -> Option<u64> {
    is_regular(stat).then(|| size_of(stat))
}

/// The size in a `stat`; no regular file has a negative one.
pub(crate) fn size_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}
