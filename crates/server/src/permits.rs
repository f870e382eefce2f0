//! Permits whose number can change while some of them are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bound on how much goes on at once.
#[derive(Debug)]
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    /// How many there are to be.
    count: Mutex<usize>,
    /// How many there are; more than `count` while permits that are too many are still taken.
    existing: Arc<AtomicUsize>,
}

impl Permits {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            semaphore: Arc::new(Semaphore::new(count)),
            count: Mutex::new(count),
            existing: Arc::new(AtomicUsize::new(count)),
        }
    }

    /// A permit, if one is free.
    pub(crate) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.semaphore).try_acquire_owned().ok()
    }

    /// A permit, once one is free.
    pub(crate) async fn take(&self) -> OwnedSemaphorePermit {
        let taken = Arc::clone(&self.semaphore).acquire_owned().await;
        taken.expect("the permits are never closed")
    }

    /// How many are taken now.
    pub(crate) fn taken(&self) -> usize {
        self.existing.load(Ordering::Relaxed).saturating_sub(self.semaphore.available_permits())
    }

    /// Changes their number. Taken permits stay valid: if there are more of them than that, none is given out until enough
    /// have come back.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn resize(&self, count: usize) {
        let mut current = self.count.lock();
        let before = std::mem::replace(&mut *current, count);
        if count >= before {
            let added = count - before;
            self.existing.fetch_add(added, Ordering::Relaxed);
            self.semaphore.add_permits(added);
            return;
        }
        let surplus = u32::try_from(before - count).unwrap_or(u32::MAX);
        let (semaphore, existing) = (Arc::clone(&self.semaphore), Arc::clone(&self.existing));
        tokio::spawn(async move {
            let taken = semaphore.acquire_many_owned(surplus).await;
            taken.expect("the permits are never closed").forget();
            existing.fetch_sub(surplus as usize, Ordering::Relaxed);
        });
    }
}

#[cfg(test)]
mod tests;
