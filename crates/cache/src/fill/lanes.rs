//! How many transfers bring blobs from one registry at once, and whether it welcomes several for one blob.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::recent::Recent;

/// How long a registry that refused a part is asked for one transfer per blob only.
const REFUSAL_TTL: Duration = Duration::from_secs(300);

/// The transfers of one registry.
#[derive(Debug)]
pub(crate) struct Lanes {
    count: AtomicUsize,
    refused: Recent<(), ()>,
}

/// One transfer under way.
#[derive(Debug)]
pub(crate) struct Lane(Arc<Lanes>);

impl Lanes {
    pub(crate) fn new() -> Self {
        Self { count: AtomicUsize::new(0), refused: Recent::new(REFUSAL_TTL, 1) }
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
