//! One registry while it is served, and its end.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cache::Backend;
use parking_lot::Mutex;
use policy::capacity::Capacity;
use storage::Store;
use telemetry::{Metrics, RegistryMetrics, Stored};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upstream::HttpUpstream;

use super::Common;
use crate::config::Registry;

/// How often each store looks for leftovers.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// How often a registry that was removed is looked at, until its last transfer is over.
const DRAIN_LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A registry and everything that belongs to it alone.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) registry: Registry,
    pub(super) upstream: Arc<HttpUpstream>,
    pub(super) backend: Arc<Backend>,
    pub(super) store: Arc<dyn Store>,
    pub(super) lifetime: Lifetime,
    /// Backends before this one, over the same store, that still answer requests.
    predecessors: Vec<Weak<Backend>>,
}

/// The tasks of one registry.
#[derive(Debug)]
pub(super) struct Lifetime {
    tasks: TaskTracker,
    /// Ends the transfers among them.
    cancel: CancellationToken,
    upkeep: Option<(CancellationToken, JoinHandle<()>)>,
}

/// A removed registry, until its last transfer is over or it is added again.
pub(super) type Slot = Arc<Mutex<Option<Served>>>;

impl Served {
    /// A registry over a store that was just opened.
    pub(super) fn begin(
        registry: Registry,
        upstream: Arc<HttpUpstream>,
        store: Arc<dyn Store>,
        common: &Common,
        capacity: &Capacity,
    ) -> Self {
        let lifetime =
            Lifetime { tasks: TaskTracker::new(), cancel: common.stop.child_token(), upkeep: None };
        let parts = parts(&registry, &upstream, &store, &lifetime, common, capacity);
        let backend = Arc::new(Backend::new(parts));
        Self { registry, upstream, backend, store, lifetime, predecessors: Vec::new() }
    }

    /// The same registry with other rules, and with `upstream` if that is another one.
    pub(super) fn succeed(
        self,
        registry: Registry,
        upstream: Option<Arc<HttpUpstream>>,
        common: &Common,
        capacity: &Capacity,
    ) -> Self {
        let upstream = upstream.unwrap_or_else(|| Arc::clone(&self.upstream));
        let parts = parts(&registry, &upstream, &self.store, &self.lifetime, common, capacity);
        let backend = Arc::new(self.backend.succeeded_by(parts));
        let mut predecessors = self.predecessors;
        predecessors.retain(|predecessor| predecessor.strong_count() > 0);
        predecessors.push(Arc::downgrade(&self.backend));
        Self { registry, upstream, backend, predecessors, store: self.store, lifetime: self.lifetime }
    }

    /// The same registry, whose store is kept up from now on, and whose metrics say what it holds.
    pub(super) fn maintained(mut self) -> Self {
        show_usage(self.backend.metrics(), &self.store);
        let stop = self.lifetime.cancel.child_token();
        let upkeep = tokio::spawn(maintain(Arc::clone(&self.store), stop.clone()));
        self.lifetime.upkeep = Some((stop, upkeep));
        self
    }

    /// Whether no request and no task uses it any more.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.backend) == 1
            && self.predecessors.iter().all(|predecessor| predecessor.strong_count() == 0)
            && self.lifetime.is_idle()
    }
}

impl Lifetime {
    /// Ends the upkeep of the store.
    pub(super) fn stop_upkeep(&mut self) {
        if let Some((stop, _)) = &self.upkeep {
            stop.cancel();
        }
    }

    fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.upkeep.as_ref().is_none_or(|(_, upkeep)| upkeep.is_finished())
    }

    /// Waits until every task has ended, transfers among them early.
    pub(super) async fn end(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn parts(
    registry: &Registry,
    upstream: &Arc<HttpUpstream>,
    store: &Arc<dyn Store>,
    lifetime: &Lifetime,
    common: &Common,
    capacity: &Capacity,
) -> cache::Parts {
    let name = &registry.names.name;
    cache::Parts {
        name: name.clone(),
        upstream: Arc::<HttpUpstream>::clone(upstream),
        blobs: store.clone(),
        records: store.clone(),
        bounds_of_all: common.bounds_of_all.clone(),
        memory: common.memory.clone(),
        settings: cache::Settings {
            waiting_count_max: capacity.per_registry.waiting,
            asking_count_max: capacity.per_registry.asking,
            ..registry.cache.clone()
        },
        metrics: common.metrics.registry(name),
        tasks: lifetime.tasks.clone(),
        cancel: lifetime.cancel.clone(),
    }
}

/// Has the metrics say what the store holds, once it is counted, for as long as it is open. They do not hold it open.
fn show_usage(metrics: &RegistryMetrics, store: &Arc<dyn Store>) {
    let store = Arc::downgrade(store);
    metrics.look_up_stored(move || {
        let usage = store.upgrade()?.usage();
        let kinds = [
            (Stored::Blob, usage.blobs),
            (Stored::Manifest, usage.manifests),
            (Stored::Partial, usage.partial),
            (Stored::Quarantine, usage.quarantine),
        ];
        (!usage.is_counting).then(|| kinds.map(|(kind, held)| (kind, held.bytes, held.count)))
    });
}

/// Counts what a store holds, and sweeps it until the registry's end: what is left behind by transfers that nobody took up
/// again must not pile up.
async fn maintain(store: Arc<dyn Store>, stop: CancellationToken) {
    let upkeep = async {
        // A registry that comes back was counted before.
        if store.usage().is_counting {
            store.take_stock().await;
        }
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            store.sweep().await;
        }
    };
    let _: Option<()> = stop.run_until_cancelled(upkeep).await;
}

/// Waits until nothing uses a registry that was removed, then closes its store, which frees the lock of its root. Ends
/// early if the registry is added again.
pub(super) async fn drain(
    name: String,
    slot: Slot,
    names: Arc<Mutex<BTreeSet<String>>>,
    metrics: Arc<Metrics>,
) {
    loop {
        tokio::time::sleep(DRAIN_LOOK_INTERVAL).await;
        // A registry is taken back under this lock, so it is either whole or closed.
        let mut slot = slot.lock();
        match &*slot {
            None => return,
            Some(served) if !served.is_idle() => {}
            Some(_) => {
                drop(slot.take());
                let names = names.lock();
                if !names.contains(&name) {
                    metrics.remove_registry(&name);
                }
                tracing::info!("{name}: its last transfers are over, and its store is closed");
                return;
            }
        }
    }
}
