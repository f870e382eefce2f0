//! The stores of the configured registries, while no server uses them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use archive::{Target, Targets};
use async_trait::async_trait;
use inventory::Inventory;
use storage::StoreErrorKind;
use telemetry::Metrics;
use tokio::sync::Mutex;

use crate::config::{Config, Registry};
use crate::directory::refuse_foreign_root;
use crate::disk;

/// Stores that are opened when they are needed.
#[derive(Debug)]
pub(super) struct StoresAtRest {
    registries: Vec<Registry>,
    open: Mutex<HashMap<String, Arc<Target>>>,
}

/// The reasons why a store cannot be opened.
#[derive(Debug)]
pub(super) enum NotOpen {
    /// A running wharf uses it.
    Running,
    /// A line for the operator.
    Failed(String),
}

impl StoresAtRest {
    /// Opens the stores that there are: that of the registry called `name`, or of all without one.
    pub(super) async fn open(config: &Config, name: Option<&str>) -> Result<Self, NotOpen> {
        let mut registries = config.registries.clone();
        if let Some(name) = name {
            registries.retain(|registry| is_called(registry, name));
            if registries.is_empty() {
                let names: Vec<_> = config.registries.iter().map(|it| it.names.name.as_str()).collect();
                let names = names.join(", ");
                return Err(NotOpen::Failed(format!(
                    "the configuration has no registry {name:?}; it has {names}"
                )));
            }
        }
        let mut open = HashMap::new();
        for registry in registries.iter().filter(|registry| registry.root.exists()) {
            open.insert(registry.names.name.clone(), open_one(registry)?);
        }
        Ok(Self { registries, open: Mutex::new(open) })
    }

    /// The stores that are open, by the names of their registries.
    pub(super) async fn all_open(&self) -> Vec<Arc<Target>> {
        let open = self.open.lock().await;
        self.registries.iter().filter_map(|registry| open.get(&registry.names.name).cloned()).collect()
    }

    async fn target_of(&self, registry: &Registry) -> Result<Arc<Target>, String> {
        let mut open = self.open.lock().await;
        if let Some(target) = open.get(&registry.names.name) {
            return Ok(Arc::clone(target));
        }
        let target = open_one(registry).map_err(|error| match error {
            NotOpen::Running => "a wharf was started meanwhile; run the command again".to_owned(),
            NotOpen::Failed(reason) => reason,
        })?;
        open.insert(registry.names.name.clone(), Arc::clone(&target));
        Ok(target)
    }
}

#[async_trait]
impl Targets for StoresAtRest {
    async fn find(&self, name: &str) -> Result<Option<Arc<Target>>, String> {
        match self.registries.iter().find(|registry| is_called(registry, name)) {
            Some(registry) => self.target_of(registry).await.map(Some),
            None => Ok(None),
        }
    }

    async fn any(&self) -> Result<Arc<Target>, String> {
        if let Some(target) = self.all_open().await.into_iter().next() {
            return Ok(target);
        }
        let first = self.registries.first().ok_or("the configuration has no registry")?;
        self.target_of(first).await
    }
}

fn is_called(registry: &Registry, name: &str) -> bool {
    let names = &registry.names;
    let mut all = names.aliases.iter().chain(&names.hosts).chain([&names.name]);
    all.any(|it| it.eq_ignore_ascii_case(name))
}

fn open_one(registry: &Registry) -> Result<Arc<Target>, NotOpen> {
    refuse_foreign_root(&registry.root).map_err(NotOpen::Failed)?;
    let names = &registry.names;
    let name = &names.name;
    let metrics = Metrics::new(std::slice::from_ref(name)).registry(name);
    let store = match storage::fs::open(&registry.root, Arc::clone(&metrics)) {
        Ok(store) => Arc::new(store),
        Err(error) if error.kind() == StoreErrorKind::Locked => return Err(NotOpen::Running),
        Err(error) => return Err(NotOpen::Failed(disk::describe(name, &registry.root, &error))),
    };
    Ok(Arc::new(Target {
        name: name.clone(),
        aliases: names.aliases.iter().chain(&names.hosts).cloned().collect(),
        grants: registry.cache.links,
        inventory: Inventory::new(name, store, metrics, SystemTime::now()),
        scratch: registry.root.clone(),
    }))
}
