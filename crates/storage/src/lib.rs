//! Where blobs, manifests and tags are kept.
//!
//! Two engines stand behind two traits, [`BlobStore`] and [`RecordStore`]: [`fs`] keeps plain files,
//! [`MemoryStore`] is for tests. Foreign bytes get in through a [`Spool`] only, and come out of it as a
//! [`VerifiedSpool`] only when they have the digest that was asked for; manifests pass through
//! [`VerifiedManifest`].
//!
//! What a store promises: a name never stands for other bytes than its digest says, however the process or
//! the machine ends. Cached data may be lost, never wrong.

mod blob_store;
mod buffer_pool;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod extents;
pub mod fs;
mod memory;
mod open_blob;
mod publish;
mod record_store;
mod spool;
mod verified_manifest;

pub use blob_store::{BlobEntry, BlobStore};
pub use error::{StoreError, StoreErrorKind, VerifyError};
pub use memory::MemoryStore;
pub use open_blob::{OpenBlob, Signature};
pub use record_store::{
    HeldManifest, LIST_COUNT_MAX, MANIFEST_IN_MEMORY_BYTES_MAX, RecordStore, StoredList, StoredManifest,
};
pub use spool::{Spool, VerifiedSpool};
pub use verified_manifest::VerifiedManifest;
