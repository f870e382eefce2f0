//! How many transfers bring blobs from one registry at once, and whether it welcomes several for one blob.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oci::Digest;

use crate::recent::Recent;

/// How long a registry that refused a part is asked for one transfer per blob only.
const REFUSAL_TTL: Duration = Duration::from_secs(300);

/// How long a blob that was wrong, or did not come, is asked for as a whole only; and of how many blobs that is
/// remembered.
const PLAIN_TTL: Duration = Duration::from_secs(24 * 3600);
const PLAIN_COUNT_MAX: usize = 4096;

/// The transfers of one registry.
#[derive(Debug)]
pub(crate) struct Lanes {
    count: AtomicUsize,
    refused: Recent<(), ()>,
    /// Blobs that are asked for as a whole.
    plain: Recent<Digest, ()>,
}

/// One transfer under way.
#[derive(Debug)]
pub(crate) struct Lane(Arc<Lanes>);

impl Lanes {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            refused: Recent::new(REFUSAL_TTL, 1),
            plain: Recent::new(PLAIN_TTL, PLAIN_COUNT_MAX),
        }
    }

    /// Every blob gets its first transfer, however many there are.
    pub(crate) fn enter(self: &Arc<Self>) -> Lane {
        self.count.fetch_add(1, Ordering::Relaxed);
        Lane(Arc::clone(self))
    }

    /// A further transfer, if fewer than `count_max` are under way.
    pub(crate) fn try_enter(self: &Arc<Self>, count_max: usize) -> Option<Lane> {
        let enter = |count| (count < count_max).then_some(count + 1);
        self.count.try_update(Ordering::Relaxed, Ordering::Relaxed, enter).ok()?;
        Some(Lane(Arc::clone(self)))
    }

    /// The registry did not give a part of a blob as asked.
    pub(crate) fn note_refusal(&self) {
        self.refused.insert((), ());
    }

    /// What came of the blob in ranges was wrong, or did not come: from now on the whole is asked for.
    pub(crate) fn ask_plainly(&self, digest: &Digest) {
        self.plain.insert(digest.clone(), ());
    }

    pub(crate) fn asks_plainly(&self, digest: &Digest) -> bool {
        self.plain.get(digest).is_some()
    }

    /// Whether nothing is known that speaks against asking for parts.
    pub(crate) fn serve_parts(&self) -> bool {
        self.refused.get(&()).is_none()
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}
