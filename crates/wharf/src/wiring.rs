//! How the rooms are put together. Whatever two of them share is made here and handed down.

use std::net::SocketAddr;
use std::sync::Arc;

use admin::{Admin, Reloads};
use budget::Memory;
use cache::Bounds;
use policy::capacity::{self, Capacity, TooFewDescriptors};
use server::{BindError, BoundSocket, Server, Snapshot, Sockets};
use telemetry::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use upstream::Authorities;

use crate::binding;
use crate::config::{Config, LogFormat};
use crate::descriptors::{self, Notice};
use crate::disk::{self, RegistryError};
use crate::log::{self, RunningLog};
use crate::machine;
use crate::notify::{self, notify};
use crate::panics;
use crate::registry_set::{self, Common, RegistrySet};
use crate::reload::{Causes, Reloader, Targets};
use crate::report::{self, Listeners};
use crate::signals::Signals;
use crate::told::Told;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Each registry that cannot be served, with the reason, of so many.
    #[error("{}", disk::lines(errors, *registry_count))]
    Registries { errors: Vec<RegistryError>, registry_count: usize },
    #[error("{}", descriptors::refuse(.0))]
    Descriptors(TooFewDescriptors),
    #[error("{0}")]
    Bind(String),
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
}

/// Serves until a signal says to stop.
///
/// # Errors
/// [`StartError`] when it cannot begin; once it serves, nothing ends it but a signal.
pub(crate) async fn serve(told: Told, config: Config, log: &RunningLog) -> Result<(), StartError> {
    install_tls();
    let (hangup, hangups) = watch::channel(());
    let signals = Signals::catch(hangup).map_err(StartError::Signals)?;
    let (reloads, requests) = Reloads::new();
    let shutdown = CancellationToken::new();
    let Started { server, reloader } = start(told, config, log, reloads, &shutdown).await?;
    let set = run(server, reloader, signals, Causes { hangups, requests }, shutdown).await;
    if !set.stop().await {
        tracing::warn!("transfers were still running; what they had is fetched again");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Everything that is ready, before anybody is served.
struct Started {
    server: Server,
    reloader: Reloader,
}

/// Makes everything and listens.
async fn start(
    told: Told,
    config: Config,
    log: &RunningLog,
    reloads: Reloads,
    shutdown: &CancellationToken,
) -> Result<Started, StartError> {
    let metrics = metrics_of(&config);
    metrics.count_dropped_log_lines(log.dropped_lines());
    panics::count_in(Arc::clone(&metrics));
    descriptors::forbid_core_files();
    let descriptors = descriptors::raise_limit();
    let capacity = capacity::plan(descriptors, &config.wanted, config.registries.len());
    let capacity = capacity.map_err(StartError::Descriptors)?;
    // Whatever else can fail comes before the stores, so that a start in vain leaves no directory behind.
    let in_vain = |error: BindError| StartError::Bind(binding::describe(&error, &config));
    let sockets = Sockets::bind(&config.server).map_err(in_vain)?;
    let admin_socket = config.admin.as_ref().map(|admin| BoundSocket::bind(admin.listen));
    let admin_socket = admin_socket.transpose().map_err(in_vain)?;
    let mut set = RegistrySet::new(common(&config, &capacity, &metrics));
    let refused = |errors| StartError::Registries { errors, registry_count: config.registries.len() };
    let prepared = set.prepare(&config, &capacity).await.map_err(refused)?;
    let routes = set.commit(prepared, &config);
    let snapshot = Snapshot { routes, settings: server_settings(&config, &capacity) };
    let parts = server::Parts { snapshot, metrics: Arc::clone(&metrics) };
    let mut server = Server::listen(parts, sockets).map_err(in_vain)?;
    let admin_parts = admin::Parts {
        control: server.control(),
        metrics: Arc::clone(&metrics),
        reloads: Some(reloads),
        shutdown: shutdown.clone(),
    };
    let admin = config.admin.as_ref().map(|settings| Admin::new(settings, admin_parts));
    let admin_address = match (&admin, admin_socket) {
        (Some(admin), Some(socket)) => Some(admin.listen(socket, &mut server).map_err(in_vain)?),
        _ => None,
    };

    say_what(&config, &descriptors::describe(descriptors, &config.wanted, &capacity));
    say_where(&config, &server, admin_address);
    let targets = Targets { control: server.control(), admin, levels: log.levels(), metrics, descriptors };
    Ok(Started { server, reloader: Reloader::new(told, config, set, targets) })
}

/// Serves and reloads until a signal says to stop, and returns the registries that are served then.
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

fn common(config: &Config, capacity: &Capacity, metrics: &Arc<Metrics>) -> Common {
    let memory = Memory::new(config.body_bytes_max);
    let counted = memory.clone();
    metrics.count_body_memory(move || counted.taken().to_vec());
    Common {
        metrics: Arc::clone(metrics),
        bounds_of_all: Bounds::new(capacity.all.waiting, capacity.all.asking),
        memory,
        stop: CancellationToken::new(),
    }
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
fn say_where(config: &Config, server: &Server, admin: Option<SocketAddr>) {
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

/// The server's settings with the bounds that fit.
pub(crate) fn server_settings(config: &Config, capacity: &Capacity) -> server::Settings {
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
    let upstreams = config.registries.iter().map(|it| registry_set::upstream(it, &authorities, &metrics));
    let refused = |errors| StartError::Registries { errors, registry_count: config.registries.len() };
    registry_set::all_or_errors(upstreams).map(|_| ()).map_err(refused)
}

fn metrics_of(config: &Config) -> Arc<Metrics> {
    let names: Vec<String> = config.registries.iter().map(|registry| registry.names.name.clone()).collect();
    Arc::new(Metrics::new(&names))
}

/// The first call decides for the whole process; a later one changes nothing.
fn install_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
