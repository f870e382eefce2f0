//! Single flight for small results: concurrent callers with the same key share one result.
//!
//! The work runs in its own task, so a caller that leaves does not affect the others.

use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::error::PullError;

type PendingResult<V> = watch::Receiver<Option<Result<V, PullError>>>;

/// Parts of the table of one client, each with its lock. By default there are four for each processor.
const SHARDS_OF_CLIENT: usize = 2;

/// The requests in flight, by key.
#[derive(Debug)]
pub(crate) struct Flights<K: Hash + Eq, V> {
    pending: Arc<DashMap<K, PendingResult<V>>>,
    tasks: TaskTracker,
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self { pending: Arc::default(), tasks }
    }

    /// A table for the requests of one client, which takes little memory while it is empty.
    pub(crate) fn of_client(tasks: TaskTracker) -> Self {
        Self { pending: Arc::new(DashMap::with_shard_amount(SHARDS_OF_CLIENT)), tasks }
    }

    /// The result of the flight for `key`, which `start` creates if there is none. The flag says whether the
    /// caller joined an existing one.
    pub(crate) async fn join_or_start<F>(
        &self,
        key: K,
        start: impl FnOnce() -> F,
    ) -> (Result<V, PullError>, bool)
    where
        F: Future<Output = Result<V, PullError>> + Send + 'static,
    {
        let (mut result_receiver, joined) = self.join(key, start);
        let finished = result_receiver.wait_for(Option::is_some).await;
        let result = match finished {
            Ok(result) => result.clone().expect("wait_for returned a landed result"),
            Err(_) => Err(PullError::unavailable("the request that others waited for was aborted")),
        };
        (result, joined)
    }

    fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> (PendingResult<V>, bool)
    where
        F: Future<Output = Result<V, PullError>> + Send + 'static,
    {
        match self.pending.entry(key.clone()) {
            Entry::Occupied(entry) => (entry.get().clone(), true),
            Entry::Vacant(entry) => {
                let (sender, result_receiver) = watch::channel(None);
                entry.insert(result_receiver.clone());
                let work = start();
                let removal = RemoveOnDrop { pending: self.pending.clone(), key };
                self.tasks.spawn(async move {
                    let result = work.await;
                    // Removed first: a caller that comes later gets a fresh result.
                    drop(removal);
                    sender.send_replace(Some(result));
                });
                (result_receiver, false)
            }
        }
    }
}

/// Removes the flight from the table when its task ends, even by a panic.
struct RemoveOnDrop<K: Hash + Eq, V> {
    pending: Arc<DashMap<K, PendingResult<V>>>,
    key: K,
}

impl<K: Hash + Eq, V> Drop for RemoveOnDrop<K, V> {
    fn drop(&mut self) {
        self.pending.remove(&self.key);
    }
}

#[cfg(test)]
mod tests;
