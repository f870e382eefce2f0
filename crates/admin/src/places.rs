//! The bound on long answers: each takes a place from the time when it is made until it is sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Long answers in memory at a time.
pub(crate) const PLACE_COUNT: usize = 2;

/// The longest wait for a place.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The places of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Semaphore>);

/// The place of one answer. The last clone gives it back.
#[derive(Clone, Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held until it is dropped")] Arc<OwnedSemaphorePermit>);

impl Places {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(PLACE_COUNT)))
    }

    /// Waits for a place. `None`: the places stay taken, by clients that are slow to read.
    pub(crate) async fn take(&self) -> Option<Place> {
        let permit = timeout(WAIT_MAX, Arc::clone(&self.0).acquire_owned()).await.ok()?;
        Some(Place(Arc::new(permit.expect("the places are never closed"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_is_given_back_by_the_last_clone() {
        let places = Places::new();
        let taken: Vec<_> = [places.take().await.unwrap(), places.take().await.unwrap()].into();
        let clone = taken[0].clone();
        assert!(places.take().await.is_none());
        drop(taken);
        let other = places.take().await;
        assert!(other.is_some() && places.take().await.is_none());
        drop(clone);
        assert!(places.take().await.is_some());
    }
}
