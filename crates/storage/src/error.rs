//! The errors of a store, by what its caller can do about them.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use oci::Digest;
use telemetry::StoreCall;

/// A call that the store could not carry out. One line of text names the call, its target and the reason; the reason is
/// the [`source`](Error::source) as well. Clones are the same error, for each who waited for the call.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    call: StoreCall,
    target: String,
    source: Arc<dyn Error + Send + Sync>,
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
    /// Any other I/O error.
    Io,
}

impl StoreError {
    /// An error of what lies beneath the engine.
    pub(crate) fn new(
        kind: StoreErrorKind,
        call: &'static str,
        target: impl Into<String>,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self { kind, call: StoreCall::named(call), target: target.into(), source: Arc::new(source) }
    }

    /// An error that this crate found by itself; `reason` is a fragment fit for a log.
    pub(crate) fn own(
        kind: StoreErrorKind,
        call: &'static str,
        target: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::new(kind, call, target, io::Error::other(reason.into()))
    }

    /// The kind, for the caller to act on.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The call that failed, such as `fsync`.
    pub fn call(&self) -> StoreCall {
        self.call
    }

    /// The object of the call, in the engine's terms: for the file engine, a path.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Why the call failed, without the call and its target.
    pub fn reason(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.source
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.call, self.target, self.source)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
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
