//! One registry from its first request to the end of its last transfer.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use archive::Target;
use cache::{AnonymousUpstream, Backend, OfflineSwitch, Scrubber};
use inventory::{Inventory, Keeper};
use parking_lot::Mutex;
use policy::capacity::Capacity;
use storage::Store;
use telemetry::{Metrics, RegistryMetrics, Stored};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upstream::{HttpUpstream, Upstream as _};

use super::shared::Shared;
use crate::config::Registry;

/// The time between two sweeps of a store.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// The time between two checks whether a removed registry has finished its last transfer.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A registry with its own parts.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) registry: Registry,
    pub(super) upstreams: Upstreams,
    pub(super) backend: Arc<Backend>,
    pub(super) store: Arc<dyn Store>,
    /// Keeps the store to its limits.
    pub(super) keeper: Arc<Keeper>,
    scrubber: Arc<Scrubber>,
    pub(super) lifetime: Lifetime,
    /// Earlier backends over the same store, which may still answer requests.
    predecessors: Vec<Weak<Backend>>,
}

/// The upstream of a registry.
#[derive(Clone, Debug)]
pub(super) struct Upstreams {
    /// With the registry's logins.
    pub(super) own: Arc<HttpUpstream>,
    /// Without a login, if clients get only what that one may read.
    pub(super) anonymous: Option<Arc<HttpUpstream>>,
}

/// A store that was opened, and the switch that it has noted.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) offline: Arc<OfflineSwitch>,
}

/// The tasks of one registry.
#[derive(Debug)]
pub(super) struct Lifetime {
    tasks: TaskTracker,
    /// Ends the transfers among them.
    cancel: CancellationToken,
    upkeep: Option<(CancellationToken, JoinHandle<()>)>,
}

/// A removed registry, until its last transfer has ended or it is added again.
pub(super) type Slot = Arc<Mutex<Option<Served>>>;

impl Served {
    /// A registry over a store that was just opened.
    pub(super) fn begin(
        registry: Registry,
        upstreams: Upstreams,
        Opened { store, offline }: Opened,
        shared: &Shared,
        capacity: &Capacity,
    ) -> Self {
        let lifetime =
            Lifetime { tasks: TaskTracker::new(), cancel: shared.stop.child_token(), upkeep: None };
        let name = &registry.names.name;
        let inventory = Inventory::new(
            name,
            Arc::clone(&store),
            shared.metrics.registry(name),
            Box::new(SystemTime::now),
        );
        let keeper = Keeper::new(inventory, registry.limits.clone());
        show_offline(&shared.metrics.registry(name), &offline);
        show_addresses(&shared.metrics.registry(name), &upstreams.own);
        let parts = parts(&registry, &upstreams, (&store, &keeper, &offline), &lifetime, shared, capacity);
        let backend = Arc::new(Backend::new(parts));
        let scrubber = Scrubber::new(&backend, Arc::clone(&store), shared.scrub.clone());
        Self { registry, upstreams, backend, store, keeper, scrubber, lifetime, predecessors: Vec::new() }
    }

    /// The same registry with other rules, and with `upstreams` if they changed.
    pub(super) fn succeed(
        self,
        registry: Registry,
        upstreams: Option<Upstreams>,
        shared: &Shared,
        capacity: &Capacity,
    ) -> Self {
        let upstreams = upstreams.unwrap_or_else(|| self.upstreams.clone());
        show_addresses(self.backend.metrics(), &upstreams.own);
        self.keeper.set_limits(registry.limits.clone());
        let stored = (&self.store, &self.keeper, self.backend.offline());
        let parts = parts(&registry, &upstreams, stored, &self.lifetime, shared, capacity);
        let backend = Arc::new(self.backend.succeeded_by(parts));
        self.scrubber.serve_with(&backend);
        let mut predecessors = self.predecessors;
        predecessors.retain(|predecessor| predecessor.strong_count() > 0);
        predecessors.push(Arc::downgrade(&self.backend));
        Self { registry, upstreams, backend, predecessors, ..self }
    }

    /// The registry as imports and exports use it.
    pub(super) fn target(&self) -> Target {
        let names = &self.registry.names;
        Target {
            name: names.name.clone(),
            aliases: names.aliases.iter().chain(&names.hosts).cloned().collect(),
            grants: self.registry.cache.links,
            inventory: Arc::clone(self.keeper.inventory()),
            scratch: self.registry.root.clone(),
        }
    }

    /// The same registry, whose store is maintained, scrubbed and kept to its limits from now on, and shows
    /// its usage in the metrics.
    pub(super) fn maintained(mut self) -> Self {
        show_usage(self.backend.metrics(), self.keeper.inventory());
        let stop = self.lifetime.cancel.child_token();
        self.lifetime.tasks.spawn(Arc::clone(&self.keeper).run(stop.clone()));
        self.lifetime.tasks.spawn(Arc::clone(&self.scrubber).run(stop.clone()));
        let (health, store) = (Arc::clone(self.backend.store_health()), Arc::clone(&self.store));
        let (name, metrics) = (self.backend.name().to_owned(), Arc::clone(self.backend.metrics()));
        self.lifetime.tasks.spawn(health.watch(name, store, metrics, stop.clone()));
        let upkeep = tokio::spawn(maintain(Arc::clone(&self.store), stop.clone()));
        self.lifetime.upkeep = Some((stop, upkeep));
        self
    }

    /// Whether neither a request nor a task uses it any more.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.backend) == 1
            && self.predecessors.iter().all(|predecessor| predecessor.strong_count() == 0)
            && self.lifetime.is_idle()
    }
}

impl Lifetime {
    /// Stops maintaining the store.
    pub(super) fn stop_upkeep(&mut self) {
        if let Some((stop, _)) = &self.upkeep {
            stop.cancel();
        }
    }

    fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.upkeep.as_ref().is_none_or(|(_, upkeep)| upkeep.is_finished())
    }

    /// Cancels the transfers, and waits until every task has ended.
    pub(super) async fn end(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn parts(
    registry: &Registry,
    upstreams: &Upstreams,
    (store, keeper, offline): (&Arc<dyn Store>, &Arc<Keeper>, &Arc<OfflineSwitch>),
    lifetime: &Lifetime,
    shared: &Shared,
    capacity: &Capacity,
) -> cache::Parts {
    let name = &registry.names.name;
    cache::Parts {
        name: name.clone(),
        upstreams: cache::Upstreams {
            own: Arc::<HttpUpstream>::clone(&upstreams.own),
            anonymous: upstreams.anonymous.as_ref().map(|upstream| AnonymousUpstream {
                upstream: Arc::<HttpUpstream>::clone(upstream),
                address: registry.upstream.upstream.to_string(),
            }),
        },
        blobs: store.clone(),
        records: store.clone(),
        inventory: Arc::clone(keeper.inventory()),
        bounds_of_all: shared.bounds_of_all.clone(),
        memory: shared.memory.clone(),
        settings: cache::Settings {
            waiting_count_max: capacity.per_registry.waiting,
            asking_count_max: capacity.per_registry.asking,
            ..registry.cache.clone()
        },
        metrics: shared.metrics.registry(name),
        tasks: lifetime.tasks.clone(),
        cancel: lifetime.cancel.clone(),
        offline: Arc::clone(offline),
    }
}

/// Shows in the metrics whether the registry is offline.
fn show_offline(metrics: &RegistryMetrics, offline: &Arc<OfflineSwitch>) {
    let offline = Arc::downgrade(offline);
    metrics.look_up_offline(move || Some(offline.upgrade()?.state().is_offline));
}

/// Shows in the metrics which addresses of an upstream with several get requests.
fn show_addresses(metrics: &RegistryMetrics, upstream: &Arc<HttpUpstream>) {
    let upstream = Arc::downgrade(upstream);
    metrics.look_up_addresses(move || {
        let addresses = upstream.upgrade().map(|upstream| upstream.addresses()).unwrap_or_default();
        if addresses.len() < 2 {
            return Vec::new();
        }
        addresses.iter().map(|address| !address.is_resting).collect()
    });
}

/// Shows the usage of the store in the metrics once it is counted. The metrics do not keep the store open.
fn show_usage(metrics: &RegistryMetrics, inventory: &Arc<Inventory>) {
    let inventory = Arc::downgrade(inventory);
    metrics.look_up_stored(move || {
        let inventory = inventory.upgrade()?;
        let usage = inventory.usage();
        let kinds = [
            (Stored::Blob, usage.blobs),
            (Stored::Manifest, usage.manifests),
            (Stored::Partial, usage.partial),
            (Stored::Quarantine, usage.quarantine),
            (Stored::List, inventory.lists()),
        ];
        (!usage.is_counting).then(|| kinds.map(|(kind, held)| (kind, held.bytes, held.count)))
    });
}

/// Counts the content of a store, and sweeps it until the registry's end, so that unfinished blobs that no
/// transfer continues do not pile up.
async fn maintain(store: Arc<dyn Store>, stop: CancellationToken) {
    let upkeep = async {
        // A registry that is added again was counted before.
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

/// Waits until no request or task uses a removed registry, then closes its store, which frees the lock of its
/// root. Ends early if the registry is added again.
pub(super) async fn drain(
    name: String,
    slot: Slot,
    names: Arc<Mutex<BTreeSet<String>>>,
    metrics: Arc<Metrics>,
) {
    loop {
        tokio::time::sleep(DRAIN_CHECK_INTERVAL).await;
        // A registry is also taken back under this lock, so it is either whole or closed.
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
                tracing::info!("{name}: the last transfer has ended, and the store is closed");
                return;
            }
        }
    }
}
