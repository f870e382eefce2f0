//! What a store asks to be done for it now and then, and what it tells about itself.

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

    /// Changes how many small blobs may be kept open between two who ask for them, and what bytes of small blobs on their
    /// way may take of memory, where the engine does either.
    fn set_bounds(&self, kept_open_count_max: u64, collected_bytes_max: u64);

    /// What the store holds now: known without a look at the disk.
    fn usage(&self) -> Usage;
}

/// Everything that an engine does.
pub trait Store: BlobStore + RecordStore + Maintain {}

impl<T: BlobStore + RecordStore + Maintain + ?Sized> Store for T {}
