//! How the rooms are put together. Whatever two of them share is made here and handed down.

use std::sync::Arc;
use std::time::Duration;

use budget::Memory;
use cache::{Backend, Bounds};
use policy::capacity::{self, Capacity, TooFew};
use server::{BindError, Server, Snapshot, Sockets};
use storage::Store;
use telemetry::Metrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upstream::{Authorities, HttpUpstream, SettingsError};

use crate::binding;
use crate::config::{Config, LogFormat, Registry};
use crate::descriptors::{self, Notice};
use crate::disk::{self, RegistryError};
use crate::log;
use crate::machine;
use crate::notify::{self, notify};
use crate::panics;
use crate::report::{self, Listeners};
use crate::signals::Signals;

/// How often each store looks for leftovers.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// How long transfers that nobody waits for any more may take to put away what they have.
const PARK_WAIT_MAX: Duration = Duration::from_secs(10);

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Each registry that cannot be served, with the reason, of so many.
    #[error("{}", disk::lines(errors, *registry_count))]
    Registries { errors: Vec<RegistryError>, registry_count: usize },
    #[error("{}", descriptors::refuse(.0))]
    Descriptors(TooFew),
    #[error("{0}")]
    Bind(String),
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
}

/// Serves until a signal says to stop.
///
/// # Errors
/// [`StartError`] when it cannot begin; once it serves, nothing ends it but a signal.
pub(crate) async fn serve(
    config: Config,
    dropped_log_lines: impl Fn() -> u64 + Send + Sync + 'static,
) -> Result<(), StartError> {
    install_tls();
    let signals = Signals::catch().map_err(StartError::Signals)?;
    let metrics = metrics_of(&config);
    metrics.count_dropped_log_lines(dropped_log_lines);
    panics::count_in(Arc::clone(&metrics));
    descriptors::forbid_core_files();
    let descriptor_limit = descriptors::raise_limit();
    let capacity = capacity::plan(descriptor_limit, &config.wanted, config.registries.len());
    let capacity = capacity.map_err(StartError::Descriptors)?;
    // Whatever else can fail comes before the stores, so that a start in vain leaves no directory behind.
    let in_vain = |error: BindError| StartError::Bind(binding::describe(&error, &config.server));
    let sockets = Sockets::bind(&config.server).map_err(in_vain)?;
    let authorities = Authorities::load();
    let upstreams = config.registries.iter().map(|registry| upstream(registry, &authorities, &metrics));
    let upstreams = all_or_errors(upstreams)?;
    let memory = Memory::new(config.body_bytes_max);
    let counted = memory.clone();
    metrics.count_body_memory(move || counted.taken().to_vec());
    let common = Common {
        metrics: Arc::clone(&metrics),
        bounds_of_all: Bounds::new(capacity.all.waiting, capacity.all.asking),
        capacity,
        memory,
        tasks: TaskTracker::new(),
        stop_fills: CancellationToken::new(),
    };
    let stores = open_stores(&config.registries, &metrics, &capacity).await?;
    let parts = config.registries.iter().zip(upstreams).zip(stores);
    let backends: Vec<_> =
        parts.map(|((registry, upstream), store)| common.backend(registry, upstream, store)).collect();
    let routes = config.routes.map(|index| Arc::clone(&backends[*index]));
    let snapshot = Snapshot { routes, settings: server_settings(&config, &capacity) };
    let parts = server::Parts { snapshot, metrics: Arc::clone(&metrics), reloads: None };
    let server = Server::listen(parts, sockets).map_err(in_vain)?;

    say_what(&config, &descriptors::describe(descriptor_limit, &config.wanted, &capacity));
    say_where(&config, &server);
    let shutdown = CancellationToken::new();
    tokio::spawn(signals.obey(shutdown.clone(), server.control()));
    notify(notify::READY);
    server.serve(shutdown).await;

    common.stop_fills.cancel();
    common.tasks.close();
    if tokio::time::timeout(PARK_WAIT_MAX, common.tasks.wait()).await.is_err() {
        tracing::warn!("transfers were still running; what they had is fetched again");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Says which version runs with which configuration, and then what to beware of: nobody can make anything of a warning
/// by a program that has not said its name.
fn say_what(config: &Config, room: &Notice) {
    tracing::info!("{}", report::title(config));
    for line in config.notices.iter().cloned().chain(config.warnings.lines()) {
        tracing::warn!("{line}");
    }
    let roots: Vec<_> =
        config.registries.iter().map(|it| (it.names.name.as_str(), it.root.as_path())).collect();
    if let Some(notice) = disk::read_only_notice(&roots) {
        tracing::warn!("{notice}");
    }
    if room.is_warning {
        tracing::warn!("{}", room.text);
    } else if !room.is_all || log::format_of(&config.log) != LogFormat::Short {
        tracing::info!("{}", room.text);
    }
}

/// Says where it listens and how clients are told.
fn say_where(config: &Config, server: &Server) {
    let (plain, tls) = (server.local_addresses(), server.tls_addresses());
    let (admin, own) = (server.admin_address(), machine::own_address());
    let listeners = Listeners { plain: &plain, tls: &tls, admin, own };
    let lines = match log::format_of(&config.log) {
        LogFormat::Short => report::start_short(config, listeners),
        LogFormat::Text | LogFormat::Json => report::start(config, listeners),
    };
    for line in lines {
        tracing::info!("{line}");
    }
}

/// The server's settings with the bounds that fit.
fn server_settings(config: &Config, capacity: &Capacity) -> server::Settings {
    server::Settings {
        connection_count_max: capacity.connections,
        client_connection_count_max: capacity.per_client,
        answer_count_max: capacity.answers,
        ..config.server.clone()
    }
}

/// Finds what only the rooms themselves can tell to be wrong, without touching a store or a socket.
///
/// # Errors
/// [`StartError::Registries`].
pub(crate) fn check(config: &Config) -> Result<(), StartError> {
    install_tls();
    let metrics = metrics_of(config);
    let authorities = Authorities::load();
    let upstreams = config.registries.iter().map(|registry| upstream(registry, &authorities, &metrics));
    all_or_errors(upstreams).map(|_| ())
}

fn metrics_of(config: &Config) -> Arc<Metrics> {
    let names: Vec<String> = config.registries.iter().map(|registry| registry.names.name.clone()).collect();
    Arc::new(Metrics::new(&names))
}

/// The first call decides for the whole process; a later one changes nothing.
fn install_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn upstream(
    registry: &Registry,
    authorities: &Authorities,
    metrics: &Metrics,
) -> Result<HttpUpstream, RegistryError> {
    let name = &registry.names.name;
    HttpUpstream::new(registry.upstream.clone(), authorities, metrics.registry(name))
        .map_err(|error: SettingsError| RegistryError { name: name.clone(), reason: error.to_string() })
}

/// Opens the stores of all registries. What a new one waits for is the disk, which makes many of them durable at once as
/// fast as one.
///
/// # Errors
/// [`StartError::Registries`].
async fn open_stores(
    registries: &[Registry],
    metrics: &Metrics,
    capacity: &Capacity,
) -> Result<Vec<Arc<dyn Store>>, StartError> {
    let open = |registry| open_store(registry, metrics, capacity);
    let opening: Vec<_> = registries.iter().map(open).collect();
    let mut stores = Vec::new();
    for store in opening {
        stores.push(store.await.expect("opening a store neither panics nor is cancelled"));
    }
    all_or_errors(stores.into_iter())
}

/// Begins to open a registry's store, on a thread that may block.
fn open_store(
    registry: &Registry,
    metrics: &Metrics,
    capacity: &Capacity,
) -> JoinHandle<Result<Arc<dyn Store>, RegistryError>> {
    let (name, root) = (registry.names.name.clone(), registry.root.clone());
    let metrics = metrics.registry(&name);
    let (kept_open_max, collected_bytes_max) = (capacity.kept_open as u64, capacity.collected_bytes);
    tokio::task::spawn_blocking(move || {
        if let Some(above) = disk::open_to_everyone(&root).filter(|_| !machine::is_container()) {
            let reason = format!(
                "everyone may rename what is in {0}, and so put another store in place of this one; `chmod o-w {0}`",
                above.display()
            );
            return Err(RegistryError { name, reason });
        }
        let settings = storage::fs::Settings {
            kept_open_count_max: kept_open_max,
            collected_bytes_max,
            ..storage::fs::Settings::default()
        };
        settings
            .open(&root, metrics)
            .map(|store| Arc::new(store) as Arc<dyn Store>)
            .map_err(|error| RegistryError { reason: disk::describe(&name, &root, &error), name })
    })
}

/// What registries have in common.
struct Common {
    metrics: Arc<Metrics>,
    bounds_of_all: Bounds,
    capacity: Capacity,
    memory: Memory,
    tasks: TaskTracker,
    stop_fills: CancellationToken,
}

impl Common {
    fn backend(&self, registry: &Registry, upstream: HttpUpstream, store: Arc<dyn Store>) -> Arc<Backend> {
        let name = &registry.names.name;
        let upstream = upstream.drawing_on(self.memory.clone());
        self.tasks.spawn(maintain(Arc::clone(&store), self.stop_fills.clone()));
        Arc::new(Backend::new(cache::Parts {
            name: name.clone(),
            upstream: Arc::new(upstream),
            blobs: store.clone(),
            records: store,
            bounds_of_all: self.bounds_of_all.clone(),
            memory: self.memory.clone(),
            settings: cache::Settings {
                waiting_count_max: self.capacity.per_registry.waiting,
                asking_count_max: self.capacity.per_registry.asking,
                ..registry.cache.clone()
            },
            metrics: self.metrics.registry(name),
            tasks: self.tasks.clone(),
            cancel: self.stop_fills.clone(),
        }))
    }
}

/// Counts what a store holds, and sweeps it until the process ends: what is left behind by transfers that nobody took up
/// again must not pile up.
async fn maintain(store: Arc<dyn Store>, stop: CancellationToken) {
    let upkeep = async {
        store.take_stock().await;
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            store.sweep().await;
        }
    };
    let _: Option<()> = stop.run_until_cancelled(upkeep).await;
}

/// Everything that could be made, or what is wrong with each of those that could not.
fn all_or_errors<T>(results: impl Iterator<Item = Result<T, RegistryError>>) -> Result<Vec<T>, StartError> {
    let (mut made, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => made.push(value),
            Err(error) => errors.push(error),
        }
    }
    let registry_count = made.len() + errors.len();
    if errors.is_empty() { Ok(made) } else { Err(StartError::Registries { errors, registry_count }) }
}
