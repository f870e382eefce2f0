//! Single flight for small results: callers that ask the same thing at the same time share one answer.
//!
//! The work runs in a task of its own, so a caller who leaves takes nothing from the others.

use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::error::PullError;

type Landing<V> = watch::Receiver<Option<Result<V, PullError>>>;

/// The flights under way, by key.
#[derive(Debug)]
pub(crate) struct Flights<K: Hash + Eq, V> {
    landings: Arc<DashMap<K, Landing<V>>>,
    tasks: TaskTracker,
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self { landings: Arc::default(), tasks }
    }

    /// The result of the flight for `key`; `start` makes it when none is under way. The flag says whether
    /// the caller joined one.
    pub(crate) async fn join_or_start<F>(
        &self,
        key: K,
        start: impl FnOnce() -> F,
    ) -> (Result<V, PullError>, bool)
    where
        F: Future<Output = Result<V, PullError>> + Send + 'static,
    {
        let (mut landing, joined) = self.board(key, start);
        let landed = landing.wait_for(Option::is_some).await;
        let result = match landed {
            Ok(result) => result.clone().expect("wait_for returned a landed result"),
            Err(_) => Err(PullError::unavailable("the request that others waited for was aborted")),
        };
        (result, joined)
    }

    fn board<F>(&self, key: K, start: impl FnOnce() -> F) -> (Landing<V>, bool)
    where
        F: Future<Output = Result<V, PullError>> + Send + 'static,
    {
        match self.landings.entry(key.clone()) {
            Entry::Occupied(entry) => (entry.get().clone(), true),
            Entry::Vacant(entry) => {
                let (sender, landing) = watch::channel(None);
                entry.insert(landing.clone());
                let work = start();
                let takeoff = Takeoff { landings: self.landings.clone(), key };
                self.tasks.spawn(async move {
                    let result = work.await;
                    // Off the table first: who asks from now on gets a fresh answer.
                    drop(takeoff);
                    sender.send_replace(Some(result));
                });
                (landing, false)
            }
        }
    }
}

/// Takes the flight off the table when its task ends in any way, a panic included.
struct Takeoff<K: Hash + Eq, V> {
    landings: Arc<DashMap<K, Landing<V>>>,
    key: K,
}

impl<K: Hash + Eq, V> Drop for Takeoff<K, V> {
    fn drop(&mut self) {
        self.landings.remove(&self.key);
    }
}

#[cfg(test)]
mod tests;
