//! The upkeep of a store, and how much it holds.

use std::fmt;

use async_trait::async_trait;

use crate::blob_store::BlobStore;
use crate::record_store::RecordStore;
use crate::usage::Usage;

/// The upkeep of a store.
#[async_trait]
pub trait Maintain: fmt::Debug + Send + Sync + 'static {
    /// Counts what earlier processes left, for [`usage`](Self::usage). To be called once, in the background: it looks
    /// at everything that is stored, and nothing waits for it.
    async fn take_stock(&self);

    /// Removes what was left behind and was not taken up for a day. To be called every hour.
    async fn sweep(&self);

    /// Changes how many small blobs may be kept open between two requests, how many bytes of small blobs that are not
    /// complete may be in memory, and how many small blobs may wait for the disk, where the engine does any of it.
    fn set_bounds(&self, kept_open_count_max: u64, collected_bytes_max: u64, unstored_count_max: usize);

    /// How much the store holds now. Takes no look at the disk.
    fn usage(&self) -> Usage;
}

/// Everything that an engine does.
pub trait Store: BlobStore + RecordStore + Maintain {}

impl<T: BlobStore + RecordStore + Maintain + ?Sized> Store for T {}
