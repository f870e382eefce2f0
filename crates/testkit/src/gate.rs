//! Gates and valves, which hold responses back until the test releases them.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::deadline::within;

/// A gate at which responses wait. It is closed when new, and open for ever once released; clones are the
/// same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Sides>);

#[derive(Debug)]
struct Sides {
    open: watch::Sender<bool>,
    arrivals: watch::Sender<u64>,
}

impl Gate {
    /// Creates a closed gate without arrivals.
    pub fn new() -> Self {
        Self(Arc::new(Sides { open: watch::Sender::new(false), arrivals: watch::Sender::new(0) }))
    }

    /// Opens the gate permanently.
    pub fn release(&self) {
        self.0.open.send_replace(true);
    }

    /// Whether [`Gate::release`] was called.
    pub fn is_released(&self) -> bool {
        *self.0.open.borrow()
    }

    /// How many responses have reached the gate so far, held or not.
    pub fn arrivals(&self) -> u64 {
        *self.0.arrivals.borrow()
    }

    /// Returns once `count` responses have reached the gate. All bytes before the gate are written to their
    /// sockets then.
    ///
    /// # Panics
    /// When they do not reach it within half a minute.
    pub async fn reached(&self, count: u64) {
        let mut arrivals = self.0.arrivals.subscribe();
        let what = format!("{count} answers at the gate");
        let arrived = within(&what, arrivals.wait_for(|arrived| *arrived >= count)).await;
        assert!(arrived.is_ok(), "the gate holds the sender of its arrivals");
    }

    /// Counts an arrival and waits until the gate is open.
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

/// Counts the pieces of a body that may be sent. It is closed when new; clones are the same valve, and
/// responses that share one share its pieces.
#[derive(Clone, Debug)]
pub struct Valve(Arc<Semaphore>);

impl Valve {
    /// A closed valve.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Allows `pieces` more pieces.
    pub fn allow(&self, pieces: usize) {
        self.0.add_permits(pieces);
    }

    /// Allows all further pieces.
    pub fn open(&self) {
        self.0.close();
    }

    /// Waits until one more piece is allowed.
    pub(crate) async fn pass(&self) {
        // A closed semaphore means an open valve: pieces are not counted any more.
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
