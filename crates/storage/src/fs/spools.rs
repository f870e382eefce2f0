//! Which spool a digest gets: one that goes on with what is left of an earlier one, one in memory as long as its
//! bytes are few, or one on a new file.

use std::sync::Arc;

use oci::Digest;

use super::FsStore;
use super::collected::Collected;
use super::slots::{self, Slot};
use crate::error::StoreError;
use crate::extents::Extents;
use crate::spool::Spool;
use crate::spool::growth::Growth;

impl FsStore {
    /// A spool in memory, where it takes no look at the disk to know that nothing is left of an earlier one.
    pub(super) fn collect(&self, digest: &Digest) -> Option<Arc<Spool>> {
        if self.workshop.left.may_have(digest) {
            return None;
        }
        let slot = self.slots.of(digest);
        let mut locked = slots::try_lock(&slot)?;
        if locked.is_live() {
            return None;
        }
        self.collect_in(digest, &slot, &mut locked)
    }

    /// None: all that is collected takes enough memory.
    fn collect_in(
        &self,
        digest: &Digest,
        slot: &Arc<std::sync::Mutex<Slot>>,
        locked: &mut Slot,
    ) -> Option<Arc<Spool>> {
        let share = self.collected_bytes.as_ref()?.take(0)?;
        let collected = Arc::new(Collected::new(&self.workshop, digest, Arc::clone(slot), share));
        locked.collect(&collected);
        Some(Spool::collecting(digest, collected))
    }

    pub(super) fn spool_now(&self, digest: &Digest, may_take_up: bool) -> Result<Arc<Spool>, StoreError> {
        let slot = self.slots.of(digest);
        let mut locked = slots::lock(&slot);
        let may_take_up = locked.retire() && may_take_up;
        if let Some(partial) = may_take_up.then(|| self.workshop.take_up(digest)).flatten() {
            let partial = Arc::new(partial);
            locked.hold(&partial);
            return Ok(Spool::on_file(digest, partial));
        }
        if let Some(spool) = self.collect_in(digest, &slot, &mut locked) {
            return Ok(spool);
        }
        let growth = Growth::new(Extents::default(), None);
        let partial = Arc::new(self.workshop.begin(digest, Arc::new(growth))?);
        locked.hold(&partial);
        Ok(Spool::on_file(digest, partial))
    }
}
