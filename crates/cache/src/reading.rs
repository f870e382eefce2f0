//! Readers of a blob use it until their end, so no limit removes an image that a slow client still reads.

use std::sync::Arc;
use std::time::Duration;

use inventory::Inventory;
use oci::Digest;
use tokio::time::Instant;

/// A use is reported so often: often enough for the ten minutes for which an image stays after a use.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The blob of a reader.
#[derive(Debug)]
pub(crate) struct Reading {
    inventory: Arc<Inventory>,
    digest: Digest,
    reported_at: Instant,
}

impl Reading {
    /// A reader that begins now. Its first use was reported.
    pub(crate) fn new(inventory: &Arc<Inventory>, digest: &Digest) -> Self {
        Self { inventory: Arc::clone(inventory), digest: digest.clone(), reported_at: Instant::now() }
    }

    /// The reader takes a further piece.
    pub(crate) fn goes_on(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.reported_at) >= REPORT_EVERY {
            self.reported_at = now;
            self.inventory.blob_used(&self.digest);
        }
    }
}
