//! The registries that are served: a set that a reload changes as a whole.
//!
//! A change is first prepared, while the old set goes on serving, and then committed. Only preparing can fail.
//! A registry that did not change keeps its backend, and with that its connections, tables and open files. A registry
//! with other rules or another upstream gets a backend that takes over the tables of its store. A removed registry
//! finishes its transfers in the background; then its store is closed. If it is added again before that, it continues
//! with the same store.

mod lifetime;
mod opening;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use budget::Memory;
use cache::{Backend, Bounds};
use parking_lot::Mutex;
use policy::capacity::Capacity;
use policy::host::RoutingTable;
use storage::Store;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use upstream::{Authorities, HttpUpstream, SettingsError};

use self::lifetime::{Lifetime, Served, Slot};
use crate::config::diff::RegistryChange;
use crate::config::{Config, Registry};
use crate::disk::RegistryError;

/// The time for transfers without clients to put away their bytes at a stop.
const PARK_WAIT_MAX: Duration = Duration::from_secs(10);

/// What registries have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) bounds_of_all: Bounds,
    pub(crate) memory: Memory,
    /// Ends the transfers of all registries.
    pub(crate) stop: CancellationToken,
}

/// The registries, by name.
#[derive(Debug)]
pub(crate) struct RegistrySet {
    common: Common,
    served: BTreeMap<String, Served>,
    /// Those that finish their last transfers.
    retired: HashMap<String, Slot>,
    /// The names of `served` and of the change in preparation. The end of a retired registry leaves their metrics alone.
    names: Arc<Mutex<BTreeSet<String>>>,
    /// Roots of removed registries: their locks may still be held for a moment.
    past_roots: HashSet<PathBuf>,
}

/// A change that can no longer fail.
#[derive(Debug)]
pub(crate) struct Prepared {
    registries: Vec<(Registry, Step)>,
    capacity: Capacity,
}

/// What becomes of one registry.
#[derive(Debug)]
enum Step {
    /// Its backend stays.
    Keep,
    /// It gets another backend over its store; none: with the upstream that it has.
    Succeed(Option<Arc<HttpUpstream>>),
    /// It is new.
    Begin(Arc<HttpUpstream>, Arc<dyn Store>),
    /// It was removed and is back before its last transfer was over.
    Return(Arc<HttpUpstream>, Box<Served>),
}

impl RegistrySet {
    /// A set without registries.
    pub(crate) fn new(common: Common) -> Self {
        Self {
            common,
            served: BTreeMap::new(),
            retired: HashMap::new(),
            names: Arc::default(),
            past_roots: HashSet::new(),
        }
    }

    /// Prepares to serve the registries of `config`, within `capacity`.
    ///
    /// # Errors
    /// Every registry that cannot be served, with the reason. Nothing has changed then.
    pub(crate) async fn prepare(
        &mut self,
        config: &Config,
        capacity: &Capacity,
    ) -> Result<Prepared, Vec<RegistryError>> {
        let names = || config.registries.iter().map(|registry| registry.names.name.clone());
        // From here on, upstreams and stores count in the metrics of these names, so these must stay.
        self.names.lock().extend(names());
        let prepared = self.try_prepare(config, capacity).await;
        if prepared.is_err() {
            *self.names.lock() = self.served.keys().cloned().collect();
            let is_retired = |name: &String| self.retired.get(name).is_some_and(|slot| slot.lock().is_some());
            let unknown = names().filter(|name| !self.served.contains_key(name) && !is_retired(name));
            unknown.for_each(|name| self.common.metrics.remove_registry(&name));
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
        let (metrics, past_roots) = (&self.common.metrics, &self.past_roots);
        let opened = opening::open_all(&to_open, metrics, capacity, |root| past_roots.contains(root)).await?;
        let mut opened: HashMap<String, Arc<dyn Store>> =
            to_open.iter().map(|it| it.names.name.clone()).zip(opened).collect();
        let (mut registries, mut refused) = (Vec::new(), Vec::new());
        for (registry, upstream) in config.registries.iter().zip(upstreams) {
            let name = &registry.names.name;
            match self.step(registry, upstream, opened.remove(name)) {
                Some(step) => registries.push((registry.clone(), step)),
                None => refused.push(closing(name)),
            }
        }
        if !refused.is_empty() {
            self.abandon(registries);
            return Err(refused);
        }
        Ok(Prepared { registries, capacity: *capacity })
    }

    /// What becomes of a registry, with the upstream and the store that were made for it. None: its store is being closed.
    fn step(
        &mut self,
        registry: &Registry,
        upstream: Option<Arc<HttpUpstream>>,
        store: Option<Arc<dyn Store>>,
    ) -> Option<Step> {
        let name = &registry.names.name;
        Some(match (self.served.get(name), upstream, store) {
            (Some(served), None, _) if !served.change_to(registry).rules => Step::Keep,
            (Some(_), upstream, _) => Step::Succeed(upstream),
            (None, Some(upstream), Some(store)) => Step::Begin(upstream, store),
            (None, Some(upstream), None) => Step::Return(upstream, Box::new(self.take_back(name)?)),
            (None, None, _) => unreachable!("a registry that is not served gets an upstream"),
        })
    }

    /// Serves what was prepared, and returns which registry a request is meant for. Those that are not in it are retired.
    pub(crate) fn commit(&mut self, prepared: Prepared, config: &Config) -> RoutingTable<Arc<Backend>> {
        let Prepared { registries, capacity } = prepared;
        let mut before = std::mem::take(&mut self.served);
        for (registry, step) in registries {
            let name = registry.names.name.clone();
            let served = match step {
                Step::Keep => {
                    let mut served = before.remove(&name).expect("a kept registry was served");
                    served.registry = registry;
                    served
                }
                Step::Succeed(upstream) => {
                    let served = before.remove(&name).expect("a changed registry was served");
                    served.succeed(registry, upstream, &self.common, &capacity)
                }
                Step::Return(upstream, served) => {
                    let served = *served;
                    served.succeed(registry, Some(upstream), &self.common, &capacity).maintained()
                }
                Step::Begin(upstream, store) => {
                    Served::begin(registry, upstream, store, &self.common, &capacity).maintained()
                }
            };
            served.backend.bounds().resize(capacity.per_registry.waiting, capacity.per_registry.asking);
            served.store.set_bounds(capacity.kept_open as u64, capacity.collected_bytes, capacity.unstored);
            self.past_roots.remove(&served.registry.root);
            self.served.insert(name, served);
        }
        self.common.bounds_of_all.resize(capacity.all.waiting, capacity.all.asking);
        self.common.memory.resize(config.body_bytes_max);
        *self.names.lock() = self.served.keys().cloned().collect();
        for (_, served) in before {
            self.retire(served);
        }
        config.routes.map(|index| {
            let name = &config.registries[*index].names.name;
            Arc::clone(&self.served[name].backend)
        })
    }

    /// Retires again what a change took back that is not made.
    fn abandon(&mut self, registries: Vec<(Registry, Step)>) {
        for (_, step) in registries {
            if let Step::Return(_, served) = step {
                self.retire(*served);
            }
        }
    }

    /// Ends all transfers, those of retired registries too, once they have put away what they have. False: some take too
    /// long for that.
    pub(crate) async fn stop(self) -> bool {
        self.common.stop.cancel();
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

    /// An upstream for each registry that needs one: those that are new, and those whose upstream is another one.
    async fn make_upstreams(
        &self,
        config: &Config,
    ) -> Result<Vec<Option<Arc<HttpUpstream>>>, Vec<RegistryError>> {
        let is_same = |it: &Registry| {
            self.served.get(&it.names.name).is_some_and(|served| !served.change_to(it).upstream)
        };
        let wanted: Vec<Option<Registry>> =
            config.registries.iter().map(|it| (!is_same(it)).then(|| it.clone())).collect();
        if wanted.iter().all(Option::is_none) {
            return Ok(wanted.into_iter().map(|_| None).collect());
        }
        let (metrics, memory) = (Arc::clone(&self.common.metrics), self.common.memory.clone());
        // Reading the authorities and building clients from them takes long, and would block a thread that serves.
        let making = tokio::task::spawn_blocking(move || {
            let authorities = Authorities::load();
            let make = |registry: Registry| {
                upstream(&registry, &authorities, &metrics)
                    .map(|upstream| Arc::new(upstream.with_memory(memory.clone())))
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

    /// Says that a root is in use by a registry of another name: one that is removed finishes its transfers first.
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
            "{} is the root of {other}, whose transfers have to end first; reload without {other}, and then again",
            registry.root.display()
        );
        Some(RegistryError { name: registry.names.name.clone(), reason })
    }

    fn take_back(&mut self, name: &str) -> Option<Served> {
        self.retired.remove(name)?.lock().take()
    }

    fn retire(&mut self, mut served: Served) {
        let name = served.registry.names.name.clone();
        self.past_roots.insert(served.registry.root.clone());
        served.lifetime.stop_upkeep();
        let slot: Slot = Arc::new(Mutex::new(Some(served)));
        self.retired.retain(|_, slot| slot.lock().is_some());
        self.retired.insert(name.clone(), Arc::clone(&slot));
        let (names, metrics) = (Arc::clone(&self.names), Arc::clone(&self.common.metrics));
        tokio::spawn(lifetime::drain(name, slot, names, metrics));
    }
}

impl Served {
    fn change_to(&self, registry: &Registry) -> RegistryChange {
        RegistryChange::between(&self.registry, registry)
    }
}

/// The path from the top. Two of them can still lead to one directory; then its lock tells.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn closing(name: &str) -> RegistryError {
    let reason = "it was removed, and its store is being closed at this moment; reload again".to_owned();
    RegistryError { name: name.to_owned(), reason }
}

/// Makes the upstream of a registry. It sends no request yet.
///
/// # Errors
/// What is wrong with its settings.
pub(crate) fn upstream(
    registry: &Registry,
    authorities: &Authorities,
    metrics: &Metrics,
) -> Result<HttpUpstream, RegistryError> {
    let name = &registry.names.name;
    HttpUpstream::new(registry.upstream.clone(), authorities, metrics.registry(name))
        .map_err(|error: SettingsError| RegistryError { name: name.clone(), reason: error.to_string() })
}

/// All values, or all errors.
pub(crate) fn all_or_errors<T>(
    results: impl Iterator<Item = Result<T, RegistryError>>,
) -> Result<Vec<T>, Vec<RegistryError>> {
    let (mut made, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => made.push(value),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(made) } else { Err(errors) }
}
