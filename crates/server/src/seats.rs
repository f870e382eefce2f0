//! Seats for connections: how many there are, and how many of them one client may take.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::permits::Permits;

/// Connections beyond the bound that are open at once to be turned away in words. Each is over within a few
/// milliseconds, or after [`crate::server::TURN_AWAY_WAIT_MAX`] if its client dawdles.
const EXTRA_COUNT_MAX: usize = 128;

/// The seats of one surface.
#[derive(Debug)]
pub(crate) struct Seats {
    free: Permits,
    extra: Arc<Semaphore>,
    per_client_max: AtomicUsize,
    /// How many seats each client has. Never longer than there are seats.
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// What a new connection gets; given back when it is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "a seat is held for the sake of its drop")]
pub(crate) enum Seat {
    /// It is served.
    Own(OwnSeat),
    /// It is answered once, and turned away.
    Extra(OwnedSemaphorePermit),
    /// It is closed: its client has its share, and takes up all extra seats as well.
    Nothing,
}

/// A seat of a client.
#[derive(Debug)]
pub(crate) struct OwnSeat {
    seats: Arc<Seats>,
    client: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    /// `count` seats, of which one client gets `per_client_max` at the most.
    pub(crate) fn new(count: usize, per_client_max: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Permits::new(count),
            extra: Arc::new(Semaphore::new(EXTRA_COUNT_MAX)),
            per_client_max: AtomicUsize::new(per_client_max),
            clients: Mutex::default(),
        })
    }

    /// Changes their number. Taken seats stay valid.
    pub(crate) fn resize(&self, count: usize, per_client_max: usize) {
        self.free.resize(count);
        self.per_client_max.store(per_client_max, Ordering::Relaxed);
    }

    /// A seat for a connection from this address. It waits only when every seat is taken, for then nobody else
    /// could be seated meanwhile.
    pub(crate) async fn take(self: &Arc<Self>, address: IpAddr) -> Seat {
        let permit = tokio::select! {
            biased;
            own = self.free.take() => own,
            extra = Arc::clone(&self.extra).acquire_owned() => {
                return Seat::Extra(extra.expect("the seats are never closed"));
            }
        };
        let client = client_of(address);
        if self.is_counted_in(client) {
            return Seat::Own(OwnSeat { seats: Arc::clone(self), client, _permit: permit });
        }
        Arc::clone(&self.extra).try_acquire_owned().map_or(Seat::Nothing, Seat::Extra)
    }

    fn is_counted_in(&self, client: IpAddr) -> bool {
        let mut clients = self.clients();
        let count = clients.entry(client).or_default();
        let has_room = *count < self.per_client_max.load(Ordering::Relaxed);
        if has_room {
            *count += 1;
        }
        has_room
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // No code panics while it holds the lock, and the counts are plain values.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OwnSeat {
    fn drop(&mut self) {
        let mut clients = self.seats.clients();
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// Whom an address belongs to: whoever has an IPv6 address has the 2^64 beside it too.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests;
