//! The connections that fetch blobs from one registry, and whether it serves ranges of blobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oci::Digest;

use crate::recent::Recent;

/// After a registry refused a range, each blob gets only one connection for this time.
const REFUSAL_TTL: Duration = Duration::from_secs(300);

/// A blob whose ranges were wrong or missing is requested only as a whole for this time. The table remembers
/// `PLAIN_COUNT_MAX` of them.
const PLAIN_TTL: Duration = Duration::from_secs(24 * 3600);
const PLAIN_COUNT_MAX: usize = 4096;

/// The connections that fetch blobs from one registry.
#[derive(Debug)]
pub(crate) struct Connections {
    count: AtomicUsize,
    refused: Recent<(), ()>,
    /// Blobs that are requested only as a whole.
    plain: Recent<Digest, ()>,
}

/// One connection in use.
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

    /// A blob's first connection, which is never refused.
    pub(crate) fn open(self: &Arc<Self>) -> Connection {
        self.count.fetch_add(1, Ordering::Relaxed);
        Connection(Arc::clone(self))
    }

    /// A further connection, if fewer than `count_max` are in use.
    pub(crate) fn try_open(self: &Arc<Self>, count_max: usize) -> Option<Connection> {
        let enter = |count| (count < count_max).then_some(count + 1);
        self.count.try_update(Ordering::Relaxed, Ordering::Relaxed, enter).ok()?;
        Some(Connection(Arc::clone(self)))
    }

    /// Notes that the registry did not serve a range as requested.
    pub(crate) fn note_refusal(&self) {
        self.refused.insert((), ());
    }

    /// Notes that the blob's ranges were wrong or missing: from now on it is requested as a whole.
    pub(crate) fn ask_plainly(&self, digest: &Digest) {
        self.plain.insert(digest.clone(), ());
    }

    pub(crate) fn asks_plainly(&self, digest: &Digest) -> bool {
        self.plain.get(digest).is_some()
    }

    /// Whether the registry is not known to refuse ranges.
    pub(crate) fn serve_parts(&self) -> bool {
        self.refused.get(&()).is_none()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}
