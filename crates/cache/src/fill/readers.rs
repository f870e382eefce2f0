//! The readers of a fill, and the upstream permit that the fill keeps for them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::relay::ReaderState;
use crate::permits::{ClientPermit, UpstreamPermit};

/// All readers of one fill.
#[derive(Debug, Default)]
pub(super) struct Readers {
    list: Mutex<Vec<Weak<Reader>>>,
    permit: Mutex<Option<UpstreamPermit>>,
    /// Cancelled when the permit is reclaimed: the fill ends with the bytes that it has.
    gave_way: CancellationToken,
    /// The fill ends because no reader needs its bytes.
    is_abandoned: AtomicBool,
}

/// One reader.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    position: AtomicU64,
    /// The total time for which a relay has waited for it, in nanoseconds.
    held_up: AtomicU64,
    client: Mutex<Option<ClientPermit>>,
}

impl Readers {
    /// A further reader, at the beginning of the blob; `None` in a fill that gave way or is abandoned.
    pub(super) fn add(&self) -> Option<Arc<Reader>> {
        let reader = Arc::new(Reader::default());
        let mut list = self.list.lock();
        // Under the lock: a fill that gives way has no readers, and must not get one meanwhile.
        if self.gave_way.is_cancelled() || self.is_abandoned.load(Ordering::Relaxed) {
            return None;
        }
        list.retain(|reader| reader.strong_count() > 0);
        list.push(Arc::downgrade(&reader));
        Some(reader)
    }

    pub(super) fn all(&self) -> Vec<Arc<Reader>> {
        self.list.lock().iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn keep_permit(&self, permit: UpstreamPermit) {
        *self.permit.lock() = Some(permit);
    }

    pub(super) fn drop_permit(&self) {
        drop(self.permit.lock().take());
    }

    /// Returns the permit, if there are no readers. From then on none is added.
    pub(super) fn give_way(&self) -> Option<UpstreamPermit> {
        let list = self.list.lock();
        if list.iter().any(|reader| reader.strong_count() > 0) {
            return None;
        }
        let permit = self.permit.lock().take()?;
        self.gave_way.cancel();
        Some(permit)
    }

    /// Whether no reader is at a position that needs the fill. If so, none is added from then on.
    pub(super) fn abandon(&self, is_needed: impl Fn(u64) -> bool) -> bool {
        let list = self.list.lock();
        if list.iter().filter_map(Weak::upgrade).any(|reader| is_needed(reader.position())) {
            return false;
        }
        self.is_abandoned.store(true, Ordering::Relaxed);
        true
    }

    /// Cancelled once the fill gave way.
    pub(super) fn gave_way(&self) -> &CancellationToken {
        &self.gave_way
    }
}

impl Reader {
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    pub(crate) fn move_to(&self, position: u64) {
        self.position.store(position, Ordering::Release);
    }

    /// Counts the reader's client among those that wait for the upstream.
    pub(super) fn keep_client(&self, client: Option<ClientPermit>) {
        *self.client.lock() = client;
    }

    /// Takes the permit of a client that no longer waits for this fill.
    pub(super) fn take_client(&self) -> Option<ClientPermit> {
        self.client.lock().take()
    }

    /// Adds to the time for which a relay has waited for it.
    pub(crate) fn charge(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.held_up.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> ReaderState {
        let held_up = Duration::from_nanos(self.held_up.load(Ordering::Relaxed));
        ReaderState { position: self.position.load(Ordering::Acquire), held_up }
    }
}
