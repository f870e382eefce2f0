//! Fairness between bodies: after a number of bytes, a body yields to the other connections of its thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::task;

/// Bytes of files that one connection sends in a turn.
const TURN_BYTES: usize = 512 << 10;

/// The same if many bodies wait. Their turns are rare anyway, and fewer turns cost less.
const CROWDED_TURN_BYTES: usize = 1 << 20;

/// The number of waiting bodies from which on turns are longer.
const CROWDED_COUNT: usize = 32;

/// Bytes that one connection copies, and perhaps encrypts, in a turn. Each costs several times as much.
const COPIED_TURN_BYTES: usize = 128 << 10;

/// Counts the bodies of one server that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    waiting_count: AtomicUsize,
}

/// A body's wait for its next turn.
pub(crate) struct Wait {
    others: Pin<Box<dyn Future<Output = ()> + Send>>,
    turns: Arc<Turns>,
}

impl Turns {
    /// The number of bytes that a body may send before it waits.
    pub(crate) fn bytes(&self, are_copied: bool) -> usize {
        if are_copied {
            COPIED_TURN_BYTES
        } else if self.waiting_count.load(Ordering::Relaxed) < CROWDED_COUNT {
            TURN_BYTES
        } else {
            CROWDED_TURN_BYTES
        }
    }

    /// Begins a wait until the other bodies of the thread have had their turn.
    pub(crate) fn wait(self: &Arc<Self>) -> Wait {
        self.waiting_count.fetch_add(1, Ordering::Relaxed);
        // `yield_now` defers the task until the runtime has polled the sockets. A plain wake would run it
        // before.
        Wait { others: Box::pin(task::yield_now()), turns: Arc::clone(self) }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.others.as_mut().poll(cx)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.turns.waiting_count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("turns", &self.turns).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
