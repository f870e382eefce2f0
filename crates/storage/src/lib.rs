//! Stores blobs, manifests and tags.
//!
//! The contract is a [`Store`]: a [`BlobStore`] and a [`RecordStore`] that can [`Maintain`] itself. It and
//! the values that pass through it name no engine. Below it is the file engine, [`fs`], which writes plain
//! files. Foreign bytes enter only through a [`Spool`], which yields a [`VerifiedSpool`] only when they have
//! the wanted digest; manifests enter through [`VerifiedManifest`].
//!
//! A store promises that the content under a digest always has that digest, however the process or the
//! machine ends. Stored data may be lost, but is never wrong.
//!
//! The feature `conformance` adds the test suite that every engine passes, and an engine in memory for tests.

mod blob_store;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod content;
mod error;
mod extents;
pub mod fs;
mod growth;
mod inspect;
mod maintain;
#[cfg(any(test, feature = "conformance"))]
mod memory;
mod note;
mod pieces;
mod record_store;
mod space;
mod spool;
mod usage;
mod verified_manifest;

pub use blob_store::{BlobEntry, BlobStore};
pub use content::{OpenBlob, OpenFile, Validator};
pub use error::{StoreError, StoreErrorKind, VerifyError};
pub use inspect::{Inspect, Part};
pub use maintain::{Maintain, Store};
#[cfg(any(test, feature = "conformance"))]
pub use memory::{MemoryStore, Operation};
pub use note::NOTE_BYTES_MAX;
pub use record_store::{
    HeldLists, HeldManifest, LIST_COUNT_MAX, MANIFEST_IN_MEMORY_BYTES_MAX, ManifestEntry, RecordStore,
    StoredList, StoredManifest,
};
pub use space::{Files, Space};
pub use spool::Spool;
pub use spool::finish::VerifiedSpool;
pub use usage::{Held, Usage};
pub use verified_manifest::VerifiedManifest;
