//! Opens the spool of a digest: one that resumes an earlier spool's file, one in memory while its bytes are
//! few, or one with a new file.

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
    /// A spool in memory, if it is known without accessing the disk that an earlier spool left no file.
    pub(super) fn collect(&self, digest: &Digest) -> Option<Arc<Spool>> {
        if self.partial_files().left.may_have(digest) {
            return None;
        }
        let slot = self.slots().of(digest);
        // Another job may use the digest's file.
        let mut locked = slot.try_lock()?;
        if locked.is_live() {
            return None;
        }
        self.collect_in(digest, &slot, &mut locked)
    }

    /// A spool in memory. `None`: the memory for collected blobs is used up.
    fn collect_in(&self, digest: &Digest, slot: &Arc<Mutex<Slot>>, locked: &mut Slot) -> Option<Arc<Spool>> {
        let collected = self.collecting().begin(digest, slot)?;
        let growth = Arc::clone(collected.growth());
        locked.hold(&collected, &growth);
        Some(Spool::new(digest, growth, collected))
    }

    pub(super) fn spool_blocking(&self, digest: &Digest, may_resume: bool) -> Result<Arc<Spool>, StoreError> {
        let slot = self.slots().of(digest);
        let mut locked = slot.lock();
        let may_resume = locked.retire() && may_resume;
        let resumed = may_resume.then(|| self.partial_files().resume(digest)).flatten();
        let partial = match resumed {
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
