//! How much may depend on an upstream. A registry that hangs or is flooded runs out of its own share, and leaves what
//! the process has for the others; all of them together leave room for what is stored.
//!
//! Requests and what is asked of the upstream are counted apart. A request that joins what another one started costs
//! the upstream nothing, so a herd needs one place there. But it is an answer under way, and nobody knows when it
//! ends: a transfer that delivers now may hang a moment later, with all who follow it. So requests count until what
//! they read is complete here, against a bound that is larger than that of what is asked.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::backend::Backend;
use crate::error::PullError;

/// How much may depend on one upstream, or on all upstreams of the process together.
#[derive(Clone, Debug)]
pub struct Bounds {
    waiting: Arc<Semaphore>,
    asking: Arc<Semaphore>,
}

/// A request's part in [`Bounds`]: it waits for the upstream, or its body comes from there.
#[derive(Debug)]
pub(crate) struct Waiting {
    _permits: [OwnedSemaphorePermit; 2],
}

/// A place with the upstream, for a question or a transfer. Both go on when the client leaves.
#[derive(Debug)]
pub(crate) struct Place {
    _permits: [OwnedSemaphorePermit; 2],
}

impl Bounds {
    /// `waiting_count_max` requests, and `asking_count_max` questions and transfers.
    pub fn new(waiting_count_max: usize, asking_count_max: usize) -> Self {
        let [waiting, asking] = [waiting_count_max, asking_count_max].map(|it| Arc::new(Semaphore::new(it)));
        Self { waiting, asking }
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

    /// A place with the upstream for the one who asks, at once or not at all.
    ///
    /// # Errors
    /// [`PullError::Overloaded`].
    pub(crate) fn take_place(&self) -> Result<Place, PullError> {
        take_place(&self.bounds, &self.bounds_of_all)
    }
}

/// [`Backend::take_place`], for a transfer that finds out by itself that it must ask.
///
/// # Errors
/// [`PullError::Overloaded`].
pub(crate) fn take_place(own: &Bounds, of_all: &Bounds) -> Result<Place, PullError> {
    let _permits = take(&own.asking, &of_all.asking)?;
    Ok(Place { _permits })
}

fn take(own: &Arc<Semaphore>, of_all: &Arc<Semaphore>) -> Result<[OwnedSemaphorePermit; 2], PullError> {
    match [own, of_all].map(|it| Arc::clone(it).try_acquire_owned()) {
        [Ok(own), Ok(of_all)] => Ok([own, of_all]),
        _ => Err(PullError::Overloaded),
    }
}
