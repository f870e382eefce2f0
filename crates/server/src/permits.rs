//! A semaphore whose number of permits can change while some are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A resizable bound on concurrent work.
#[derive(Debug)]
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    /// The configured number.
    count: Mutex<usize>,
    /// The current number; above `count` while surplus permits are still in use.
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

    /// Returns a permit, if one is free.
    pub(crate) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.semaphore).try_acquire_owned().ok()
    }

    /// Waits for a permit.
    pub(crate) async fn take(&self) -> OwnedSemaphorePermit {
        let taken = Arc::clone(&self.semaphore).acquire_owned().await;
        taken.expect("the permits are never closed")
    }

    /// The number of permits in use.
    pub(crate) fn taken(&self) -> usize {
        self.existing.load(Ordering::Relaxed).saturating_sub(self.semaphore.available_permits())
    }

    /// Changes the number of permits. Permits in use stay valid; if they exceed the new number, no further
    /// one is given out until enough have been returned.
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
