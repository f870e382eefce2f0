//! The removal of everything that no image needs.

use std::time::Duration;

use policy::eviction::KEEP_USED;
use storage::Held;
use tracing::info;

use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::purge::PurgeError;

/// A partial file that was written within this time stays: the next pull of its blob resumes it.
pub const PRUNE_PARTIAL_AFTER: Duration = Duration::from_secs(3600);

/// The objects that a prune removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Blobs that no manifest names.
    pub orphans: Held,
    /// Unfinished blobs that no transfer owns.
    pub partial: Held,
    /// Damaged files that were set aside.
    pub quarantine: Held,
    /// The number of those that could not be removed. The log has the reasons.
    pub failure_count: usize,
}

impl Keeper {
    /// Removes unfinished blobs that no transfer owns and that nothing wrote to lately, if any bytes are
    /// wanted: they go before images do. Returns the bytes that this freed.
    pub(crate) async fn remove_unfinished(&self, wanted: u64) -> u64 {
        let inventory = self.inventory();
        if wanted == 0 || inventory.usage().partial.bytes == 0 {
            return 0;
        }
        let removed = inventory.store().remove_partial(KEEP_USED, false).await.unwrap_or_else(|error| {
            inventory.failed(&error.into(), "unfinished blobs cannot be removed");
            Held::default()
        });
        if removed.count > 0 {
            let (registry, count, bytes) = (inventory.name(), removed.count, removed.bytes);
            info!(registry, count, bytes, "unfinished blobs were removed to make room");
        }
        removed.bytes
    }

    /// Removes blobs that no manifest names and that were not used lately, unfinished blobs that no transfer
    /// owns, and damaged files. With `is_dry_run` it removes nothing.
    ///
    /// # Errors
    /// [`PurgeError::NotReady`], [`PurgeError::Store`]. Some of it may be gone.
    pub async fn prune(&self, is_dry_run: bool) -> Result<Pruned, PurgeError> {
        // Until all manifests are known, any blob may look like an orphan.
        if !self.inventory().is_complete() {
            return Err(PurgeError::NotReady);
        }
        let orphaned = self.remove_orphans(is_dry_run).await.map_err(PurgeError::Store)?;
        let store = self.inventory().store();
        let failed = |error| PurgeError::Store(Failure::from(error));
        let partial = store.remove_partial(PRUNE_PARTIAL_AFTER, is_dry_run).await.map_err(failed)?;
        let quarantine = store.remove_quarantined(is_dry_run).await.map_err(failed)?;
        let orphans = Held { bytes: orphaned.freed.bytes, count: orphaned.freed.images };
        Ok(Pruned { orphans, partial, quarantine, failure_count: orphaned.failure_count })
    }
}
