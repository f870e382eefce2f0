//! Where blobs, manifests and tags are kept.
//!
//! The contract is a [`Store`], which is a [`BlobStore`], a [`RecordStore`] and can [`Maintain`] itself, and the values
//! that they exchange, which name no engine. Below it stands the file engine, [`fs`], which keeps plain files. Foreign bytes get in through a [`Spool`]
//! only, and come out of it as a [`VerifiedSpool`] only when they have the digest that was asked for; manifests pass
//! through [`VerifiedManifest`].
//!
//! A store promises that a name never stands for other bytes than its digest says, however the process or
//! the machine ends. Cached data may be lost, never wrong.
//!
//! Behind the feature `conformance` are the suite that every engine passes and an engine in memory, for tests.

mod blob_store;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod content;
mod error;
mod extents;
pub mod fs;
mod growth;
mod maintain;
#[cfg(any(test, feature = "conformance"))]
mod memory;
mod pieces;
mod record_store;
mod spool;
mod usage;
mod verified_manifest;

pub use blob_store::{BlobEntry, BlobStore};
pub use content::{OpenBlob, OpenFile, Validator};
pub use error::{StoreError, StoreErrorKind, VerifyError};
pub use maintain::{Maintain, Store};
#[cfg(any(test, feature = "conformance"))]
pub use memory::MemoryStore;
pub use record_store::{
    HeldManifest, LIST_COUNT_MAX, MANIFEST_IN_MEMORY_BYTES_MAX, RecordStore, StoredList, StoredManifest,
};
pub use spool::Spool;
pub use spool::finish::VerifiedSpool;
pub use usage::{Held, Usage};
pub use verified_manifest::VerifiedManifest;
