//! The connections that bring blobs from one registry, and whether it gives parts of blobs as asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oci::Digest;

use crate::recent::Recent;

/// After a registry refused a part, each blob gets one connection only for this time.
const REFUSAL_TTL: Duration = Duration::from_secs(300);

/// A blob whose ranges were wrong, or did not come, is asked for as a whole only for this time. The table remembers
/// `PLAIN_COUNT_MAX` of them.
const PLAIN_TTL: Duration = Duration::from_secs(24 * 3600);
const PLAIN_COUNT_MAX: usize = 4096;

/// The connections that bring blobs from one registry.
#[derive(Debug)]
pub(crate) struct Connections {
    count: AtomicUsize,
    refused: Recent<(), ()>,
    /// Blobs that are asked for as a whole.
    plain: Recent<Digest, ()>,
}

/// One connection under way.
#[derive(Debug)]
pub(crate) struct Connection(Arc<Connections>);

impl Connections {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            refused: Recent::new(REFUSAL_TTL, 1),
            plain: Recent::new(PLAIN_TTL, PLAIN_COUNT_MAX),
        }
    }

    /// Every blob gets its first connection, however many there are.
    pub(crate) fn open(self: &Arc<Self>) -> Connection {
        self.count.fetch_add(1, Ordering::Relaxed);
        Connection(Arc::clone(self))
    }

    /// A further connection, if fewer than `count_max` are under way.
    pub(crate) fn try_open(self: &Arc<Self>, count_max: usize) -> Option<Connection> {
        let enter = |count| (count < count_max).then_some(count + 1);
        self.count.try_update(Ordering::Relaxed, Ordering::Relaxed, enter).ok()?;
        Some(Connection(Arc::clone(self)))
    }

    /// The registry did not give a part of a blob as asked.
    pub(crate) fn note_refusal(&self) {
        self.refused.insert((), ());
    }

    /// The blob's ranges were wrong, or did not come: from now on the whole is asked for.
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

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}
