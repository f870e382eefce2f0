//! Puts the crates together: makes every part that two of them share, and hands it down.

use std::sync::Arc;

use admin::{Admin, Reloads};
use archive::ServedTargets;
use policy::capacity::{self, Capacity, TooFewDescriptors};
use server::{BindError, BoundSocket, ListenAddress, Server, Snapshot, Sockets};
use telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use upstream::Authorities;

use crate::binding;
use crate::config::{Config, LogFormat};
use crate::config_options::{ConfigOptions, Loaded};
use crate::confinement::Rights;
use crate::descriptors::{self, Notice};
use crate::disk;
use crate::log::{self, RunningLog};
use crate::machine;
use crate::notify::{self, notify};
use crate::obtaining::{self, ObtainError, Obtaining};
use crate::panics;
use crate::registry_error::{self, RegistryError, all_or_errors};
use crate::registry_set::{self, NewStores, RegistrySet, Shared, Upkeep};
use crate::reload::{Causes, Reloader, Targets};
use crate::report::{self, Listeners};
use crate::signals::Signals;
use crate::warming::{Schedule, Warmer};

/// Why wharf does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Registries that cannot be served, of `registry_count` in all.
    #[error("{}", registry_error::lines(errors, *registry_count))]
    Registries { errors: Vec<RegistryError>, registry_count: usize },
    #[error("{}", descriptors::refuse(.0))]
    Descriptors(TooFewDescriptors),
    /// The text names the address, the cause and what to do.
    #[error("{text}")]
    Bind { text: String, source: BindError },
    #[error(transparent)]
    Obtain(ObtainError),
    #[error("the stored images cannot be read")]
    Store(#[source] inventory::Failure),
    #[error("cannot catch signals")]
    Signals(#[source] std::io::Error),
}

/// Serves until a signal asks to stop.
///
/// # Errors
/// [`StartError`] if it cannot start. Once it serves, only a signal ends it.
pub(crate) async fn serve(
    options: ConfigOptions,
    loaded: Loaded,
    log: &RunningLog,
    rights: &Rights,
) -> Result<(), StartError> {
    install_tls();
    let (hangup, hangups) = watch::channel(());
    let signals = Signals::catch(hangup).map_err(StartError::Signals)?;
    let (reloads, requests) = Reloads::new();
    let shutdown = CancellationToken::new();
    let started = start(options, loaded, (log, rights), reloads, &shutdown).await?;
    let Started { server, reloader, obtaining } = started;
    let set = run(server, reloader, signals, Causes { hangups, requests }, shutdown).await;
    if let Some(task) = obtaining {
        let _ = task.await;
    }
    if !set.stop().await {
        tracing::warn!("some transfers were still running; wharf will fetch their bytes again");
    }
    tracing::info!("stopped");
    Ok(())
}

/// The parts that are ready before the first request.
struct Started {
    server: Server,
    reloader: Reloader,
    /// The task that obtains certificates.
    obtaining: Option<JoinHandle<()>>,
}

/// Makes all parts and listens.
async fn start(
    options: ConfigOptions,
    Loaded { config, read }: Loaded,
    (log, rights): (&RunningLog, &Rights),
    reloads: Reloads,
    shutdown: &CancellationToken,
) -> Result<Started, StartError> {
    let (metrics, descriptors, capacity) = plan(&config)?;
    metrics.count_dropped_log_lines(log.dropped_lines());
    panics::count_in(Arc::clone(&metrics));
    descriptors::forbid_core_files();
    // The stores come last of all that can fail, so that a failed start leaves no directory behind.
    let refused = |source: BindError| StartError::Bind { text: binding::describe(&source, &config), source };
    let sockets = Sockets::bind(&config.server).map_err(refused)?;
    let admin_socket = config.admin.as_ref().map(|admin| BoundSocket::bind(admin.listen.clone()));
    let admin_socket = admin_socket.transpose().map_err(refused)?;
    let shared = Shared::new(&config, &capacity, &metrics, (Upkeep::On, NewStores::All));
    tokio::spawn(Arc::clone(&shared.common_keeper).run(shared.stop.clone()));
    let Assembled { set, mut server, mut admin_parts } =
        assemble(&config, &capacity, shared, sockets, shutdown).await?;
    admin_parts.reloads = Some(reloads);
    let admin = config.admin.as_ref().map(|settings| Admin::new(settings, admin_parts));
    let admin_address = match (&admin, admin_socket) {
        (Some(admin), Some(socket)) => Some(admin.listen(socket, &mut server).map_err(refused)?),
        _ => None,
    };

    let obtaining = obtaining::start(&config, &server.control(), &metrics, shutdown);
    let obtaining = obtaining.map_err(StartError::Obtain)?;

    log_version(&config, &descriptors::describe(descriptors, &config.wanted, &capacity));
    log_rights(&config, rights);
    log_addresses(&config, &server, admin_address.as_ref());
    log_offline(&server);
    if let Some(line) = obtaining::line(&config) {
        tracing::info!("{line}");
    }
    let (goals, obtaining) = match obtaining {
        Some(Obtaining { goals, task }) => (Some(goals), Some(task)),
        None => (None, None),
    };
    let (warm, warm_settings) = watch::channel(config.warm.clone());
    let warmer = Warmer::new(server.control(), shutdown.clone());
    let schedule = Schedule::new(warmer, warm_settings, Arc::clone(&metrics));
    tokio::spawn(schedule.run(shutdown.clone()));
    let targets = Targets {
        control: server.control(),
        admin,
        levels: log.levels(),
        metrics,
        warm,
        goals,
        descriptors,
        rights: rights.clone(),
    };
    let reloader = Reloader::new(options, Loaded { config, read }, set, targets);
    Ok(Started { server, reloader, obtaining })
}

/// The metrics, the limit on open files, and the capacity within it.
fn plan(config: &Config) -> Result<(Arc<Metrics>, Option<usize>, Capacity), StartError> {
    let descriptors = descriptors::raise_limit();
    let capacity = capacity::plan(descriptors, &config.wanted, config.registries.len());
    Ok((metrics_of(config), descriptors, capacity.map_err(StartError::Descriptors)?))
}

/// The registries, a server of them, and the parts of its admin service.
struct Assembled {
    set: RegistrySet,
    server: Server,
    admin_parts: admin::Parts,
}

/// Opens the stores and puts a server in front of them.
async fn assemble(
    config: &Config,
    capacity: &Capacity,
    shared: Shared,
    sockets: Sockets,
    shutdown: &CancellationToken,
) -> Result<Assembled, StartError> {
    let (metrics, keepers) = (Arc::clone(&shared.metrics), Arc::clone(&shared.common_keeper));
    let archives = Arc::clone(&shared.archives);
    let offline = shared.offline.clone();
    let mut set = RegistrySet::new(shared);
    let prepared = set.prepare(config, capacity).await;
    let registry_count = config.registries.len();
    let prepared = prepared.map_err(|errors| StartError::Registries { errors, registry_count })?;
    let routes = set.commit(prepared, config);
    let snapshot =
        Snapshot { routes, access: config.access.clone(), settings: config.server_within(capacity) };
    let parts = server::Parts { snapshot, metrics: Arc::clone(&metrics) };
    let server = Server::listen(parts, sockets)
        .map_err(|source| StartError::Bind { text: binding::describe(&source, config), source })?;
    let admin_parts = admin::Parts {
        control: server.control(),
        metrics,
        reloads: None,
        keepers,
        archives,
        image_work: Some(Arc::new(Warmer::new(server.control(), shutdown.clone()))),
        offline,
        shutdown: shutdown.clone(),
    };
    Ok(Assembled { set, server, admin_parts })
}

/// Opens the stores of `config` for commands while no wharf serves them, with an admin listener for this
/// process alone. Nothing is removed from them and no client is served.
///
/// # Errors
/// [`StartError`], such as a store that another process uses.
pub(crate) async fn open_at_rest(
    config: &Config,
    admin: &mut admin::Settings,
    new_stores: NewStores,
) -> Result<AtRest, StartError> {
    install_tls();
    let refused = |source: BindError| StartError::Bind { text: binding::describe(&source, config), source };
    let (metrics, _, capacity) = plan(config)?;
    let socket = BoundSocket::bind(admin.listen.clone()).map_err(refused)?;
    let shared = Shared::new(config, &capacity, &metrics, (Upkeep::Off, new_stores));
    let (shutdown, archives) = (CancellationToken::new(), Arc::clone(&shared.archives));
    let Assembled { set, mut server, admin_parts } =
        assemble(config, &capacity, shared, Sockets::default(), &shutdown).await?;
    admin.listen = Admin::new(admin, admin_parts).listen(socket, &mut server).map_err(refused)?;
    set.learn().await.map_err(StartError::Store)?;
    let serving = tokio::spawn(server.serve(shutdown.clone()));
    Ok(AtRest { set, archives, shutdown, serving })
}

/// The stores of a configuration, opened for commands.
#[derive(Debug)]
pub(crate) struct AtRest {
    set: RegistrySet,
    archives: Arc<ServedTargets>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl AtRest {
    /// The stores, as imports use them.
    pub(crate) fn archives(&self) -> &Arc<ServedTargets> {
        &self.archives
    }

    /// Learns the limits on the stores and the room below them. From then on, what has no room is refused.
    pub(crate) async fn measure(&self) {
        self.set.measure().await;
    }

    /// Ends the admin listener, and closes the stores.
    pub(crate) async fn close(self) {
        self.shutdown.cancel();
        let _ = self.serving.await;
        self.set.stop().await;
    }
}

/// Serves and reloads until a signal asks to stop. Returns the registries served at that time.
async fn run(
    server: Server,
    reloader: Reloader,
    signals: Signals,
    causes: Causes,
    shutdown: CancellationToken,
) -> RegistrySet {
    tokio::spawn(signals.obey(shutdown.clone(), server.control()));
    let reloading = tokio::spawn(reloader.run(causes, shutdown.clone()));
    notify(notify::READY);
    server.serve(shutdown).await;
    reloading.await.expect("reloading does not panic")
}

/// Logs the version and the configuration, then the warnings: a warning means little before the program has
/// given its name.
fn log_version(config: &Config, limits: &Notice) {
    tracing::info!("{}", report::title(config));
    for line in config.notices.iter().cloned().chain(config.warnings.lines()) {
        tracing::warn!("{line}");
    }
    if let Some(line) = report::public_only(config) {
        tracing::info!("{line}");
    }
    let roots: Vec<_> =
        config.registries.iter().map(|it| (it.names.name.as_str(), it.root.as_path())).collect();
    if let Some(notice) = disk::read_only_notice(&roots) {
        tracing::warn!("{notice}");
    }
    if limits.is_warning {
        tracing::warn!("{}", limits.text);
    } else if !limits.is_all || log::format_of(&config.log) != LogFormat::Short {
        tracing::info!("{}", limits.text);
    }
}

/// Logs how wharf is confined. For people on a terminal, only a missing limit is news.
fn log_rights(config: &Config, rights: &Rights) {
    if log::format_of(&config.log) != LogFormat::Short || !rights.are_limited() {
        rights.lines().iter().for_each(|line| tracing::info!("{line}"));
    }
}

/// Logs the listeners' addresses and how to configure clients.
fn log_addresses(config: &Config, server: &Server, admin: Option<&ListenAddress>) {
    let (plain, tls) = (server.local_addresses(), server.tls_addresses());
    let listeners = Listeners { plain: &plain, tls: &tls, admin, own: machine::own_address() };
    let lines = match log::format_of(&config.log) {
        LogFormat::Short => report::start_short(config, listeners),
        LogFormat::Text | LogFormat::Json => report::start(config, listeners),
    };
    for line in lines {
        tracing::info!("{line}");
    }
}

/// Logs which registries are offline, and why: an operator may have forgotten a switch.
fn log_offline(server: &Server) {
    let snapshot = server.control().snapshot();
    for backend in snapshot.routes.registries() {
        if let Some(line) = report::offline(backend.name(), backend.offline().state()) {
            tracing::warn!("{line}");
        }
    }
}

/// Finds mistakes that only making the upstreams shows, without touching a store or a socket.
///
/// # Errors
/// [`StartError::Registries`].
pub(crate) fn check(config: &Config) -> Result<(), StartError> {
    install_tls();
    obtaining::goal(config).map_err(StartError::Obtain)?;
    let metrics = metrics_of(config);
    let authorities = Authorities::load();
    let upstreams = config.registries.iter().map(|it| registry_set::upstream(it, &authorities, &metrics));
    let refused = |errors| StartError::Registries { errors, registry_count: config.registries.len() };
    all_or_errors(upstreams).map(|_| ()).map_err(refused)
}

fn metrics_of(config: &Config) -> Arc<Metrics> {
    let names: Vec<String> = config.registries.iter().map(|registry| registry.names.name.clone()).collect();
    Arc::new(Metrics::new(&names))
}

/// Sets the process's TLS library. Later calls have no effect.
fn install_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[cfg(test)]
mod tests;
