//! What can go wrong in a store, in terms of what its caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

use oci::Digest;
use rustix::io::Errno;

/// A call that the store could not carry out. One line of text names the call, the path and the reason.
#[derive(Debug, thiserror::Error)]
#[error("{call} {}: {cause}", path.display())]
pub struct StoreError {
    kind: StoreErrorKind,
    call: &'static str,
    path: PathBuf,
    cause: io::Error,
}

/// The kinds of [`StoreError`], told apart where callers or operators act differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// No space, no inodes or no quota left (`ENOSPC`, `EDQUOT`).
    Full,
    /// The file system refuses writes (`EROFS`).
    ReadOnly,
    /// The process may not (`EACCES`, `EPERM`).
    Denied,
    /// Out of file descriptors or memory for the moment (`EMFILE`, `ENFILE`, `ENOMEM`).
    Busy,
    /// The root's `VERSION` file is gone: the volume is not mounted, or someone removed the store.
    MissingRoot,
    /// Another process uses the root.
    Locked,
    /// The root holds a layout that this program does not know.
    Version,
    /// The root is neither empty nor a store, or others may write into it.
    Unfit,
    /// Bytes or a size that contradict the size recorded for the blob.
    Size,
    /// The spool was finished, discarded, parked, or succeeded by another one.
    Closed,
    /// Any other failure of the operating system.
    Io,
}

impl StoreError {
    /// An error that the operating system reported for `call` on `path`.
    pub(crate) fn os(call: &'static str, path: &Path, errno: Errno) -> Self {
        let kind = match errno {
            Errno::NOSPC | Errno::DQUOT => StoreErrorKind::Full,
            Errno::ROFS => StoreErrorKind::ReadOnly,
            Errno::ACCESS | Errno::PERM => StoreErrorKind::Denied,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => StoreErrorKind::Busy,
            _ => StoreErrorKind::Io,
        };
        Self { kind, call, path: path.to_owned(), cause: errno.into() }
    }

    /// Like [`os`](Self::os), for an error that came through the standard library's type.
    pub(crate) fn io(call: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::os(call, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    /// An error that this crate found by itself; `reason` is a fragment fit for a log.
    pub(crate) fn own(
        kind: StoreErrorKind,
        call: &'static str,
        path: &Path,
        reason: impl Into<String>,
    ) -> Self {
        Self { kind, call, path: path.to_owned(), cause: io::Error::other(reason.into()) }
    }

    /// The same error, for another who waited for the call.
    pub(crate) fn copy(&self) -> Self {
        let cause = match self.errno() {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::other(self.cause.to_string()),
        };
        Self { kind: self.kind, call: self.call, path: self.path.clone(), cause }
    }

    /// What it means for the caller.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The call that failed, such as `fsync`: from a closed set, so that it can label a metric.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// The file or directory that it was about.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error number, when the operating system reported one.
    pub fn errno(&self) -> Option<i32> {
        self.cause.raw_os_error()
    }

    /// The failure beneath.
    pub fn cause(&self) -> &io::Error {
        &self.cause
    }

    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno.raw_os_error())
    }

    /// Whether there is nothing at the path: no such name, or something on the way that is no directory.
    pub(crate) fn is_absence(&self) -> bool {
        self.is(Errno::NOENT) || self.is(Errno::NOTDIR)
    }
}

/// Why bytes were not accepted as the content of a digest.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Bytes are missing. The spool stays as it is and can be written on.
    #[error("{missing} of {size} bytes are missing")]
    Incomplete {
        /// The size to be reached, in bytes.
        size: u64,
        /// How many bytes are missing.
        missing: u64,
    },
    /// More bytes came than the content has. The spool was deleted.
    #[error("{end} bytes came where {size} were announced")]
    TooLong {
        /// The size to be reached, in bytes.
        size: u64,
        /// Offset behind the last byte received.
        end: u64,
    },
    /// The bytes hash to something else. The spool was deleted.
    #[error("the bytes have the digest {found} instead of {wanted}")]
    Mismatch {
        /// The digest that the content was asked by.
        wanted: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests;
