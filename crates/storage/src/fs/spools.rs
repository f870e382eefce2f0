//! Which spool a digest gets: one that goes on with what is left of an earlier one, one in memory as long as its
//! bytes are few, or one on a new file.

use std::sync::Arc;

use oci::Digest;
use parking_lot::Mutex;

use super::slots::Slot;
use super::store::FsStore;
use crate::error::StoreError;
use crate::extents::Extents;
use crate::growth::Growth;
use crate::spool::Spool;

impl FsStore {
    /// A spool in memory, where it takes no look at the disk to know that nothing is left of an earlier one.
    pub(super) fn collect(&self, digest: &Digest) -> Option<Arc<Spool>> {
        if self.partial_files().left.may_have(digest) {
            return None;
        }
        let slot = self.slots().of(digest);
        // Somebody else may be busy with the digest's file.
        let mut locked = slot.try_lock()?;
        if locked.is_live() {
            return None;
        }
        self.collect_in(digest, &slot, &mut locked)
    }

    /// `None`: all that is collected takes enough memory.
    fn collect_in(&self, digest: &Digest, slot: &Arc<Mutex<Slot>>, locked: &mut Slot) -> Option<Arc<Spool>> {
        let collected = self.collecting().begin(digest, slot)?;
        let growth = Arc::clone(collected.growth());
        locked.hold(&collected, &growth);
        Some(Spool::new(digest, growth, collected))
    }

    pub(super) fn spool_blocking(
        &self,
        digest: &Digest,
        may_take_up: bool,
    ) -> Result<Arc<Spool>, StoreError> {
        let slot = self.slots().of(digest);
        let mut locked = slot.lock();
        let may_take_up = locked.retire() && may_take_up;
        let taken_up = may_take_up.then(|| self.partial_files().take_up(digest)).flatten();
        let partial = match taken_up {
            Some(partial) => partial,
            None => {
                if let Some(spool) = self.collect_in(digest, &slot, &mut locked) {
                    return Ok(spool);
                }
                let growth = Growth::new(Extents::default(), None);
                self.partial_files().begin(digest, Arc::new(growth))?
            }
        };
        let growth = Arc::clone(partial.growth());
        let partial = Arc::new(partial);
        locked.hold(&partial, &growth);
        Ok(Spool::new(digest, growth, partial))
    }
}
