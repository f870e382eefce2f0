//! The readers of a fill, as the fill sees them: where they are, and whether they wait for the upstream.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use oci::Hasher;

use super::relay::{Pushed, Standing};
use super::{Fill, lock};
use crate::permits::{ClientPermit, PermitHolder, UpstreamPermit};

/// A reader's place in a fill, which a relay does not overtake until the seat is dropped. It is taken before
/// the fill starts, so that a reader who still waits for the headers counts as one.
#[derive(Debug)]
pub(crate) struct Seat {
    fill: Arc<Fill>,
    reader: Arc<Reader>,
}

/// The fill's side of a seat.
#[derive(Debug)]
pub(super) struct Reader {
    position: AtomicU64,
    /// How long a relay has waited for it in all, in nanoseconds.
    held_up: AtomicU64,
    client: Mutex<Option<ClientPermit>>,
}

impl Seat {
    /// Counts the reader among those who wait, until the fill ends or the seat is dropped.
    pub(crate) fn hold(&self, client: Option<ClientPermit>) {
        *lock(&self.reader.client) = client;
        // It may have ended just before.
        if self.fill.is_over() {
            self.reader.stop_waiting();
        }
    }

    /// What counts the reader among those who wait, for something else that it waits for; none once the fill is over.
    pub(super) fn take_client(&self) -> Option<ClientPermit> {
        lock(&self.reader.client).take()
    }

    pub(crate) fn position(&self) -> u64 {
        self.reader.position.load(Ordering::Relaxed)
    }

    pub(crate) fn move_to(&self, position: u64) {
        self.reader.position.store(position, Ordering::Release);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // A relay may be waiting for this reader. It needs nothing any more.
        self.move_to(u64::MAX);
        if self.fill.is_relaying() {
            self.fill.publish();
        }
    }
}

impl Reader {
    /// Gives the reader's place among those who wait to somebody else.
    pub(super) fn stop_waiting(&self) {
        drop(lock(&self.client).take());
    }

    /// Notes that a relay has waited for it.
    pub(super) fn charge(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.held_up.fetch_add(nanos, Ordering::Relaxed);
    }

    fn standing(&self) -> Standing {
        let held_up = Duration::from_nanos(self.held_up.load(Ordering::Relaxed));
        Standing { position: self.position.load(Ordering::Acquire), held_up }
    }
}

impl Fill {
    /// A seat at the beginning of the blob; none in a fill that gave way.
    pub(super) fn take_seat(self: &Arc<Self>) -> Option<Seat> {
        let reader = Arc::new(Reader {
            position: AtomicU64::new(0),
            held_up: AtomicU64::new(0),
            client: Mutex::new(None),
        });
        let mut readers = lock(&self.readers);
        if self.gave_way.is_cancelled() {
            return None;
        }
        readers.retain(|reader| reader.strong_count() > 0);
        readers.push(Arc::downgrade(&reader));
        drop(readers);
        Some(Seat { fill: Arc::clone(self), reader })
    }

    /// Gives the upstream permit back.
    pub(super) fn drop_permit(&self) {
        drop(lock(&self.permit).take());
    }

    /// Puts a chunk into the relay's window. If that is full, these readers hold the others up.
    pub(super) fn push_to_relay(&self, chunk: &Bytes, hash: &Hasher) -> (Pushed, Vec<Weak<Reader>>) {
        let (readers, is_sized) = (self.readers(), self.size().is_some());
        let standings: Vec<Standing> = readers.iter().map(|reader| reader.standing()).collect();
        let mut relay = lock(&self.relay);
        let Some(relay) = relay.as_mut() else { return (Pushed::Unneeded, Vec::new()) };
        let pushed = relay.push(chunk, hash, &standings, is_sized);
        if !matches!(pushed, Pushed::Full(_)) {
            return (pushed, Vec::new());
        }
        let laggards = readers.iter().zip(relay.laggards(&standings, is_sized));
        (
            pushed,
            laggards.filter(|(_, is_behind)| *is_behind).map(|(reader, _)| Arc::downgrade(reader)).collect(),
        )
    }

    pub(super) fn readers(&self) -> Vec<Arc<Reader>> {
        lock(&self.readers).iter().filter_map(Weak::upgrade).collect()
    }
}

impl PermitHolder for Fill {
    fn has_clients(&self) -> bool {
        !self.readers().is_empty()
    }

    fn keep_permit(&self, permit: UpstreamPermit) {
        *lock(&self.permit) = Some(permit);
    }

    fn give_way(&self) -> Option<UpstreamPermit> {
        let readers = lock(&self.readers);
        if readers.iter().any(|reader| reader.strong_count() > 0) {
            return None;
        }
        let permit = lock(&self.permit).take()?;
        self.gave_way.cancel();
        Some(permit)
    }

    fn is_over(&self) -> bool {
        Fill::is_over(self)
    }
}
