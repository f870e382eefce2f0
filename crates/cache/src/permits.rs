//! Admission limits per upstream: client requests that wait for it, and requests in flight to it.
//!
//! A registry that hangs or is flooded uses up only its own share of the process; all registries together
//! leave room for hits.
//!
//! Clients and upstream requests are counted separately. A client that joins a fill costs the upstream
//! nothing, so a herd needs one upstream permit. But its response is in flight and has no known end: a
//! transfer may hang at any time, with all clients that follow it. So a client counts until the blob that it
//! reads is complete here, against a bound that is larger than that of upstream requests.
//!
//! A transfer continues when all its clients have left, and keeps its permit. When the permits run out, the
//! transfer without clients that has held its permit longest gives it to a connected client, and stops; its
//! bytes stay.

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::PullError;

/// Admission limits of one upstream, or of all upstreams of the process together.
#[derive(Clone, Debug)]
pub struct Bounds {
    clients: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    /// The bound of each kind of permit.
    counts: Arc<Mutex<[usize; 2]>>,
    /// Transfers that hold an upstream permit, in the order in which they got it. Some may have ended.
    holders: Arc<Mutex<Vec<Weak<dyn PermitHolder>>>>,
}

/// A client's share of [`Bounds`], while it waits for the upstream or reads a body from there.
#[derive(Debug)]
pub(crate) struct ClientPermit {
    _permits: [OwnedSemaphorePermit; 2],
}

/// The right to one request to the upstream, or to one transfer from it. Both continue when the client
/// leaves.
#[derive(Debug)]
pub(crate) struct UpstreamPermit {
    /// Counted against the registry's bound.
    _own: OwnedSemaphorePermit,
    /// Counted against the bound of all registries together.
    of_all: OwnedSemaphorePermit,
}

/// A transfer that keeps an upstream permit after its clients have left.
pub(crate) trait PermitHolder: fmt::Debug + Send + Sync {
    /// Whether a client waits or reads.
    fn has_clients(&self) -> bool;

    /// Keeps the permit until the transfer ends or gives way.
    fn keep_permit(&self, permit: UpstreamPermit);

    /// Ends the transfer and returns its permit, unless it has clients. From then on no client joins it.
    fn give_way(&self) -> Option<UpstreamPermit>;

    /// Whether the transfer has ended, with or without success.
    fn is_over(&self) -> bool;
}

/// The permits of one registry: its own bounds within those of the process.
#[derive(Debug)]
pub(crate) struct Permits {
    own: Bounds,
    of_all: Bounds,
}

impl Bounds {
    /// Admits at most `client_count_max` clients that wait, and `request_count_max` requests and transfers.
    pub fn new(client_count_max: usize, request_count_max: usize) -> Self {
        let [clients, requests] =
            [client_count_max, request_count_max].map(|it| Arc::new(Semaphore::new(it)));
        let counts = Arc::new(Mutex::new([client_count_max, request_count_max]));
        Self { clients, requests, counts, holders: Arc::default() }
    }

    /// Changes the bounds. Permits in use stay valid: while there are more than the new bound, no further one
    /// is granted.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn resize(&self, client_count_max: usize, request_count_max: usize) {
        let mut counts = self.counts.lock();
        let after = [client_count_max, request_count_max];
        let before = std::mem::replace(&mut *counts, after);
        for ((semaphore, before), after) in [&self.clients, &self.requests].into_iter().zip(before).zip(after)
        {
            if after >= before {
                semaphore.add_permits(after - before);
                continue;
            }
            let surplus = u32::try_from(before - after).unwrap_or(u32::MAX);
            let semaphore = Arc::clone(semaphore);
            tokio::spawn(async move {
                let taken = semaphore.acquire_many_owned(surplus).await;
                taken.expect("the permits are never closed").forget();
            });
        }
    }

    /// The permit of the transfer that has held it longest, of those without clients.
    fn reclaim(&self) -> Option<UpstreamPermit> {
        // `give_way` does not take this lock.
        self.holders.lock().iter().filter_map(Weak::upgrade).find_map(|holder| holder.give_way())
    }

    /// Notes that `holder` has a permit.
    fn note(&self, holder: &Arc<dyn PermitHolder>) {
        let mut holders = self.holders.lock();
        holders.retain(|holder| holder.upgrade().is_some_and(|holder| !holder.is_over()));
        holders.push(Arc::downgrade(holder));
    }
}

impl Permits {
    /// The permits of a registry with the bounds `own`.
    pub(crate) fn new(own: Bounds, of_all: Bounds) -> Self {
        Self { own, of_all }
    }

    /// Counts a client, at once or not at all: a queue for a registry that is too slow already would not
    /// help.
    ///
    /// # Errors
    /// [`PullError::Overloaded`].
    pub(crate) fn client(&self) -> Result<ClientPermit, PullError> {
        let _permits = take(&self.own.clients, &self.of_all.clients)?;
        Ok(ClientPermit { _permits })
    }

    /// A permit for a connected client, at once or not at all. If none is free, a transfer without clients
    /// gives way.
    ///
    /// # Errors
    /// [`PullError::Overloaded`].
    pub(crate) fn request(&self) -> Result<UpstreamPermit, PullError> {
        let permits = [&self.own, &self.of_all].map(|it| Arc::clone(&it.requests).try_acquire_owned().ok());
        let permit = match permits {
            [Some(own), Some(of_all)] => Some(UpstreamPermit { _own: own, of_all }),
            // The permit that another registry gives up counts for all of them.
            [Some(own), None] => {
                self.of_all.reclaim().map(|permit| UpstreamPermit { _own: own, of_all: permit.of_all })
            }
            [None, _] => self.own.reclaim(),
        };
        permit.ok_or(PullError::Overloaded)
    }

    /// As [`request`](Self::request), for a transfer, which keeps the permit until it ends or gives way. No
    /// other transfer gives way to one without clients.
    ///
    /// # Errors
    /// [`PullError::Overloaded`].
    pub(crate) fn transfer(&self, holder: &Arc<dyn PermitHolder>) -> Result<(), PullError> {
        let permit = match take(&self.own.requests, &self.of_all.requests) {
            Ok([own, of_all]) => UpstreamPermit { _own: own, of_all },
            Err(_) if holder.has_clients() => self.request()?,
            Err(error) => return Err(error),
        };
        holder.keep_permit(permit);
        self.own.note(holder);
        self.of_all.note(holder);
        Ok(())
    }
}

fn take(own: &Arc<Semaphore>, of_all: &Arc<Semaphore>) -> Result<[OwnedSemaphorePermit; 2], PullError> {
    match [own, of_all].map(|it| Arc::clone(it).try_acquire_owned()) {
        [Ok(own), Ok(of_all)] => Ok([own, of_all]),
        _ => Err(PullError::Overloaded),
    }
}
