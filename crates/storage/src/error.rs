//! The errors of a store, classified by how its caller reacts.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use oci::Digest;
use telemetry::StoreCall;

/// A failed call of the store. Its one line of text names the call, its target and the reason; the reason is
/// also the [`source`](Error::source). Clones share it, for all callers that waited for the call.
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    call: StoreCall,
    target: String,
    source: Arc<dyn Error + Send + Sync>,
}

/// The kinds of [`StoreError`], separate where callers or operators act differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// No space, no inodes or no quota left (`ENOSPC`, `EDQUOT`).
    Full,
    /// The file system refuses writes (`EROFS`).
    ReadOnly,
    /// The process lacks permission (`EACCES`, `EPERM`).
    Denied,
    /// Temporarily out of file descriptors or memory (`EMFILE`, `ENFILE`, `ENOMEM`).
    Busy,
    /// The root's `VERSION` file is gone: the volume is not mounted, or the store was removed.
    MissingRoot,
    /// Another process uses the root.
    Locked,
    /// The root has a layout that this program does not know.
    Version,
    /// The root is neither empty nor a store, or everyone may write to it.
    Unfit,
    /// Bytes or a size that contradict the size recorded for the blob, or a note that is too large.
    Size,
    /// The spool was finished, discarded, parked, or superseded by another one.
    Closed,
    /// Any other I/O error.
    Io,
}

impl StoreError {
    /// An error with a cause below the engine.
    pub(crate) fn new(
        kind: StoreErrorKind,
        call: &'static str,
        target: impl Into<String>,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self { kind, call: StoreCall::named(call), target: target.into(), source: Arc::new(source) }
    }

    /// An error that this crate detected; `reason` is a fragment for a log.
    pub(crate) fn own(
        kind: StoreErrorKind,
        call: &'static str,
        target: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::new(kind, call, target, io::Error::other(reason.into()))
    }

    /// The kind of error.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The call that failed, such as `fsync`.
    pub fn call(&self) -> StoreCall {
        self.call
    }

    /// The target of the call, in the engine's terms: for the file engine, a path.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The reason, without the call and its target.
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

/// The reason why bytes were not accepted as the content of a digest.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Bytes are missing. The spool is unchanged and can be written further.
    #[error("{missing} of {size} bytes are missing")]
    Incomplete {
        /// The announced size in bytes.
        size: u64,
        /// The number of missing bytes.
        missing: u64,
    },
    /// More bytes were received than announced. The spool was deleted.
    #[error("{end} bytes were received where {size} were announced")]
    TooLong {
        /// The announced size in bytes.
        size: u64,
        /// The offset after the last received byte.
        end: u64,
    },
    /// The bytes have another digest. The spool was deleted.
    #[error("the bytes have the digest {found} instead of {wanted}")]
    Mismatch {
        /// The requested digest.
        wanted: Digest,
        /// The digest of the received bytes.
        found: Digest,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
