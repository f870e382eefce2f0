//! One spool at a time for each digest.
//!
//! The cache sees to it that there is only one. But a spool's owner may be cancelled while its last job still
//! runs, so here each new spool first puts its predecessor out of action.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use oci::Digest;

use super::collected::Collected;
use super::partial::Partial;
use crate::spool::growth::Growth;

/// Slots kept before those of no further use are dropped.
const IDLE_SLOT_COUNT_MAX: usize = 64;

/// Who writes the partial file of each digest.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    slots: HashMap<Digest, Arc<Mutex<Slot>>>,
    /// How many were of use when the others were dropped.
    live_count: usize,
}

/// The latest spool of a digest. Whoever opens, replaces or sweeps the partial file holds its lock.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    partial: Weak<Partial>,
    /// The spool whose bytes are in memory, or were before they went into the file.
    collected: Weak<Collected>,
    /// Outlives the spool where readers still have its content.
    growth: Weak<Growth>,
}

impl Slots {
    /// The slot of a digest.
    pub(crate) fn of(&self, digest: &Digest) -> Arc<Mutex<Slot>> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { slots, live_count } = &mut *table;
        if slots.len() > IDLE_SLOT_COUNT_MAX + 2 * *live_count {
            // A slot that only the table holds cannot be locked by anyone else.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(slot).is_live());
            *live_count = slots.len();
        }
        Arc::clone(slots.entry(digest.clone()).or_default())
    }
}

/// Waits until nobody else is busy with the digest's file; where blocking is allowed.
pub(crate) fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    // Two weak references are whole between any two steps.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The slot, unless somebody else is busy with the digest's file.
pub(super) fn try_lock(slot: &Mutex<Slot>) -> Option<MutexGuard<'_, Slot>> {
    match slot.try_lock() {
        Ok(slot) => Some(slot),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Slot {
    /// Ends the predecessor's access to the file's name. True: its file may be gone on with.
    pub(crate) fn retire(&mut self) -> bool {
        let may_take_up = self.growth.upgrade().is_none_or(|growth| growth.retire());
        if let Some(collected) = self.collected.upgrade()
            && may_take_up
            && collected.growth().written_bytes() > 0
        {
            // A failure costs what was in memory.
            let _ = collected.settle_in(self, true);
        }
        self.collected = Weak::new();
        if let Some(partial) = self.partial.upgrade() {
            if may_take_up {
                partial.root().swallow(partial.leave());
            }
            partial.disown();
        }
        may_take_up
    }

    pub(crate) fn hold(&mut self, partial: &Arc<Partial>) {
        let (partial, growth) = (Arc::downgrade(partial), Arc::downgrade(partial.growth()));
        *self = Self { partial, growth, collected: Weak::new() };
    }

    /// From here on the digest has no file but the one that this will go into.
    pub(super) fn collect(&mut self, collected: &Arc<Collected>) {
        let growth = Arc::downgrade(collected.growth());
        *self = Self { partial: Weak::new(), growth, collected: Arc::downgrade(collected) };
    }

    /// Whether this is the digest's latest spool.
    pub(super) fn is_collecting(&self, collected: &Collected) -> bool {
        std::ptr::eq(self.collected.as_ptr(), collected)
    }

    pub(super) fn hold_file_of_collected(&mut self, partial: &Arc<Partial>) {
        self.partial = Arc::downgrade(partial);
    }

    /// Whether someone still writes or reads the file.
    pub(crate) fn is_live(&self) -> bool {
        self.growth.strong_count() > 0
    }
}
