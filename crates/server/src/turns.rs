//! Turns: after so many bytes a body lets the other connections of its thread go first.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::task;

/// How much of files one connection sends at a turn, in bytes.
const TURN_BYTES: usize = 512 << 10;

/// The same among many, where a turn is long in coming anyway: the fewer there are, the less they cost.
const TURN_AMONG_MANY_BYTES: usize = 1 << 20;

/// So many that wait for their turn are many.
const MANY_COUNT: usize = 32;

/// What one connection sends at a turn where bytes are copied, and perhaps encrypted, in bytes: each costs several
/// times as much.
const COPYING_TURN_BYTES: usize = 128 << 10;

/// The bodies of one server that wait for their turn.
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
    /// How many bytes one body may send before it waits.
    pub(crate) fn bytes(&self, are_copied: bool) -> usize {
        if are_copied {
            COPYING_TURN_BYTES
        } else if self.waiting_count.load(Ordering::Relaxed) < MANY_COUNT {
            TURN_BYTES
        } else {
            TURN_AMONG_MANY_BYTES
        }
    }

    /// Lets the others go first.
    pub(crate) fn wait(self: &Arc<Self>) -> Wait {
        self.waiting_count.fetch_add(1, Ordering::Relaxed);
        // Waking ourselves would not do: the runtime polls a woken task again before it looks at the sockets, and
        // wakes a yielded one after.
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
