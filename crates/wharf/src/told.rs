//! What the command line says about the configuration, and how it is loaded by that: at the start, and again with each
//! reload.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::{self, Config, Environment, LoadError};

/// What the command line says about the configuration.
#[derive(Clone, Default)]
pub(crate) struct Told {
    /// The file; none: it is looked for.
    pub(crate) config: Option<PathBuf>,
    /// Keys with their values.
    pub(crate) set: Vec<(String, String)>,
}

impl Told {
    /// Loads the configuration. Its files are read; nothing else is touched.
    ///
    /// # Errors
    /// As [`config::load`].
    pub(crate) fn load(&self) -> Result<Config, LoadError> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
        // A variable that is no UTF-8 cannot be part of a text and counts as unset.
        let variables = |name: &str| std::env::var(name).ok();
        let environment = Environment { names, variables: &variables, set: self.set.clone() };
        config::load(self.config.as_deref(), environment)
    }
}

impl Told {
    /// [`load`](Self::load) for a process that was started with the file `before`.
    ///
    /// # Errors
    /// Also for a file that can only be read once, such as a pipe: reading it again could wait for ever.
    pub(crate) fn load_again(&self, before: Option<&Path>) -> Result<Config, LoadError> {
        match before.and_then(|path| Some((path, std::fs::metadata(path).ok()?))) {
            Some((path, about)) if !about.is_file() && !about.is_dir() => Err(LoadError::Unreadable {
                path: path.to_owned(),
                source: io::Error::other("it is no regular file, and so it is read at the start only"),
            }),
            _ => self.load(),
        }
    }
}

/// Everything that is wrong, in lines; `outcome` is what the mistakes led to, behind their count.
pub(crate) fn describe(error: &LoadError, outcome: &str) -> String {
    match error {
        LoadError::Unreadable { .. } => error.to_string(),
        LoadError::Wrong(mistakes) => {
            let (count, plural) = (mistakes.count(), if mistakes.count() == 1 { "" } else { "s" });
            let warnings: String =
                mistakes.warning_lines().map(|line| format!("warning: {line}\n")).collect();
            format!("{mistakes}\n{warnings}{count} mistake{plural} in the configuration{outcome}")
        }
    }
}

/// The files that a configuration which cannot be loaded depends on.
pub(crate) fn files_of(error: &LoadError) -> Vec<PathBuf> {
    match error {
        LoadError::Unreadable { path, .. } => vec![path.clone()],
        LoadError::Wrong(mistakes) => mistakes.files().to_vec(),
    }
}

/// The files that a configuration depends on: its own, and those that it points to.
pub(crate) fn files_in(config: &Config) -> Vec<PathBuf> {
    own_file(config).into_iter().chain(config.warnings.files().iter().cloned()).collect()
}

/// The file that a configuration was read from; `None` for the built-in one.
pub(crate) fn own_file(config: &Config) -> Option<PathBuf> {
    (!config.is_builtin()).then(|| Path::new(&config.source).to_owned())
}
