//! How much may depend on an upstream. A registry that hangs or is flooded runs out of its own share, and leaves what
//! the process has for the others; all of them together leave room for what is stored.
//!
//! Requests and what is asked of the upstream are counted apart. A request that joins what another one started costs
//! the upstream nothing, so a herd needs one place there. But it is an answer under way, and nobody knows when it
//! ends: a transfer that delivers now may hang a moment later, with all who follow it. So requests count until what
//! they read is complete here, against a bound that is larger than that of what is asked.
//!
//! A transfer that every client has left goes on, in a place that nobody else needs. When the places run out, the one
//! that has had its place longest gives it to a client that is there, and stops; what it has brought stays.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::backend::Backend;
use crate::error::PullError;
use crate::fill::Fill;

/// How much may depend on one upstream, or on all upstreams of the process together.
#[derive(Clone, Debug)]
pub struct Bounds {
    waiting: Arc<Semaphore>,
    asking: Arc<Semaphore>,
    /// The transfers that have places, those first that have had them longest. Some may be over.
    placed: Arc<Mutex<Vec<Weak<Fill>>>>,
}

/// A request's part in [`Bounds`]: it waits for the upstream, or its body comes from there.
#[derive(Debug)]
pub(crate) struct Waiting {
    _permits: [OwnedSemaphorePermit; 2],
}

/// A place with the upstream, for a question or a transfer. Both go on when the client leaves.
#[derive(Debug)]
pub(crate) struct Place {
    /// The registry's.
    _own: OwnedSemaphorePermit,
    /// That of all registries together.
    of_all: OwnedSemaphorePermit,
}

impl Bounds {
    /// `waiting_count_max` requests, and `asking_count_max` questions and transfers.
    pub fn new(waiting_count_max: usize, asking_count_max: usize) -> Self {
        let [waiting, asking] = [waiting_count_max, asking_count_max].map(|it| Arc::new(Semaphore::new(it)));
        Self { waiting, asking, placed: Arc::default() }
    }

    /// A place given up by the transfer that has had its own longest, of those without clients.
    fn reclaim(&self) -> Option<Place> {
        // Giving a place up takes no step that needs this lock.
        let placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        placed.iter().filter_map(Weak::upgrade).find_map(|fill| fill.give_way())
    }

    /// Notes that `fill` has a place from now on.
    fn note(&self, fill: &Arc<Fill>) {
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        placed.retain(|fill| fill.upgrade().is_some_and(|fill| !fill.is_over()));
        placed.push(Arc::downgrade(fill));
    }
}

impl Backend {
    /// Counts a request among those that wait, at once or not at all: a queue in front of a registry that is too
    /// slow already helps nobody.
    ///
    /// # Errors
    /// [`PullError::Overloaded`].
    pub(crate) fn wait(&self) -> Result<Waiting, PullError> {
        let _permits = take(&self.bounds.waiting, &self.bounds_of_all.waiting)?;
        Ok(Waiting { _permits })
    }

    /// A place with the upstream for a client who asks, at once or not at all.
    ///
    /// # Errors
    /// [`PullError::Overloaded`].
    pub(crate) fn take_place(&self) -> Result<Place, PullError> {
        take_place(&self.bounds, &self.bounds_of_all)
    }
}

/// [`Backend::take_place`], for a transfer that finds out by itself that it must ask. It keeps the place until it is
/// over, or gives way. What no client waits for any more takes nobody's place.
///
/// # Errors
/// [`PullError::Overloaded`].
pub(crate) fn place_fill(fill: &Arc<Fill>, own: &Bounds, of_all: &Bounds) -> Result<(), PullError> {
    let place = match take(&own.asking, &of_all.asking) {
        Ok([own, of_all]) => Place { _own: own, of_all },
        Err(_) if fill.has_readers() => take_place(own, of_all)?,
        Err(error) => return Err(error),
    };
    fill.keep_place(place);
    own.note(fill);
    of_all.note(fill);
    Ok(())
}

/// [`Backend::take_place`].
///
/// # Errors
/// [`PullError::Overloaded`].
pub(crate) fn take_place(own: &Bounds, of_all: &Bounds) -> Result<Place, PullError> {
    let permits = [own, of_all].map(|it| Arc::clone(&it.asking).try_acquire_owned().ok());
    let place = match permits {
        [Some(own), Some(of_all)] => Some(Place { _own: own, of_all }),
        // The place that another registry gives up counts for all of them.
        [Some(own), None] => of_all.reclaim().map(|place| Place { _own: own, of_all: place.of_all }),
        [None, _] => own.reclaim(),
    };
    place.ok_or(PullError::Overloaded)
}

fn take(own: &Arc<Semaphore>, of_all: &Arc<Semaphore>) -> Result<[OwnedSemaphorePermit; 2], PullError> {
    match [own, of_all].map(|it| Arc::clone(it).try_acquire_owned()) {
        [Ok(own), Ok(of_all)] => Ok([own, of_all]),
        _ => Err(PullError::Overloaded),
    }
}
