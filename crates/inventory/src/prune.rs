//! The removal of everything that no image needs.

use std::time::Duration;

use policy::eviction::KEEP_USED;
use storage::Held;
use tracing::info;

use crate::clock::Seconds;
use crate::failure::Failure;
use crate::inventory::Unlisted;
use crate::keeper::Keeper;
use crate::purge::PurgeError;

/// A partial file that was written within this time stays: the next pull of its blob resumes it.
pub const PRUNE_PARTIAL_AFTER: Duration = Duration::from_secs(3600);

/// The newest damaged files, which an operator may want to examine, stay while images can go instead.
const QUARANTINE_KEPT: usize = 4;

/// The objects that a prune removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Blobs that no manifest names.
    pub orphans: Held,
    /// Unfinished blobs that no transfer owns.
    pub partial: Held,
    /// Damaged files that were set aside.
    pub quarantine: Held,
    /// Lists of tags and referrers of repositories without an image.
    pub lists: Held,
    /// The number of those that could not be removed. The log has the reasons.
    pub failure_count: usize,
}

impl Keeper {
    /// Removes unfinished blobs that no transfer owns and that nothing wrote to lately, if any bytes are
    /// wanted: they go before images do. Returns the bytes that this freed.
    async fn remove_unfinished(&self, wanted: u64) -> u64 {
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

    /// Removes what goes before images do: unfinished blobs, damaged files but for the newest, and loose
    /// lists. Returns the bytes that this freed.
    pub(crate) async fn remove_before_images(&self, wanted: u64) -> u64 {
        let mut freed = self.remove_unfinished(wanted).await;
        freed += self.remove_damaged(wanted.saturating_sub(freed), QUARANTINE_KEPT).await;
        freed + self.remove_loose_lists(wanted.saturating_sub(freed), Seconds::MAX).await
    }

    /// Removes loose lists, none with a last use after `until`, if any bytes are wanted. Returns the bytes
    /// that this freed.
    pub(crate) async fn remove_loose_lists(&self, wanted: u64, until: Seconds) -> u64 {
        let inventory = self.inventory();
        let removed = inventory.remove_loose_lists(wanted, until).await.held;
        if removed.count > 0 {
            let (registry, count, bytes) = (inventory.name(), removed.count, removed.bytes);
            info!(registry, count, bytes, "lists of repositories without an image were removed");
        }
        removed.bytes
    }

    /// Removes damaged files, the oldest first, if any bytes are wanted. The `kept_count` newest stay.
    /// Returns the bytes that this freed.
    pub(crate) async fn remove_damaged(&self, wanted: u64, kept_count: usize) -> u64 {
        let inventory = self.inventory();
        if wanted == 0 || inventory.usage().quarantine.bytes == 0 {
            return 0;
        }
        let removed = inventory.store().remove_oldest_quarantined(wanted, kept_count).await;
        let removed = removed.unwrap_or_else(|error| {
            inventory.failed(&error.into(), "damaged files cannot be removed");
            Held::default()
        });
        if removed.count > 0 {
            let (registry, count, bytes) = (inventory.name(), removed.count, removed.bytes);
            info!(registry, count, bytes, "damaged files were removed to make room");
        }
        removed.bytes
    }

    /// Removes blobs that no manifest names and loose lists, where they were not used lately, unfinished
    /// blobs that no transfer owns, and damaged files. With `is_dry_run` it removes nothing.
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
        let until = self.inventory().unused_for(KEEP_USED);
        let unlisted = if is_dry_run {
            let held = self.inventory().model.lists.lock().loose_until(until);
            Unlisted { held, failure_count: 0 }
        } else {
            self.inventory().remove_loose_lists(u64::MAX, until).await
        };
        let failure_count = orphaned.failure_count + unlisted.failure_count;
        Ok(Pruned { orphans, partial, quarantine, lists: unlisted.held, failure_count })
    }
}
