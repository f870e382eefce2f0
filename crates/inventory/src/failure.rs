//! Failures of the store below an inventory.

use std::io;

use oci::Digest;
use storage::StoreError;
use telemetry::StoreCall;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A call failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of a manifest cannot be read.
    #[error("read manifest {digest}: {source}")]
    Read {
        /// The manifest.
        digest: Digest,
        /// The reason.
        source: io::Error,
    },
}

impl Failure {
    /// The call that failed.
    pub(crate) fn call(&self) -> StoreCall {
        match self {
            Self::Store(error) => error.call(),
            Self::Read { .. } => StoreCall::Pread,
        }
    }
}
