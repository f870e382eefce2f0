//! Maintenance of a store: counting, cleaning, bounds.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::blob_store::BlobStore;
use crate::error::StoreError;
use crate::inspect::Inspect;
use crate::record_store::RecordStore;
use crate::space::Space;
use crate::usage::{Held, Usage};

/// Maintenance of a store.
#[async_trait]
pub trait Maintain: fmt::Debug + Send + Sync + 'static {
    /// Counts the content that earlier processes stored, for [`usage`](Self::usage). Call it once, in the
    /// background: it reads every directory of the store.
    async fn take_stock(&self);

    /// Removes partial content that was not resumed for a day. Call it every hour.
    async fn sweep(&self);

    /// Removes partial content that nothing reads or writes and that was not written for `unused_for`. With
    /// `is_dry_run` it removes nothing. Returns the number and the size of what goes. An engine without files
    /// has none.
    ///
    /// # Errors
    /// I/O errors: some of it may be gone.
    async fn remove_partial(&self, unused_for: Duration, is_dry_run: bool) -> Result<Held, StoreError> {
        let _ = (unused_for, is_dry_run);
        Ok(Held::default())
    }

    /// Removes quarantined files. With `is_dry_run` it removes nothing. Returns the number and the size of
    /// what goes. An engine without files has none.
    ///
    /// # Errors
    /// I/O errors: some of them may be gone.
    async fn remove_quarantined(&self, is_dry_run: bool) -> Result<Held, StoreError> {
        let _ = is_dry_run;
        Ok(Held::default())
    }

    /// Removes quarantined files, the oldest first, until `wanted` bytes are free or only the `kept_count`
    /// newest are left. Returns the number and the size of those that went. An engine without files has none.
    ///
    /// # Errors
    /// I/O errors: some of them may be gone.
    async fn remove_oldest_quarantined(&self, wanted: u64, kept_count: usize) -> Result<Held, StoreError> {
        let _ = (wanted, kept_count);
        Ok(Held::default())
    }

    /// Changes the bounds that the engine has: how many small blobs may stay open between two requests, how
    /// many bytes of incomplete small blobs may be in memory, and how many small blobs may wait for the disk.
    fn set_bounds(&self, kept_open_count_max: u64, collected_bytes_max: u64, unstored_count_max: usize);

    /// How much the store holds now. Does not access the disk.
    fn usage(&self) -> Usage;

    /// The size and the free space of the file system below the store; `None`: the engine has no file system.
    /// Asks the file system.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn space(&self) -> Result<Option<Space>, StoreError>;
}

/// The whole contract of an engine.
pub trait Store: BlobStore + RecordStore + Maintain + Inspect {}

impl<T: BlobStore + RecordStore + Maintain + Inspect + ?Sized> Store for T {}
