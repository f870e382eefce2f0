//! Where an answer is held until the test lets it go on.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::deadline::within;

/// A gate that answers wait at. Shut when new, open for ever once released; clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Sides>);

#[derive(Debug)]
struct Sides {
    open: watch::Sender<bool>,
    arrivals: watch::Sender<u64>,
}

impl Gate {
    /// Makes a shut gate without arrivals.
    pub fn new() -> Self {
        Self(Arc::new(Sides { open: watch::Sender::new(false), arrivals: watch::Sender::new(0) }))
    }

    /// Opens the gate for good.
    pub fn release(&self) {
        self.0.open.send_replace(true);
    }

    /// Whether [`Gate::release`] was called.
    pub fn is_released(&self) -> bool {
        *self.0.open.borrow()
    }

    /// How many answers have come to the gate so far, held or not.
    pub fn arrivals(&self) -> u64 {
        *self.0.arrivals.borrow()
    }

    /// Returns once `count` answers have come to the gate. All bytes before the gate are then with the
    /// kernel, on their way to the client.
    ///
    /// # Panics
    /// When they have not come within half a minute.
    pub async fn reached(&self, count: u64) {
        let mut arrivals = self.0.arrivals.subscribe();
        let what = format!("{count} answers at the gate");
        let arrived = within(&what, arrivals.wait_for(|arrived| *arrived >= count)).await;
        assert!(arrived.is_ok(), "the gate holds the sender of its arrivals");
    }

    /// Comes to the gate and waits until it is open.
    pub(crate) async fn pass(&self) {
        self.0.arrivals.send_modify(|arrived| *arrived += 1);
        let mut open = self.0.open.subscribe();
        let opened = open.wait_for(|open| *open).await;
        assert!(opened.is_ok(), "the gate holds the sender of its state");
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts the pieces of a body that may be sent. Shut when new; clones are the same valve, and answers that
/// share one share its allowance.
#[derive(Clone, Debug)]
pub struct Valve(Arc<Semaphore>);

impl Valve {
    /// A valve that lets nothing through.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets `pieces` more pieces through.
    pub fn allow(&self, pieces: usize) {
        self.0.add_permits(pieces);
    }

    /// Lets everything through from now on.
    pub fn open(&self) {
        self.0.close();
    }

    /// Waits until one more piece may go.
    pub(crate) async fn pass(&self) {
        // A closed semaphore is an open valve: nothing is counted any more.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

impl Default for Valve {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
