//! Work that comes one by one and is done in batches: the first to come leads and does everything that waits.

use std::future::Future;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, oneshot};

/// The right to do the waiting work; held by one task at a time.
pub(crate) type Lead = OwnedMutexGuard<()>;

/// Work that waits to be done.
#[derive(Debug)]
pub(crate) struct Batcher<T> {
    waiting: Mutex<Vec<T>>,
    lead: Arc<tokio::sync::Mutex<()>>,
}

impl<T> Default for Batcher<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), lead: Arc::default() }
    }
}

impl<T> Batcher<T> {
    /// Adds something, which tells `told` when it is done, and waits for that. If nobody is at it, `lead` is called for
    /// all that waits, and need not be polled to its end once it has begun.
    ///
    /// `None`: whoever was at it ended without a word.
    pub(crate) async fn add<R, F>(
        &self,
        work: T,
        mut told: oneshot::Receiver<R>,
        lead: impl FnOnce(Lead) -> F,
    ) -> Option<R>
    where
        F: Future,
    {
        self.waiting.lock().push(work);
        let turn = tokio::select! {
            biased;
            told = &mut told => return told.ok(),
            turn = Arc::clone(&self.lead).lock_owned() => turn,
        };
        tokio::select! {
            biased;
            told = &mut told => told.ok(),
            // What came meanwhile is done as well, but that is not waited for.
            _ = lead(turn) => told.await.ok(),
        }
    }

    /// All that waits by now; nothing may be left undone when the lead is dropped.
    pub(crate) fn take(&self) -> Vec<T> {
        mem::take(&mut *self.waiting.lock())
    }
}

#[cfg(test)]
impl<T> Batcher<T> {
    /// Nothing is done until this is dropped.
    pub(super) async fn hold_the_lead(&self) -> Lead {
        Arc::clone(&self.lead).lock_owned().await
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.lock().len()
    }
}
