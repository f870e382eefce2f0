//! Limits the connections, in all and per client.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::permits::Permits;

/// Extra connections above the limit, accepted only to be refused with an answer. Each lasts a few
/// milliseconds, or up to [`crate::server::TURN_AWAY_WAIT_MAX`] for each step if its client is slow.
const EXTRA_COUNT_MAX: usize = 128;

/// The connection limit of one service.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    free: Permits,
    extra: Arc<Semaphore>,
    per_client_max: AtomicUsize,
    /// The number of connections of each client. Bounded by the number of connections.
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// The decision about a new connection. Dropping it frees its permit.
#[derive(Debug)]
#[expect(dead_code, reason = "a permit is held for the sake of its drop")]
pub(crate) enum Admission {
    /// The connection is served.
    Served(ConnectionPermit),
    /// The connection gets one answer, a refusal, and ends.
    TurnedAway(OwnedSemaphorePermit),
    /// The connection is closed without an answer: its client is at its limit, and no extra permit is free.
    Closed,
}

/// The permit of one connection, counted for its client.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    client: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionLimit {
    /// Allows `count` connections, of which one client gets at most `per_client_max`.
    pub(crate) fn new(count: usize, per_client_max: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Permits::new(count),
            extra: Arc::new(Semaphore::new(EXTRA_COUNT_MAX)),
            per_client_max: AtomicUsize::new(per_client_max),
            clients: Mutex::default(),
        })
    }

    /// Changes the limits. Open connections stay.
    pub(crate) fn resize(&self, count: usize, per_client_max: usize) {
        self.free.resize(count);
        self.per_client_max.store(per_client_max, Ordering::Relaxed);
    }

    /// Decides about a connection from this address. Waits only if all permits and all extra ones are in use,
    /// when no other connection could be accepted either.
    pub(crate) async fn admit(self: &Arc<Self>, address: IpAddr) -> Admission {
        let permit = tokio::select! {
            biased;
            own = self.free.take() => own,
            extra = Arc::clone(&self.extra).acquire_owned() => {
                return Admission::TurnedAway(extra.expect("the semaphore is never closed"));
            }
        };
        let client = client_of(address);
        if self.count_in(client) {
            return Admission::Served(ConnectionPermit { limit: Arc::clone(self), client, _permit: permit });
        }
        Arc::clone(&self.extra).try_acquire_owned().map_or(Admission::Closed, Admission::TurnedAway)
    }

    /// Counts one more connection of the client, unless it is at its limit.
    fn count_in(&self, client: IpAddr) -> bool {
        let mut clients = self.clients();
        let count = clients.entry(client).or_default();
        let has_room = *count < self.per_client_max.load(Ordering::Relaxed);
        if has_room {
            *count += 1;
        }
        has_room
    }

    fn count_out(&self, client: IpAddr) {
        let mut clients = self.clients();
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // No code panics while it holds the lock, and the counts are plain values.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// Counts the connection for the client at this address from now on, which only a proxy knew before.
    /// Returns whether that client may have another connection.
    pub(crate) fn count_for(&mut self, address: IpAddr) -> bool {
        let Self::Served(permit) = self else { return true };
        let client = client_of(address);
        if client != permit.client {
            if !permit.limit.count_in(client) {
                return false;
            }
            permit.limit.count_out(std::mem::replace(&mut permit.client, client));
        }
        true
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limit.count_out(self.client);
    }
}

/// The client that owns an address. An IPv6 client owns its whole /64 network.
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
