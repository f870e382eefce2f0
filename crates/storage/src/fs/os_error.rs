//! Store errors from the operating system's error numbers.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{StoreError, StoreErrorKind};

impl StoreError {
    /// The error that the operating system reported for `call` on `path`.
    pub(crate) fn os(call: &'static str, path: &Path, errno: Errno) -> Self {
        let kind = match errno {
            Errno::NOSPC | Errno::DQUOT => StoreErrorKind::Full,
            Errno::ROFS => StoreErrorKind::ReadOnly,
            Errno::ACCESS | Errno::PERM => StoreErrorKind::Denied,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => StoreErrorKind::Busy,
            _ => StoreErrorKind::Io,
        };
        Self::new(kind, call, path.to_string_lossy(), io::Error::from(errno))
    }

    /// Like [`os`](Self::os), for an error of the standard library's type.
    pub(crate) fn io(call: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::os(call, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    /// The error number, when the operating system reported one.
    pub(crate) fn errno(&self) -> Option<i32> {
        self.reason().downcast_ref::<io::Error>().and_then(io::Error::raw_os_error)
    }

    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno.raw_os_error())
    }

    /// Whether the path does not exist: no such name, or a parent is no directory.
    pub(crate) fn is_absence(&self) -> bool {
        self.is(Errno::NOENT) || self.is(Errno::NOTDIR)
    }
}

#[cfg(test)]
mod tests;
