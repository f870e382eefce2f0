//! The set of served registries, which a reload changes as a whole.
//!
//! A change is first prepared, while the old set goes on serving, and then committed. Only preparing can
//! fail. An unchanged registry keeps its backend, with its connections, tables and open files. A registry
//! with other rules or another upstream gets a new backend over the same store, which takes over the store's
//! tables. A removed registry finishes its transfers in the background, and then its store is closed. If it
//! is added again before that, it continues with the same store.

mod lifetime;
mod opening;
mod past_roots;
mod shared;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cache::{Backend, OfflineSwitch};
use parking_lot::Mutex;
use policy::capacity::{Capacity, LoginShare};
use policy::host::RoutingTable;
use storage::Store;
use telemetry::{Metrics, error_chain};
use upstream::{Authorities, HttpUpstream};

use self::lifetime::{Lifetime, Opened, Served, Slot, Upstreams};
use self::past_roots::PastRoots;
use crate::config::diff::RegistryChange;
use crate::config::{Config, Registry};
use crate::registry_error::{RegistryError, all_or_errors};

pub(crate) use self::shared::{NewStores, Shared, Upkeep};

/// The reason to refuse a registry whose store is being closed.
const CLOSING: &str = "the registry was removed, and its store is still being closed; reload again";

/// The longest wait at a stop for transfers without clients to store their bytes.
const PARK_WAIT_MAX: Duration = Duration::from_secs(10);

/// The registries, by name.
#[derive(Debug)]
pub(crate) struct RegistrySet {
    shared: Shared,
    served: BTreeMap<String, Served>,
    /// Removed registries that finish their last transfers.
    retired: HashMap<String, Slot>,
    /// The names of `served` and of the change in preparation. A retired registry of such a name ends without
    /// removing the metrics.
    names: Arc<Mutex<BTreeSet<String>>>,
    past_roots: PastRoots,
}

/// A change that can no longer fail.
#[derive(Debug)]
pub(crate) struct Prepared {
    registries: Vec<(Registry, Step)>,
    capacity: Capacity,
}

/// The change of one registry.
#[derive(Debug)]
enum Step {
    /// It keeps its backend.
    Keep,
    /// It gets another backend over its store. `None` keeps its upstream.
    Succeed(Option<Upstreams>),
    /// It is new.
    Begin(Upstreams, Opened),
    /// It was removed and is added again before its last transfer has ended.
    Return(Upstreams, Box<Served>),
}

impl RegistrySet {
    /// A set without registries.
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared,
            served: BTreeMap::new(),
            retired: HashMap::new(),
            names: Arc::default(),
            past_roots: PastRoots::default(),
        }
    }

    /// Prepares to serve the registries of `config`, within `capacity`.
    ///
    /// # Errors
    /// Every registry that cannot be served, with the reason. Then the set is unchanged.
    pub(crate) async fn prepare(
        &mut self,
        config: &Config,
        capacity: &Capacity,
    ) -> Result<Prepared, Vec<RegistryError>> {
        let names = || config.registries.iter().map(|registry| registry.names.name.clone());
        // From here on, upstreams and stores count in the metrics of these names, so the metrics must stay.
        self.names.lock().extend(names());
        let prepared = self.try_prepare(config, capacity).await;
        if prepared.is_err() {
            *self.names.lock() = self.served.keys().cloned().collect();
            let is_retired = |name: &String| self.retired.get(name).is_some_and(|slot| slot.lock().is_some());
            let unknown = names().filter(|name| !self.served.contains_key(name) && !is_retired(name));
            unknown.for_each(|name| self.shared.metrics.remove_registry(&name));
        }
        prepared
    }

    async fn try_prepare(
        &mut self,
        config: &Config,
        capacity: &Capacity,
    ) -> Result<Prepared, Vec<RegistryError>> {
        let upstreams = self.make_upstreams(config).await?;
        let to_open: Vec<&Registry> = config.registries.iter().filter(|it| self.needs_store(it)).collect();
        let refused: Vec<_> = to_open.iter().filter_map(|it| self.refuse_root(it)).collect();
        if !refused.is_empty() {
            return Err(refused);
        }
        let past_roots = &self.past_roots;
        // A command on the stores may still have them when a server starts.
        let is_server = self.shared.upkeep == Upkeep::On;
        let may_be_free_soon = |root: &Path| is_server || past_roots.contains(root);
        let opened = opening::open_all(&to_open, &self.shared, capacity, may_be_free_soon).await?;
        let mut opened = self.read_switches(&to_open, opened).await;
        let (mut registries, mut refused) = (Vec::new(), Vec::new());
        for (registry, upstream) in config.registries.iter().zip(upstreams) {
            let name = &registry.names.name;
            match self.step(registry, upstream, opened.remove(name)) {
                Some(step) => registries.push((registry.clone(), step)),
                None => refused.push(RegistryError::new(name, CLOSING)),
            }
        }
        if !refused.is_empty() {
            self.abandon(registries);
            return Err(refused);
        }
        Ok(Prepared { registries, capacity: *capacity })
    }

    /// The stores by their registries' names, each with its switch.
    async fn read_switches(
        &self,
        registries: &[&Registry],
        stores: Vec<Arc<dyn Store>>,
    ) -> HashMap<String, Opened> {
        let mut opened = HashMap::new();
        for (registry, store) in registries.iter().zip(stores) {
            let name = &registry.names.name;
            let offline = OfflineSwitch::open(name.as_str(), store.clone(), &self.shared.offline).await;
            opened.insert(name.clone(), Opened { store, offline });
        }
        opened
    }

    /// Returns the change of a registry, with the upstream and the store that were made for it. `None` while
    /// its store is being closed.
    fn step(
        &mut self,
        registry: &Registry,
        upstream: Option<Upstreams>,
        opened: Option<Opened>,
    ) -> Option<Step> {
        let name = &registry.names.name;
        Some(match (self.served.get(name), upstream, opened) {
            (Some(served), None, _) if !served.change_to(registry).rules => Step::Keep,
            (Some(_), upstream, _) => Step::Succeed(upstream),
            (None, Some(upstream), Some(opened)) => Step::Begin(upstream, opened),
            (None, Some(upstream), None) => Step::Return(upstream, Box::new(self.take_back(name)?)),
            (None, None, _) => unreachable!("a new registry gets an upstream"),
        })
    }

    /// Serves the prepared registries, retires the others, and returns the routing table.
    pub(crate) fn commit(&mut self, prepared: Prepared, config: &Config) -> RoutingTable<Arc<Backend>> {
        let Prepared { registries, capacity } = prepared;
        let mut before = std::mem::take(&mut self.served);
        let is_start = before.is_empty() && self.retired.is_empty();
        let with_logins = registries.iter().filter(|(registry, _)| registry.cache.passthrough);
        let logins = LoginShare::of_one(with_logins.count());
        for (registry, step) in registries {
            let name = registry.names.name.clone();
            let served = match step {
                Step::Keep => {
                    let mut served = before.remove(&name).expect("a kept registry was served");
                    served.keeper.set_limits(registry.limits.clone());
                    served.registry = registry;
                    served
                }
                Step::Succeed(upstream) => {
                    let served = before.remove(&name).expect("a changed registry was served");
                    served.succeed(registry, upstream, &self.shared, &capacity)
                }
                Step::Return(upstream, served) => {
                    let served = *served;
                    self.maintained(served.succeed(registry, Some(upstream), &self.shared, &capacity))
                }
                Step::Begin(upstream, store) => {
                    self.maintained(Served::begin(registry, upstream, store, &self.shared, &capacity))
                }
            };
            served.backend.bounds().resize(capacity.per_registry.waiting, capacity.per_registry.asking);
            served.backend.resize_logins(logins);
            served.store.set_bounds(capacity.kept_open as u64, capacity.collected_bytes, capacity.unstored);
            self.past_roots.remove(&served.registry.root);
            self.served.insert(name, served);
        }
        if is_start {
            self.shared.offline.take_over();
        }
        self.shared.bounds_of_all.resize(capacity.all.waiting, capacity.all.asking);
        self.shared.memory.resize(config.body_bytes_max);
        let keepers = self.served.values().map(|served| Arc::clone(&served.keeper)).collect();
        self.shared.common_keeper.set_keepers(keepers);
        self.shared.common_keeper.set_limits(config.room);
        self.shared.scrub.set(config.scrub);
        self.shared.archives.set(self.served.values().map(|served| Arc::new(served.target())).collect());
        *self.names.lock() = self.served.keys().cloned().collect();
        for (_, served) in before {
            self.retire(served);
        }
        config.routes.map(|index| {
            let name = &config.registries[*index].names.name;
            Arc::clone(&self.served[name].backend)
        })
    }

    fn maintained(&self, served: Served) -> Served {
        match self.shared.upkeep {
            Upkeep::On => served.maintained(),
            Upkeep::Off => served,
        }
    }

    /// Counts the stores' content and learns their images, without any upkeep.
    ///
    /// # Errors
    /// The first failure of a store.
    pub(crate) async fn learn(&self) -> Result<(), inventory::Failure> {
        for served in self.served.values() {
            served.store.take_stock().await;
            served.keeper.walk().await?;
        }
        Ok(())
    }

    /// Learns the limits on the stores and the room below them, without any upkeep.
    pub(crate) async fn measure(&self) {
        self.shared.common_keeper.measure().await;
    }

    /// Retires the registries again that a failed change has taken back.
    fn abandon(&mut self, registries: Vec<(Registry, Step)>) {
        for (_, step) in registries {
            if let Step::Return(_, served) = step {
                self.retire(*served);
            }
        }
    }

    /// Ends all transfers, also of retired registries, once their bytes are stored. Returns false if some
    /// take longer than [`PARK_WAIT_MAX`].
    pub(crate) async fn stop(self) -> bool {
        self.shared.stop.cancel();
        let retired = self.retired.into_values().filter_map(|slot| slot.lock().take());
        let lifetimes: Vec<Lifetime> =
            self.served.into_values().chain(retired).map(|served| served.lifetime).collect();
        let all = async {
            for lifetime in lifetimes {
                lifetime.end().await;
            }
        };
        tokio::time::timeout(PARK_WAIT_MAX, all).await.is_ok()
    }

    /// Makes an upstream for each registry that is new or has another upstream than before.
    async fn make_upstreams(&self, config: &Config) -> Result<Vec<Option<Upstreams>>, Vec<RegistryError>> {
        let is_same = |it: &Registry| {
            self.served.get(&it.names.name).is_some_and(|served| {
                !served.change_to(it).upstream
                    && served.registry.public_only == it.public_only
                    && served.registry.cache.passthrough == it.cache.passthrough
            })
        };
        let wanted: Vec<Option<Registry>> =
            config.registries.iter().map(|it| (!is_same(it)).then(|| it.clone())).collect();
        if wanted.iter().all(Option::is_none) {
            return Ok(wanted.into_iter().map(|_| None).collect());
        }
        let (metrics, memory) = (Arc::clone(&self.shared.metrics), self.shared.memory.clone());
        // Reading the authorities and building clients takes long and would block a thread of the runtime.
        let making = tokio::task::spawn_blocking(move || {
            let authorities = Authorities::load();
            let make = |registry: Registry| {
                let with_memory = |upstream: HttpUpstream| Arc::new(upstream.with_memory(memory.clone()));
                let own = with_memory(upstream(&registry, &authorities, &metrics)?);
                let anonymous = match (registry.public_only, registry.cache.passthrough) {
                    (true, _) => Some(with_memory(anonymous(&registry, &authorities, &metrics)?)),
                    (false, true) => Some(Arc::clone(&own)),
                    (false, false) => None,
                };
                Ok(Upstreams { own, anonymous })
            };
            all_or_errors(wanted.into_iter().map(|registry| registry.map(make).transpose()))
        });
        making.await.expect("making an upstream neither panics nor is cancelled")
    }

    fn needs_store(&self, registry: &Registry) -> bool {
        let name = &registry.names.name;
        !self.served.contains_key(name) && !self.is_retired_over(name, &registry.root)
    }

    fn is_retired_over(&self, name: &str, root: &Path) -> bool {
        let slot = self.retired.get(name);
        slot.is_some_and(|slot| slot.lock().as_ref().is_some_and(|served| served.registry.root == root))
    }

    /// Refuses a root that a registry of another name uses, which may have been removed but not yet closed.
    fn refuse_root(&self, registry: &Registry) -> Option<RegistryError> {
        let is_its_root = |root: &Path| absolute(root) == absolute(&registry.root);
        let served = self.served.values().find(|it| is_its_root(&it.registry.root));
        let served = served.map(|it| it.registry.names.name.clone());
        let retired = || {
            let is_over = |slot: &Slot| slot.lock().as_ref().is_some_and(|it| is_its_root(&it.registry.root));
            self.retired.iter().find(|(_, slot)| is_over(slot)).map(|(name, _)| name.clone())
        };
        let other = served.or_else(retired)?;
        let reason = format!(
            "{} is still the root of {other}, which has to finish its transfers; reload without {other} first, \
             then reload again",
            registry.root.display()
        );
        Some(RegistryError::new(&registry.names.name, reason))
    }

    fn take_back(&mut self, name: &str) -> Option<Served> {
        self.retired.remove(name)?.lock().take()
    }

    fn retire(&mut self, mut served: Served) {
        let name = served.registry.names.name.clone();
        self.past_roots.insert(&served.registry.root);
        served.lifetime.stop_upkeep();
        let slot: Slot = Arc::new(Mutex::new(Some(served)));
        self.retired.retain(|_, slot| slot.lock().is_some());
        self.retired.insert(name.clone(), Arc::clone(&slot));
        let (names, metrics) = (Arc::clone(&self.names), Arc::clone(&self.shared.metrics));
        tokio::spawn(lifetime::drain(name, slot, names, metrics));
    }
}

impl Served {
    fn change_to(&self, registry: &Registry) -> RegistryChange {
        RegistryChange::between(&self.registry, registry)
    }
}

/// The absolute path. Two of them can still lead to one directory; its lock detects that.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Makes the upstream of a registry without sending a request.
///
/// # Errors
/// The mistake in its settings.
pub(crate) fn upstream(
    registry: &Registry,
    authorities: &Authorities,
    metrics: &Metrics,
) -> Result<HttpUpstream, RegistryError> {
    let name = &registry.names.name;
    HttpUpstream::new(registry.upstream.clone(), authorities, metrics.registry(name))
        .map_err(|error| RegistryError::new(name, error_chain(&error)).caused_by(error))
}

/// Makes the same upstream without its logins.
///
/// # Errors
/// As [`upstream()`].
fn anonymous(
    registry: &Registry,
    authorities: &Authorities,
    metrics: &Metrics,
) -> Result<HttpUpstream, RegistryError> {
    let name = &registry.names.name;
    HttpUpstream::anonymous(registry.upstream.clone(), authorities, metrics.registry(name))
        .map_err(|error| RegistryError::new(name, error_chain(&error)).caused_by(error))
}
