//! Allows one spool at a time for each digest.
//!
//! The cache opens only one. But its task may be cancelled while the spool's last job still runs, so each new
//! spool first retires its predecessor.

use std::collections::HashMap;
use std::fmt;
use std::ptr;
use std::sync::{Arc, Weak};

use oci::Digest;
use parking_lot::Mutex;

use crate::growth::Growth;

/// The number of idle slots at which they are dropped.
const IDLE_SLOT_COUNT_MAX: usize = 64;

/// The slots of all digests.
#[derive(Debug, Default)]
pub(crate) struct Slots(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    slots: HashMap<Digest, Arc<Mutex<Slot>>>,
    /// How many were in use when the idle ones were last dropped.
    live_count: usize,
}

/// The latest spool of a digest. A job locks it to open, replace or sweep the partial file.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// The spool's backing.
    tenant: Option<Weak<dyn Tenant>>,
    /// Outlives the spool while readers have its content.
    growth: Weak<Growth>,
}

/// A spool's backing, which may use the name of the digest's partial file until it has a successor.
pub(crate) trait Tenant: fmt::Debug + Send + Sync {
    /// Leaves the name to a successor, and the bytes too if they are resumable. Called with the slot locked,
    /// when no write is in flight.
    fn vacate(&self, is_resumable: bool);
}

impl Slots {
    /// The slot of a digest.
    pub(crate) fn of(&self, digest: &Digest) -> Arc<Mutex<Slot>> {
        let mut table = self.0.lock();
        let Table { slots, live_count } = &mut *table;
        if slots.len() > IDLE_SLOT_COUNT_MAX + 2 * *live_count {
            // A slot that only the table refers to is not locked.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.lock().is_live());
            *live_count = slots.len();
        }
        Arc::clone(slots.entry(digest.clone()).or_default())
    }
}

impl Slot {
    /// Ends the predecessor's access to the file's name. Returns whether its file is resumable.
    pub(crate) fn retire(&mut self) -> bool {
        let is_resumable = self.growth.upgrade().is_none_or(|growth| growth.retire());
        if let Some(tenant) = self.tenant.take().and_then(|tenant| tenant.upgrade()) {
            tenant.vacate(is_resumable);
        }
        is_resumable
    }

    /// Makes this the digest's only spool.
    pub(crate) fn hold<T: Tenant + 'static>(&mut self, tenant: &Arc<T>, growth: &Arc<Growth>) {
        let tenant: Weak<T> = Arc::downgrade(tenant);
        *self = Self { tenant: Some(tenant), growth: Arc::downgrade(growth) };
    }

    /// Whether this is the digest's latest spool.
    pub(crate) fn is_held_by<T>(&self, tenant: &T) -> bool {
        self.tenant.as_ref().is_some_and(|held| ptr::addr_eq(held.as_ptr(), tenant))
    }

    /// Whether the file still has a writer or a reader.
    pub(crate) fn is_live(&self) -> bool {
        self.growth.strong_count() > 0
    }
}
