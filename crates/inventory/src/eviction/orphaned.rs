//! The removal of all blobs that no manifest names.

use futures_util::StreamExt;
use policy::eviction::KEEP_USED;

use super::Evictor;
use super::batch::{Batch, Freed};
use crate::failure::Failure;
use crate::short_digest::key_of;

/// Blobs that are removed at a time.
const BATCH_COUNT: usize = 256;

/// The outcome for the blobs that no manifest names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orphaned {
    /// The removed objects, or those that a dry run names.
    pub(crate) freed: Freed,
    /// Blobs that could not be removed.
    pub(crate) failure_count: usize,
}

impl Evictor<'_> {
    /// Removes blobs that no manifest names and that were not used lately, or only looks for them. A blob
    /// that a manifest comes to name meanwhile stays.
    ///
    /// # Errors
    /// The store cannot be searched. The blobs that were found before are gone.
    pub(crate) async fn remove_orphans(&mut self, is_dry_run: bool) -> Result<Orphaned, Failure> {
        let (inventory, serving) = (self.inventory, self.inventory.serving());
        let mut removed = Orphaned::default();
        let mut batch = Batch::default();
        let mut entries = inventory.store().entries();
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            let known = inventory.model.blobs.get(key_of(&entry.digest));
            let unused = inventory.unused(known.used);
            if !known.is_orphan() || unused < KEEP_USED || serving.is_filling(&entry.digest) {
                continue;
            }
            if is_dry_run {
                removed.freed.add(Freed { images: 1, bytes: entry.size });
                continue;
            }
            batch.add_orphan(entry.digest, entry.size);
            if batch.count() >= BATCH_COUNT {
                self.finish_orphans(std::mem::take(&mut batch), &mut removed).await;
            }
            if self.cancel.is_cancelled() {
                break;
            }
        }
        drop(entries);
        self.finish_orphans(batch, &mut removed).await;
        Ok(removed)
    }

    async fn finish_orphans(&mut self, batch: Batch, removed: &mut Orphaned) {
        let done = self.finish(batch).await;
        removed.freed.add(done.freed);
        // Removals that cannot be made durable keep all blobs of the batch.
        removed.failure_count += if done.is_broken { 1 } else { done.failure_count };
        removed.freed.images = removed.freed.images.saturating_sub(done.failure_count as u64);
    }
}
