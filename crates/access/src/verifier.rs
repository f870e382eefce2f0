//! Bounds the work of checking passwords, for each client and for all together.
//!
//! Logins that were right before have a queue of their own. So a flood of guesses, even one from very many
//! addresses, shuts out no client that the server knows.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use policy::access::Attempts;
use policy::lru::LruMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The most checks that wait for a thread in each queue, of all clients together. At the highest cost each
/// takes a second.
const WAITING_COUNT_MAX: usize = 64;

/// The most addresses whose failed attempts are counted.
const ADDRESS_COUNT_MAX: usize = 4096;

/// The `Retry-After` of a client that found no place in the queue.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// Bounds checks of passwords: a few threads, short queues, and a pace for each address.
pub struct Verifier {
    /// For logins that were not checked before, or were wrong.
    unknown: Queue,
    /// For logins that were right before.
    proved: Queue,
    attempts: Mutex<LruMap<IpAddr, Attempts>>,
}

/// A bounded queue of checks.
struct Queue {
    /// One for each check that runs or waits.
    places: Arc<Semaphore>,
    /// One for each thread that checks.
    threads: Arc<Semaphore>,
}

impl Queue {
    fn new(threads: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(threads + WAITING_COUNT_MAX)),
            threads: Arc::new(Semaphore::new(threads)),
        }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Postponed> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| Postponed::Busy(BUSY_WAIT))
    }
}

/// A reason not to check a password now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Postponed {
    /// Too many attempts from the client's address failed.
    Paced(Duration),
    /// Too many checks wait already.
    Busy(Duration),
}

/// The right to one check.
#[derive(Debug)]
pub(crate) struct Turn {
    verifier: Arc<Verifier>,
    /// The client whose attempt it is; `None`: it counts as no attempt.
    client: Option<IpAddr>,
    threads: Arc<Semaphore>,
    _place: OwnedSemaphorePermit,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("places", &self.unknown.places.available_permits())
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier with half of the processors for threads, at least one: the others serve known clients. One
    /// more thread checks known clients again.
    pub fn new() -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = (processors / 2).max(1);
        Arc::new(Self {
            unknown: Queue::new(threads),
            proved: Queue::new(1),
            attempts: Mutex::new(LruMap::new(ADDRESS_COUNT_MAX)),
        })
    }

    /// Takes a turn for a client at this address.
    pub(crate) fn take_turn(self: &Arc<Self>, address: IpAddr) -> Result<Turn, Postponed> {
        let client = network_of(address);
        let place = self.unknown.place()?;
        let mut attempts = self.attempts.lock();
        let own = attempts.get_or_insert_with(&client, Attempts::default);
        own.begin(Instant::now().into_std()).map_err(Postponed::Paced)?;
        drop(attempts);
        Ok(self.turn(&self.unknown, place, Some(client)))
    }

    /// Takes a turn for a login that was right before, from any address: it is no guess.
    pub(crate) fn take_turn_again(self: &Arc<Self>) -> Result<Turn, Postponed> {
        let place = self.proved.place()?;
        Ok(self.turn(&self.proved, place, None))
    }

    fn turn(self: &Arc<Self>, queue: &Queue, place: OwnedSemaphorePermit, client: Option<IpAddr>) -> Turn {
        let (verifier, threads) = (Arc::clone(self), Arc::clone(&queue.threads));
        Turn { verifier, client, threads, _place: place }
    }
}

impl Turn {
    /// Runs the check on a thread that may block, once one is free. A success is no failed attempt.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        check: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let thread = Arc::clone(&self.threads).acquire_owned().await;
        let _thread = thread.expect("the semaphore is never closed");
        let found = tokio::task::spawn_blocking(check).await.ok().flatten();
        if let Some(client) = self.client.filter(|_| found.is_some()) {
            let mut attempts = self.verifier.attempts.lock();
            attempts.get_mut(&client).into_iter().for_each(Attempts::forgive);
        }
        found
    }
}

/// The network that stands for one client: an IPv6 client owns its whole /64.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use policy::access::BURST_COUNT;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_one_address_pace_that_address_alone() {
        let verifier = Verifier::new();
        for _ in 0..BURST_COUNT {
            let turn = verifier.take_turn(address("2001:db8::1")).unwrap();
            assert_eq!(turn.run(|| None::<()>).await, None);
        }
        let paced = verifier.take_turn(address("2001:db8::2")).unwrap_err();
        assert_eq!(paced, Postponed::Paced(Duration::from_secs(1)), "the same network");
        assert!(verifier.take_turn(address("2001:db8:0:1::1")).is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(verifier.take_turn(address("2001:db8::2")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn successes_are_not_paced() {
        let verifier = Verifier::new();
        for _ in 0..5 * BURST_COUNT {
            let turn = verifier.take_turn(address("192.0.2.7")).unwrap();
            assert_eq!(turn.run(|| Some(())).await, Some(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_of_checks_is_bounded_in_all() {
        let verifier = Verifier::new();
        let places = verifier.unknown.places.available_permits();
        let of = |number: usize| address(&format!("10.0.{}.{}", number / 256, number % 256));
        let turns: Vec<Turn> = (0..places).map(|number| verifier.take_turn(of(number)).unwrap()).collect();
        assert_eq!(verifier.take_turn(of(places)).unwrap_err(), Postponed::Busy(BUSY_WAIT));
        let again = std::iter::from_fn(|| verifier.take_turn_again().ok());
        assert_eq!(again.take(places + 2).collect::<Vec<_>>().len(), 1 + WAITING_COUNT_MAX);
        drop(turns);
        assert!(verifier.take_turn(of(places)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_addresses_is_bounded() {
        let verifier = Verifier::new();
        for number in 0..=ADDRESS_COUNT_MAX {
            let last = u16::try_from(number).unwrap();
            let client = IpAddr::from([10, 0, (last >> 8) as u8, last as u8]);
            drop(verifier.take_turn(client));
        }
        assert!(verifier.attempts.lock().contains(&address("10.0.16.0")));
        assert!(!verifier.attempts.lock().contains(&address("10.0.0.0")));
    }
}
