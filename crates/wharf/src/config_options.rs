//! The options about the configuration on the command line, and loading it by them: at the start, and again
//! with each reload.

use std::io;
use std::path::{Path, PathBuf};

use telemetry::error_chain;

use crate::config::{self, Config, Environment, LoadError, Pair, PairRule};
use crate::watch::FileStates;

/// The options about the configuration on the command line.
#[derive(Clone, Default)]
pub(crate) struct ConfigOptions {
    /// The file. Without it, the usual places are searched.
    pub(crate) config: Option<PathBuf>,
    /// Keys with their values.
    pub(crate) set: Vec<(String, String)>,
}

/// The configuration of a start.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The states of its files from before they were read. A start takes time, and a file that changes
    /// meanwhile must be loaded like one that changes later.
    pub(crate) read: FileStates,
}

impl Loaded {
    /// Loads the configuration twice: which files it has is known only after the first time.
    ///
    /// # Errors
    /// As `load`.
    pub(crate) fn by<E>(load: impl Fn() -> Result<Config, E>) -> Result<Self, E> {
        let first = load()?;
        let read = FileStates::of(&files_in(&first));
        // A second read of a pipe could block for ever.
        let is_regular = own_file(&first).is_none_or(|path| path.is_file());
        let config = if is_regular { load()? } else { first };
        let read = read.updated(&files_in(&config));
        Ok(Self { config, read })
    }
}

impl ConfigOptions {
    /// Loads the configuration. Reads its files and has no other effect.
    ///
    /// # Errors
    /// As [`config::load`].
    pub(crate) fn load(&self, pairs: PairRule<'_>) -> Result<Config, LoadError> {
        let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        // A name or a value that is not UTF-8 has no value here. That is a mistake if the name begins with
        // `WHARF_`; any other such variable counts as unset.
        let variables = |name: &str| std::env::var(name).ok();
        let environment = Environment { names, variables: &variables, set: self.set.clone(), pairs };
        config::load(self.config.as_deref(), environment)
    }

    /// [`load`](Self::load) for a process that was started with the file `before`, while these TLS
    /// certificates are in force.
    ///
    /// # Errors
    /// Also for a file that can only be read once, such as a pipe: a second read could block for ever.
    pub(crate) fn load_again(&self, before: Option<&Path>, pairs: &[Pair]) -> Result<Config, LoadError> {
        match before.and_then(|path| Some((path, std::fs::metadata(path).ok()?))) {
            Some((path, about)) if !about.is_file() && !about.is_dir() => Err(LoadError::Unreadable {
                path: path.to_owned(),
                source: io::Error::other("it is not a regular file, so it can only be read at the start"),
            }),
            _ => self.load(PairRule::Known(pairs)),
        }
    }
}

/// The mistakes, one on each line, and their count, followed by `outcome`.
pub(crate) fn describe(error: &LoadError, outcome: &str) -> String {
    match error {
        LoadError::Unreadable { .. } => error_chain(error),
        LoadError::Wrong(mistakes) => {
            let (count, plural) = (mistakes.count(), if mistakes.count() == 1 { "" } else { "s" });
            let warnings: String =
                mistakes.warning_lines().map(|line| format!("warning: {line}\n")).collect();
            format!("{mistakes}\n{warnings}{count} mistake{plural} in the configuration{outcome}")
        }
    }
}

/// The files that a configuration depends on which could not be loaded.
pub(crate) fn files_of(error: &LoadError) -> Vec<PathBuf> {
    match error {
        LoadError::Unreadable { path, .. } => vec![path.clone()],
        LoadError::Wrong(mistakes) => mistakes.files().to_vec(),
    }
}

/// The files that a configuration depends on: its own, and those that it names.
pub(crate) fn files_in(config: &Config) -> Vec<PathBuf> {
    own_file(config).into_iter().chain(config.warnings.files().iter().cloned()).collect()
}

/// The file that a configuration was read from; `None` for the built-in one.
pub(crate) fn own_file(config: &Config) -> Option<PathBuf> {
    (!config.is_builtin()).then(|| Path::new(&config.source).to_owned())
}

#[cfg(test)]
mod tests;
