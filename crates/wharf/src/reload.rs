//! Reloading: reads the configuration again and serves it.
//!
//! A reload follows SIGHUP, a request of `wharf reload` through the admin listener, and a change of one of
//! the configuration's files. A configuration with a mistake is refused as a whole, and the one in force
//! stays. A reload applies every change but those that need a restart, which it names: a password or a
//! certificate that a machine renews must not wait for a person to restart wharf because of another change.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use acme::Goal;
use admin::{Admin, ReloadAnswer, ReloadRequest};
use certificates::pair::PairFiles;
use certificates::waiting::Waiting;
use policy::capacity::{self, TooFewDescriptors};
use server::{Control, Snapshot};
use telemetry::{Metrics, Reloaded};
use tokio::sync::{mpsc, watch as signal};
use tokio_util::sync::CancellationToken;

use crate::config::diff::{self, Diff};
use crate::config::{Config, LoadError, Pair, Warm};
use crate::config_options::{self, ConfigOptions, Loaded};
use crate::confinement::Rights;
use crate::descriptors;
use crate::log::Levels;
use crate::notify::{self, notify};
use crate::obtaining::{self, ObtainError};
use crate::registry_error::{self, RegistryError};
use crate::registry_set::RegistrySet;
use crate::watch::{FileStates, Watcher};

/// The parts that a reload changes, besides the registries.
pub(crate) struct Targets {
    pub(crate) control: Control,
    pub(crate) admin: Option<Arc<Admin>>,
    pub(crate) levels: Levels,
    pub(crate) metrics: Arc<Metrics>,
    /// The images that are kept warm.
    pub(crate) warm: signal::Sender<Warm>,
    /// The names and the authority of certificates that are obtained.
    pub(crate) goals: Option<signal::Sender<Goal>>,
    /// The limit on open files of the process, if there is one.
    pub(crate) descriptors: Option<usize>,
    pub(crate) rights: Rights,
}

/// The causes of reloads, besides changed files.
pub(crate) struct Causes {
    /// Changes with each SIGHUP.
    pub(crate) hangups: signal::Receiver<()>,
    pub(crate) requests: mpsc::Receiver<ReloadRequest>,
}

/// Reloads one after the other.
pub(crate) struct Reloader {
    options: ConfigOptions,
    in_force: Config,
    set: RegistrySet,
    targets: Targets,
    watcher: Watcher,
    /// The TLS certificates whose files do not match.
    waiting: Waiting,
}

/// Why a configuration was refused: one or more lines, for the operator.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{}", config_options::describe(.0, ""))]
    Load(#[source] LoadError),
    /// The file in use is gone, and another source took its place.
    #[error("{before} is gone; put it back, or restart wharf to run with the {after}")]
    OtherSource { before: String, after: String },
    #[error("{}", descriptors::refuse(.0))]
    Descriptors(TooFewDescriptors),
    #[error("{0}")]
    Obtain(#[source] ObtainError),
    /// Registries that cannot be served, of `registry_count` in all.
    #[error("{}", registry_error::lines(errors, *registry_count))]
    Registries { errors: Vec<RegistryError>, registry_count: usize },
}

impl Reloader {
    /// A reloader while a configuration, which was loaded by `options`, is in force.
    pub(crate) fn new(options: ConfigOptions, loaded: Loaded, set: RegistrySet, targets: Targets) -> Self {
        targets.metrics.config_loaded(now());
        let Loaded { config, read } = loaded;
        let watcher = Watcher::new(read);
        let mut waiting = Waiting::default();
        // The start has logged these.
        waiting.observe(&unmatched(&config), Instant::now());
        Self { options, in_force: config, set, targets, watcher, waiting }
    }

    /// Reloads on each cause until `shutdown`. Returns the registries served at that time.
    pub(crate) async fn run(mut self, mut causes: Causes, shutdown: CancellationToken) -> RegistrySet {
        loop {
            let (cause, request) = tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.set,
                Ok(()) = causes.hangups.changed() => ("SIGHUP", None),
                Some(request) = causes.requests.recv() => ("wharf reload", Some(request)),
                () = self.watcher.changed() => ("a changed file", None),
                () = until(self.waiting.next()) => {
                    self.complain_of_waiting();
                    continue;
                }
            };
            tokio::select! {
                biased;
                answer = self.reload(cause) => {
                    request.into_iter().for_each(|request: ReloadRequest| request.answer(answer.clone()));
                }
                // A disk that hangs does not delay the stop.
                () = shutdown.cancelled() => return self.set,
            }
        }
    }

    /// Reads the configuration again and serves it. `cause` is for the log.
    async fn reload(&mut self, cause: &'static str) -> ReloadAnswer {
        notify(notify::RELOADING);
        let answer = match self.try_reload().await {
            Ok(done) => {
                self.targets.metrics.reloaded(Reloaded::Success);
                self.targets.metrics.config_loaded(now());
                done.log(cause, &self.in_force.source);
                ReloadAnswer { is_success: true, text: done.text(&self.in_force.source) }
            }
            Err(refused) => {
                self.targets.metrics.reloaded(Reloaded::Failure);
                let text = refused.to_string();
                for line in text.lines().filter(|line| !line.starts_with("warning: ")) {
                    tracing::error!("{line}");
                }
                tracing::error!("reload ({cause}) refused; the configuration in force stays");
                let text = text + "\nrefused; the configuration in force stays\n";
                ReloadAnswer { is_success: false, text }
            }
        };
        notify(notify::READY);
        answer
    }

    async fn try_reload(&mut self) -> Result<Done, Refused> {
        let config = self.load().await.map_err(Refused::Load)?;
        self.refuse_another_source(&config)?;
        let diff = Diff::between(&self.in_force, &config);
        let mut warnings = new_warnings(&self.in_force, &config);
        let config = diff::in_force(&self.in_force, &config);
        self.serve(config).await?;
        let waiting = self.waiting.observe(&unmatched(&self.in_force), Instant::now());
        warnings.extend(self.pairs(&waiting).filter_map(|pair| describe_waiting(pair, None)));
        Ok(Done { diff, warnings })
    }

    /// The pairs in force with these files.
    fn pairs<'a>(&'a self, files: &'a [PairFiles]) -> impl Iterator<Item = &'a Pair> {
        self.in_force.pairs.iter().filter(|pair| files.contains(&pair.files))
    }

    /// Logs the certificates whose files have not matched for long.
    fn complain_of_waiting(&mut self) {
        for (files, waited) in self.waiting.overdue(Instant::now()) {
            for line in self.pairs(&[files]).filter_map(|pair| describe_waiting(pair, Some(waited))) {
                tracing::error!("{line}");
            }
        }
    }

    /// Refuses to switch to another file, or to the built-in registries, because the file in use is gone.
    fn refuse_another_source(&self, config: &Config) -> Result<(), Refused> {
        let before = &self.in_force;
        if before.is_builtin() || before.source == config.source {
            return Ok(());
        }
        Err(Refused::OtherSource { before: before.source.clone(), after: config.source.clone() })
    }

    /// Loads the configuration on a thread that may block, and watches its files from now on.
    async fn load(&mut self) -> Result<Config, LoadError> {
        let (options, paths) = (self.options.clone(), self.watcher.paths());
        let pairs = self.in_force.pairs.clone();
        let own = config_options::own_file(&self.in_force);
        let loading = tokio::task::spawn_blocking(move || {
            // The state is taken before the files are read, so a change in between causes another reload.
            let before = FileStates::of(&paths);
            let loaded = options.load_again(own.as_deref(), &pairs);
            let files: Vec<_> = match &loaded {
                // The file in use is watched even if it is gone and another source was read.
                Ok(config) => config_options::files_in(config).into_iter().chain(own).collect(),
                // The mistake may be in any file, even in one that was valid before.
                Err(error) => config_options::files_of(error).into_iter().chain(paths).collect(),
            };
            (loaded, before.updated(&files))
        });
        let (loaded, states) = loading.await.expect("loading neither panics nor is cancelled");
        self.watcher.have_read(states);
        loaded
    }

    /// Serves `config` from now on.
    async fn serve(&mut self, config: Config) -> Result<(), Refused> {
        let Targets { control, admin, levels, warm, goals, descriptors, rights, .. } = &self.targets;
        let is_new_goal = obtaining::differs(&self.in_force, &config);
        let goal = if is_new_goal { obtaining::goal(&config).map_err(Refused::Obtain)? } else { None };
        let capacity = capacity::plan(*descriptors, &config.wanted, config.registries.len())
            .map_err(Refused::Descriptors)?;
        let registry_count = config.registries.len();
        let refused = |errors| Refused::Registries { errors, registry_count };
        let errors = rights.refuse(&config);
        if !errors.is_empty() {
            return Err(refused(errors));
        }
        let prepared = self.set.prepare(&config, &capacity).await.map_err(refused)?;
        let routes = self.set.commit(prepared, &config);
        control.replace(Snapshot {
            routes,
            access: config.access.clone(),
            settings: config.server_within(&capacity),
        });
        if let (Some(admin), Some(settings)) = (admin, &config.admin) {
            admin.replace(settings);
        }
        if let (Some(goals), Some(goal)) = (goals, goal) {
            goals.send_replace(goal);
        }
        levels.set(&config.log);
        warm.send_if_modified(|settings| {
            let is_news = *settings != config.warm;
            settings.clone_from(&config.warm);
            is_news
        });
        self.in_force = config;
        Ok(())
    }
}

/// The report on a reload.
struct Done {
    diff: Diff,
    /// The warnings that the configuration before it did not have.
    warnings: Vec<String>,
}

impl Done {
    fn log(&self, cause: &str, source: &str) {
        if self.diff.is_empty() {
            tracing::info!("reload ({cause}): {source} is already in force");
        } else {
            tracing::info!("reload ({cause}) of {source}: {}", self.diff);
        }
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

/// The TLS certificates whose files do not match.
fn unmatched(config: &Config) -> Vec<PairFiles> {
    config.pairs.iter().filter(|pair| pair.fault.is_some()).map(|pair| pair.files.clone()).collect()
}

/// The message about a pair that waits for its other half; `waited` if it waits for long.
fn describe_waiting(pair: &Pair, waited: Option<Duration>) -> Option<String> {
    let fault = pair.fault.as_ref()?;
    let (certificate, key) = (pair.files.certificate.display(), pair.files.key.display());
    let goes_on = match &pair.certificate {
        Some(_) => "clients still get the certificate that wharf loaded before",
        None => "wharf serves without it",
    };
    Some(match waited {
        None => format!(
            "the certificate {certificate} and the key {key} do not match yet ({fault}); {goes_on}, and wharf loads \
             the pair as soon as it matches"
        ),
        Some(waited) => format!(
            "the certificate {certificate} and the key {key} have not matched for {} minutes ({fault}); {goes_on}; \
             find out why the program that renews them did not finish",
            waited.as_secs() / 60
        ),
    })
}

/// Waits until `then`; for ever without a time.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
