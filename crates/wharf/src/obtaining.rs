//! Certificates from the authority of `[server.acme]`: the names that get them, and the task that keeps them.

use std::sync::Arc;

use acme::{Goal, Keeper, Parts, State, StateError, Transport};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use policy::issuance::{self, NamesError};
use server::Control;
use telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use upstream::{Authorities, ServiceClient, SettingsError};

use crate::config::{Acme, Config};
use crate::virtual_hosts;

/// Names with certificates, and hosts without, each with the reason.
pub(crate) type Names = (Vec<String>, Vec<(String, NamesError)>);

/// The reason for which no certificates can be obtained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObtainError {
    #[error("[server.acme]: {0}")]
    Settings(#[source] SettingsError),
    #[error("[server.acme]: {0}")]
    State(#[source] StateError),
}

/// The way to the authority.
struct Authority(ServiceClient);

#[async_trait]
impl Transport for Authority {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        self.0.send(request).await
    }
}

/// The names to request for `config` at the authority `acme`.
pub(crate) fn names(config: &Config, acme: &Acme) -> Names {
    let hosts = acme.names.clone().unwrap_or_else(|| virtual_hosts::all(config));
    issuance::requested(&hosts, config.domain.as_deref(), acme.wildcard)
}

/// Whether `host` gets a certificate from the authority, if there is one.
pub(crate) fn gives(config: &Config, host: &str) -> bool {
    let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    config.acme.as_ref().is_some_and(|acme| {
        names(config, acme).0.iter().any(|name| name == host || Some(name) == wildcard.as_ref())
    })
}

/// The goal of the task; `None` without an authority.
///
/// # Errors
/// [`ObtainError::Settings`] for an unusable `ca_file`.
pub(crate) fn goal(config: &Config) -> Result<Option<Goal>, ObtainError> {
    let Some(acme) = &config.acme else { return Ok(None) };
    let directory = &acme.settings.directory;
    let client = ServiceClient::new(directory, acme.ca.as_deref(), &Authorities::load());
    let transport = Arc::new(Authority(client.map_err(ObtainError::Settings)?));
    Ok(Some(Goal { settings: acme.settings.clone(), names: names(config, acme).0, transport }))
}

/// Whether the task has another goal under `after` than under `before`.
pub(crate) fn differs(before: &Config, after: &Config) -> bool {
    let of = |config: &Config| config.acme.as_ref().map(|acme| names(config, acme).0);
    before.acme != after.acme || of(before) != of(after)
}

/// The running task.
pub(crate) struct Obtaining {
    pub(crate) goals: watch::Sender<Goal>,
    /// Ends after the shutdown, when the answers to challenges are taken back.
    pub(crate) task: JoinHandle<()>,
}

/// Shows the certificates that are held, and starts to obtain those that are missing.
///
/// # Errors
/// [`ObtainError`], such as a directory that another process uses.
pub(crate) fn start(
    config: &Config,
    control: &Control,
    metrics: &Arc<Metrics>,
    shutdown: &CancellationToken,
) -> Result<Option<Obtaining>, ObtainError> {
    let (Some(goal), Some(acme)) = (goal(config)?, &config.acme) else { return Ok(None) };
    let state = State::open(&acme.state_dir).map_err(ObtainError::State)?;
    let shown = control.clone();
    let parts = Parts {
        state,
        challenges: control.challenges(),
        show: Box::new(move |obtained| shown.show_obtained(obtained)),
        metrics: Arc::clone(metrics),
    };
    let (goals, receiver) = watch::channel(goal);
    let keeper = Keeper::new(parts, receiver).map_err(ObtainError::State)?;
    let task = tokio::spawn(keeper.run(shutdown.clone()));
    Ok(Some(Obtaining { goals, task }))
}

/// The line at the start.
pub(crate) fn line(config: &Config) -> Option<String> {
    let acme = config.acme.as_ref()?;
    let (names, left_out) = names(config, acme);
    let (directory, challenge) = (&acme.settings.directory, acme.settings.challenge.name());
    let count = names.len();
    let mut line = format!(
        "certificates for {count} names come from {directory} by {challenge}; TLS clients of a name without one get {}",
        match &config.pairs[..] {
            [] => "no connection",
            _ => "the default certificate",
        }
    );
    if !left_out.is_empty() {
        let left_out: Vec<String> = left_out.iter().map(|(name, why)| format!("{name} {why}")).collect();
        line.push_str(&format!("; no certificate can be had for: {}", left_out.join(", ")));
    }
    Some(line)
}
