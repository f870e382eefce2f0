//! The reasons why an import ended early.

use std::io;

use storage::StoreError;

use crate::tarball::TarError;

/// The reasons why an import ended early. Another run continues it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The directory cannot be read.
    #[error("cannot read the source: {0}")]
    Source(#[from] io::Error),
    /// The archive cannot be read, or is not one that wharf takes.
    #[error(transparent)]
    Archive(#[from] TarError),
    /// A part of the archive exceeds a bound.
    #[error("{0}")]
    Bound(String),
    /// A part of it has no room in its store.
    #[error("{0}; raise the limit, or remove images")]
    NoRoom(String),
    /// A registry's store cannot be used.
    #[error("{0}")]
    Target(String),
    /// The store failed.
    #[error("cannot store: {0}")]
    Store(#[from] StoreError),
}
