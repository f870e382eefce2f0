//! Reloading: the configuration is read again, and what changed in it is served.
//!
//! It is read on SIGHUP, at a request of `wharf reload` through the admin listener, and when one of its files changes. A
//! configuration with a mistake is refused whole, and the one in force goes on. What only a restart changes is named,
//! and the rest is taken over: a password or a certificate that is renewed by a machine must not wait for a person who
//! has yet to restart wharf for another change.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use admin::{Admin, ReloadAnswer, ReloadRequest};
use policy::capacity;
use server::{Control, Snapshot};
use telemetry::{Metrics, Reloaded};
use tokio::sync::{mpsc, watch as signal};
use tokio_util::sync::CancellationToken;

use crate::config::diff::{self, Diff};
use crate::config::{Config, LoadError};
use crate::descriptors;
use crate::disk;
use crate::log::Levels;
use crate::notify::{self, notify};
use crate::registry_set::RegistrySet;
use crate::told::{self, Told};
use crate::watch::{Prints, Watch};
use crate::wiring;

/// Between two looks at the files of the configuration.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// What reloading changes, beside the registries.
pub(crate) struct Targets {
    pub(crate) control: Control,
    pub(crate) admin: Option<Arc<Admin>>,
    pub(crate) levels: Levels,
    pub(crate) metrics: Arc<Metrics>,
    /// How many files the process may have open; none: any number.
    pub(crate) descriptors: Option<usize>,
}

/// What asks for a reload, beside the files themselves.
pub(crate) struct Causes {
    /// Changes with each SIGHUP.
    pub(crate) hangups: signal::Receiver<()>,
    pub(crate) requests: mpsc::Receiver<ReloadRequest>,
}

/// Reloads one after the other.
pub(crate) struct Reloader {
    told: Told,
    in_force: Config,
    set: RegistrySet,
    targets: Targets,
    watch: Watch,
}

/// Why a configuration was refused: lines of text.
struct Refused(String);

impl Reloader {
    /// A reloader of what `config`, which is in force, was loaded by.
    pub(crate) fn new(told: Told, config: Config, set: RegistrySet, targets: Targets) -> Self {
        targets.metrics.config_loaded(now());
        let watch = Watch::new(Prints::of(&told::files_in(&config)));
        Self { told, in_force: config, set, targets, watch }
    }

    /// Reloads whenever there is a cause, until `shutdown`. Returns the registries that are served then.
    pub(crate) async fn run(mut self, mut causes: Causes, shutdown: CancellationToken) -> RegistrySet {
        let mut looks = tokio::time::interval(WATCH_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let (cause, request) = tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.set,
                Ok(()) = causes.hangups.changed() => ("SIGHUP", None),
                Some(request) = causes.requests.recv() => ("wharf reload", Some(request)),
                _ = looks.tick() => match self.have_files_changed().await {
                    true => ("a changed file", None),
                    false => continue,
                },
            };
            tokio::select! {
                biased;
                answer = self.reload(cause) => {
                    request.into_iter().for_each(|request: ReloadRequest| request.answer(answer.clone()));
                }
                // A disk that hangs does not hold up the stop.
                () = shutdown.cancelled() => return self.set,
            }
        }
    }

    async fn have_files_changed(&mut self) -> bool {
        let paths = self.watch.paths();
        // A file system that hangs holds up no other task.
        let prints = tokio::task::spawn_blocking(move || Prints::of(&paths)).await;
        prints.is_ok_and(|prints| self.watch.look(prints))
    }

    /// Reads the configuration again and serves what changed. `cause` is for the log.
    async fn reload(&mut self, cause: &'static str) -> ReloadAnswer {
        notify(notify::RELOADING);
        let done = self.try_reload().await;
        let answer = match done {
            Ok(told) => {
                self.targets.metrics.reloaded(Reloaded::Success);
                self.targets.metrics.config_loaded(now());
                told.log(cause, &self.in_force.source);
                ReloadAnswer { is_success: true, text: told.text(&self.in_force.source) }
            }
            Err(Refused(text)) => {
                self.targets.metrics.reloaded(Reloaded::Failure);
                for line in text.lines().filter(|line| !line.starts_with("warning: ")) {
                    tracing::error!("{line}");
                }
                tracing::error!("reload ({cause}) refused; the configuration in force goes on");
                let text = text + "\nrefused; the configuration in force goes on\n";
                ReloadAnswer { is_success: false, text }
            }
        };
        notify(notify::READY);
        answer
    }

    async fn try_reload(&mut self) -> Result<Done, Refused> {
        let config = self.load().await.map_err(|error| Refused(told::describe(&error, "")))?;
        self.refuse_another_source(&config)?;
        let diff = Diff::between(&self.in_force, &config);
        let warnings = new_warnings(&self.in_force, &config);
        let config = diff::in_force(&self.in_force, &config);
        self.serve(config).await?;
        Ok(Done { diff, warnings })
    }

    /// Refuses to switch to another file, or to the built-in registries, because the file in use is gone.
    fn refuse_another_source(&self, config: &Config) -> Result<(), Refused> {
        let before = &self.in_force;
        if before.is_builtin() || before.source == config.source {
            return Ok(());
        }
        Err(Refused(format!(
            "{} is gone; put it back, or restart wharf to run with the {}",
            before.source, config.source
        )))
    }

    /// Loads the configuration on a thread that may block, and watches the files of this one from now on.
    async fn load(&mut self) -> Result<Config, LoadError> {
        let (told, paths) = (self.told.clone(), self.watch.paths());
        let own = told::own_file(&self.in_force);
        let loading = tokio::task::spawn_blocking(move || {
            // Looked at before they are read: a change meanwhile is one to come back for.
            let before = Prints::of(&paths);
            let loaded = told.load_again(own.as_deref());
            let files: Vec<_> = match &loaded {
                // Its own file is watched also where it is gone and something else was read.
                Ok(config) => told::files_in(config).into_iter().chain(own).collect(),
                // The mistake may be in any file, also in one that was right.
                Err(error) => told::files_of(error).into_iter().chain(paths).collect(),
            };
            (loaded, before.updated(&files))
        });
        let (loaded, prints) = loading.await.expect("loading neither panics nor is cancelled");
        self.watch = Watch::new(prints);
        loaded
    }

    /// Serves `config` from now on.
    async fn serve(&mut self, config: Config) -> Result<(), Refused> {
        let Targets { control, admin, levels, descriptors, .. } = &self.targets;
        let capacity = capacity::plan(*descriptors, &config.wanted, config.registries.len())
            .map_err(|few| Refused(descriptors::refuse(&few)))?;
        let prepared = self.set.prepare(&config, &capacity).await;
        let registry_count = config.registries.len();
        let prepared = prepared.map_err(|errors| Refused(disk::lines(&errors, registry_count)))?;
        let routes = self.set.commit(prepared, &config);
        control.replace(Snapshot { routes, settings: wiring::server_settings(&config, &capacity) });
        if let (Some(admin), Some(settings)) = (admin, &config.admin) {
            admin.replace(settings);
        }
        levels.set(&config.log);
        self.in_force = config;
        Ok(())
    }
}

/// What there is to say of a reload that was done.
struct Done {
    diff: Diff,
    /// Those that the configuration in force did not have.
    warnings: Vec<String>,
}

impl Done {
    fn log(&self, cause: &str, source: &str) {
        if self.diff.is_empty() {
            tracing::info!("reload ({cause}): {source} says what is in force already");
            return;
        }
        tracing::info!("reload ({cause}) of {source}: {}", self.diff);
        for waiting in &self.diff.waiting {
            tracing::warn!("{waiting}");
        }
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }

    fn text(&self, source: &str) -> String {
        let mut text = format!("{source}: {}\n", self.diff);
        for waiting in &self.diff.waiting {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{waiting}");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

fn new_warnings(before: &Config, after: &Config) -> Vec<String> {
    let known: Vec<String> = before.warnings.lines().chain(before.notices.iter().cloned()).collect();
    let all = after.warnings.lines().chain(after.notices.iter().cloned());
    all.filter(|line| !known.contains(line)).collect()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
