//! One spool at a time for each digest.
//!
//! The cache sees to it that there is only one. But a spool's owner may be cancelled while its last job still
//! runs, so here each new spool first puts its predecessor out of action.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use oci::Digest;

use super::partial::Partial;
use crate::spool::growth::Growth;

/// Slots kept before those of no further use are dropped.
const IDLE_SLOT_COUNT_MAX: usize = 64;

/// Who writes the partial file of each digest.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<HashMap<Digest, Arc<Mutex<Slot>>>>);

/// The latest spool of a digest. Whoever opens, replaces or sweeps the partial file holds its lock.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    partial: Weak<Partial>,
    /// Outlives the spool where readers still have its content.
    growth: Weak<Growth>,
}

impl Slots {
    /// The slot of a digest.
    pub(crate) fn of(&self, digest: &Digest) -> Arc<Mutex<Slot>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() > IDLE_SLOT_COUNT_MAX {
            // A slot that only the table holds cannot be locked by anyone else.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(slot).is_live());
        }
        Arc::clone(slots.entry(digest.clone()).or_default())
    }
}

/// Waits until nobody else is busy with the digest's file; where blocking is allowed.
pub(crate) fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    // Two weak references are whole between any two steps.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    /// Ends the predecessor's access to the file's name. True: its file may be gone on with.
    pub(crate) fn retire(&self) -> bool {
        let may_take_up = self.growth.upgrade().is_none_or(|growth| growth.retire());
        if let Some(partial) = self.partial.upgrade() {
            if may_take_up {
                partial.root().swallow(partial.leave());
            }
            partial.disown();
        }
        may_take_up
    }

    pub(crate) fn hold(&mut self, partial: &Arc<Partial>) {
        self.partial = Arc::downgrade(partial);
        self.growth = Arc::downgrade(partial.growth());
    }

    /// Whether someone still writes or reads the file.
    pub(crate) fn is_live(&self) -> bool {
        self.growth.strong_count() > 0
    }
}
