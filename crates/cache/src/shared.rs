//! The state that all parts of one backend share: name, settings, stores, tasks.

use std::hash::Hash;
use std::sync::Arc;
use std::time::SystemTime;

use budget::Memory;
use inventory::Inventory;
use oci::{Repository, Tag};
use policy::freshness::{self, TagRule};
use storage::{BlobStore, RecordStore, StoreError};
use telemetry::{RegistryMetrics, StoreCall};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::bandwidth::Bandwidths;
use crate::flight::Flights;
use crate::offline::OfflineSwitch;
use crate::settings::Settings;
use crate::store_health::LastFailure;

/// Shared by all parts of one backend, and by the tasks that they spawn.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The registry's name, as configured.
    pub(crate) name: Arc<str>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<RegistryMetrics>,
    /// Tracks every task that the backend spawns.
    pub(crate) tasks: TaskTracker,
    /// Ends transfers at shutdown.
    pub(crate) cancel: CancellationToken,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) records: Arc<dyn RecordStore>,
    /// Whether requests may go to the upstream.
    pub(crate) offline: Arc<OfflineSwitch>,
    /// The images in the store, which is told what comes, goes and is used.
    pub(crate) inventory: Arc<Inventory>,
    /// The limits on bytes per second.
    pub(crate) bandwidths: Arc<Bandwidths>,
    /// The last failed call of the store.
    pub(crate) last_failure: Arc<LastFailure>,
    /// The memory that bodies of all backends of the process share.
    pub(crate) memory: Memory,
}

impl Shared {
    /// The wall clock's time, which dates records.
    pub(crate) fn now(&self) -> SystemTime {
        (self.settings.wall_clock)()
    }

    /// The rule of the registry at this moment.
    pub(crate) fn rule(&self) -> TagRule {
        TagRule { offline: self.offline.state().is_offline, ..self.settings.tags }
    }

    /// The rule for one tag at this moment.
    pub(crate) fn tag_rule(&self, repository: &Repository, tag: &Tag) -> TagRule {
        let rule = self.rule();
        let ttl = freshness::ttl_of(&self.settings.tag_ttls, repository.as_str(), tag.as_str());
        TagRule { ttl: ttl.unwrap_or(rule.ttl), ..rule }
    }

    /// An empty table of requests that callers share.
    pub(crate) fn flights<K, V>(&self) -> Flights<K, V>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        Flights::new(self.tasks.clone())
    }

    /// The same for the requests of one client.
    pub(crate) fn flights_of_client<K, V>(&self) -> Flights<K, V>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        Flights::of_client(self.tasks.clone())
    }

    /// Counts and logs a failure of the store. The pull continues without the store.
    pub(crate) fn store_failed(&self, error: &StoreError) {
        self.last_failure.note(error);
        self.metrics.store_failed(error.call());
        warn!(registry = %self.name, %error, "store failed; continuing without it");
    }

    /// Counts and logs a stored file that cannot be read.
    pub(crate) fn read_failed(&self, what: &str, digest: &oci::Digest, error: &std::io::Error) {
        self.metrics.store_failed(StoreCall::Pread);
        warn!(registry = %self.name, %digest, %error, "a stored {what} cannot be read");
    }
}
