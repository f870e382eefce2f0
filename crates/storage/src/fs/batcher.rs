//! Does single items of work in batches: the first caller leads and does all items that wait.

use std::future::Future;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, oneshot};

/// The right to do the waiting items; held by one task at a time.
pub(crate) type Lead = OwnedMutexGuard<()>;

/// Items of work that wait.
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
    /// Adds an item and waits for its result on `response`. If no task has the lead, calls `lead` for all
    /// items that wait. Its future need not be polled to its end once it has begun.
    ///
    /// `None`: the leading task ended without a result.
    pub(crate) async fn add<R, F>(
        &self,
        work: T,
        mut response: oneshot::Receiver<R>,
        lead: impl FnOnce(Lead) -> F,
    ) -> Option<R>
    where
        F: Future,
    {
        self.waiting.lock().push(work);
        let turn = tokio::select! {
            biased;
            response = &mut response => return response.ok(),
            turn = Arc::clone(&self.lead).lock_owned() => turn,
        };
        tokio::select! {
            biased;
            response = &mut response => response.ok(),
            // The lead also does items that arrive meanwhile, but this caller does not wait for those.
            _ = lead(turn) => response.await.ok(),
        }
    }

    /// Takes all items that wait. The leading task must find none left before it drops the lead.
    pub(crate) fn take(&self) -> Vec<T> {
        mem::take(&mut *self.waiting.lock())
    }
}

#[cfg(test)]
impl<T> Batcher<T> {
    /// Takes the lead, so that no item is done until it is dropped.
    pub(super) async fn hold_the_lead(&self) -> Lead {
        Arc::clone(&self.lead).lock_owned().await
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.lock().len()
    }
}
