//! One spool at a time for each digest.
//!
//! The cache sees to it that there is only one. But a spool's owner may be cancelled while its last job still
//! runs, so here each new spool first puts its predecessor out of action.

use std::collections::HashMap;
use std::fmt;
use std::ptr;
use std::sync::{Arc, Weak};

use oci::Digest;
use parking_lot::Mutex;

use crate::growth::Growth;

/// Slots kept before those of no further use are dropped.
const IDLE_SLOT_COUNT_MAX: usize = 64;

/// The slots of all digests.
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
    /// The spool's backing.
    tenant: Option<Weak<dyn Tenant>>,
    /// Outlives the spool where readers still have its content.
    growth: Weak<Growth>,
}

/// A spool's backing, which may use the name of the digest's partial file until a successor comes.
pub(crate) trait Tenant: fmt::Debug + Send + Sync {
    /// Leaves the name to a successor, and what is there too, if that may be gone on with. Called with the slot locked,
    /// once no write is under way.
    fn vacate(&self, may_be_gone_on_with: bool);
}

impl Slots {
    /// The slot of a digest.
    pub(crate) fn of(&self, digest: &Digest) -> Arc<Mutex<Slot>> {
        let mut table = self.0.lock();
        let Table { slots, live_count } = &mut *table;
        if slots.len() > IDLE_SLOT_COUNT_MAX + 2 * *live_count {
            // A slot that only the table holds cannot be locked by anyone else.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.lock().is_live());
            *live_count = slots.len();
        }
        Arc::clone(slots.entry(digest.clone()).or_default())
    }
}

impl Slot {
    /// Ends the predecessor's access to the file's name. True: its file may be gone on with.
    pub(crate) fn retire(&mut self) -> bool {
        let may_be_gone_on_with = self.growth.upgrade().is_none_or(|growth| growth.retire());
        if let Some(tenant) = self.tenant.take().and_then(|tenant| tenant.upgrade()) {
            tenant.vacate(may_be_gone_on_with);
        }
        may_be_gone_on_with
    }

    /// From here on the digest has no spool but this one.
    pub(crate) fn hold<T: Tenant + 'static>(&mut self, tenant: &Arc<T>, growth: &Arc<Growth>) {
        let tenant: Weak<T> = Arc::downgrade(tenant);
        *self = Self { tenant: Some(tenant), growth: Arc::downgrade(growth) };
    }

    /// Whether this is the digest's latest spool.
    pub(crate) fn is_held_by<T>(&self, tenant: &T) -> bool {
        self.tenant.as_ref().is_some_and(|held| ptr::addr_eq(held.as_ptr(), tenant))
    }

    /// Whether someone still writes or reads the file.
    pub(crate) fn is_live(&self) -> bool {
        self.growth.strong_count() > 0
    }
}
