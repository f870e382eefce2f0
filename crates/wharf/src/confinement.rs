//! Confines the process to the rights that its configuration needs, before it starts any thread.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use sandbox::{Confinement, Directories, Unconfined};

use crate::config::{Config, Registry};
use crate::registry_error::RegistryError;

/// The mode of directories that the store makes.
const DIRECTORY_MODE: u32 = 0o750;

/// The rights of this process.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    limits: Limits,
    /// The directories that were made because a right to write needs one, each before those in it.
    made: Vec<PathBuf>,
}

#[derive(Clone, Debug)]
enum Limits {
    /// None, for this reason.
    Off(String),
    InForce {
        confinement: Confinement,
        /// The directories below which files can be written.
        writable: Vec<PathBuf>,
        /// The directory of the admin listener's socket file.
        sockets: Vec<PathBuf>,
    },
}

impl Rights {
    /// Confines the process, unless `config` declines or needs more rights.
    pub(crate) fn take(config: &Config) -> Self {
        let off = |reason: &str| Self { limits: Limits::Off(reason.to_owned()), made: Vec::new() };
        if !config.sandbox {
            return off("declined by `sandbox` of [server]");
        }
        sandbox::forbid_dumps();
        if let Some(registry) = config.registries.iter().find(|it| starts_programs(it)) {
            let name = &registry.names.name;
            return off(&format!(
                "the login of {name} may come from a program, which would be confined, too"
            ));
        }
        if config.acme.as_ref().is_some_and(|acme| acme.settings.challenge.starts_programs()) {
            return off("the hook of [server.acme] is a program, which would be confined, too");
        }
        let (writable, mut made) = (writable(config), Vec::new());
        if !writable.iter().all(|directory| make(directory, &mut made)) {
            // The store cannot be made either, and says why. Under the limits it would say something else.
            unmake(&mut made);
            return off("a store cannot be made");
        }
        let above: Vec<_> = made.iter().map(|made| parent_of(made).to_owned()).collect();
        let sockets = socket_directories(config);
        let confinement =
            sandbox::confine(Directories { writable: &writable, emptied: &above, sockets: &sockets });
        Self { limits: Limits::InForce { confinement, writable, sockets }, made }
    }

    /// Removes the directories that were made, if a failed start left them empty.
    pub(crate) fn unmake(&mut self) {
        unmake(&mut self.made);
    }

    /// Whether all limits are in force.
    pub(crate) fn are_limited(&self) -> bool {
        matches!(&self.limits, Limits::InForce { confinement, .. }
            if confinement.files.is_ok() && confinement.calls.is_ok())
    }

    /// An error for each registry that needs a right which the process has given up, and for a hook.
    pub(crate) fn refuse(&self, config: &Config) -> Vec<RegistryError> {
        let Limits::InForce { confinement, writable, .. } = &self.limits else { return Vec::new() };
        let is_any = confinement.files.is_ok() || confinement.calls.is_ok();
        let hook = config.acme.as_ref().filter(|acme| is_any && acme.settings.challenge.starts_programs());
        let hook = hook.map(|_| {
            let reason = "dns_hook is a program; since its start, wharf can start none (`sandbox` of [server]); \
                          restart it";
            RegistryError::new("[server.acme]", reason)
        });
        let reason = |registry: &Registry| {
            let cannot = if is_any && starts_programs(registry) {
                "its login may come from a program; since its start, wharf can start none".to_owned()
            } else if confinement.files.is_ok() && !writable.iter().any(|it| is_below(&registry.root, it)) {
                let (root, writable) = (registry.root.display(), listed(writable));
                format!("cannot store in {root}: since its start, wharf can write only below {writable}")
            } else {
                return None;
            };
            let reason = format!("{cannot} (`sandbox` of [server]); restart it");
            Some(RegistryError::new(registry.names.name.clone(), reason))
        };
        config.registries.iter().filter_map(reason).chain(hook).collect()
    }

    /// A sentence for each limit, for the log.
    pub(crate) fn lines(&self) -> Vec<String> {
        let (confinement, writable, sockets) = match &self.limits {
            Limits::Off(reason) => return vec![format!("sandbox: off: {reason}")],
            Limits::InForce { confinement, writable, sockets } => (confinement, writable, sockets),
        };
        let socket = match sockets.first() {
            Some(directory) => format!(", and its socket in {}", directory.display()),
            None => String::new(),
        };
        let line = |limit: &Result<(), Unconfined>, in_force: String, missing: &str| match limit {
            Ok(()) => format!("sandbox: {in_force}"),
            Err(error) => format!("sandbox: {missing}: {error}"),
        };
        vec![
            line(
                &confinement.files,
                format!("writes files only below {}{socket}", listed(writable)),
                "the files that wharf can write are not limited",
            ),
            line(
                &confinement.calls,
                "starts no program, and makes only the system calls of a server".to_owned(),
                "system calls are not limited",
            ),
        ]
    }
}

/// Makes a directory and those above it, and adds them to `made`; false if that fails.
fn make(directory: &Path, made: &mut Vec<PathBuf>) -> bool {
    let missing: Vec<_> = directory.ancestors().take_while(|it| !is_root(it) && !it.exists()).collect();
    missing.iter().rev().all(|directory| {
        let is_made = DirBuilder::new().mode(DIRECTORY_MODE).create(directory).is_ok();
        made.extend(is_made.then(|| directory.to_path_buf()));
        is_made
    })
}

/// Removes the directories that are empty.
fn unmake(made: &mut Vec<PathBuf>) {
    for directory in made.drain(..).rev() {
        // It is not empty if a store was made there.
        let _ = std::fs::remove_dir(directory);
    }
}

fn starts_programs(registry: &Registry) -> bool {
    registry.upstream.credentials.may_start_programs()
}

/// The directories that hold all stores and obtained certificates, none below another. The common one is
/// among them if a store is below it, or if it exists: a later registry may get its store there.
fn writable(config: &Config) -> Vec<PathBuf> {
    let acme = config.acme.iter().map(|acme| &acme.state_dir);
    let roots = config.registries.iter().map(|registry| &registry.root).chain(acme);
    let is_common_used = roots.clone().any(|root| is_below(root, &config.storage_root));
    let common = Some(&config.storage_root).filter(|common| is_common_used || common.exists());
    let mut directories: Vec<PathBuf> = Vec::new();
    for directory in common.into_iter().chain(roots) {
        if !directories.iter().any(|it| is_below(directory, it)) {
            directories.push(directory.clone());
        }
    }
    directories
}

/// The directory of the admin listener's socket file, if there is one. A start that finds no directory there
/// fails, and says so.
fn socket_directories(config: &Config) -> Vec<PathBuf> {
    let file = config.admin.as_ref().and_then(|admin| admin.listen.file());
    let directory = file.and_then(|file| file.path.parent()).filter(|it| it.is_dir());
    directory.into_iter().map(Path::to_owned).collect()
}

/// Whether `path` is `directory` or lies below it, by their names.
fn is_below(path: &Path, directory: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute(path).starts_with(absolute(directory))
}

fn listed(directories: &[PathBuf]) -> String {
    directories.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The directory above; the working directory for a name without one.
fn parent_of(directory: &Path) -> &Path {
    directory.parent().filter(|above| !is_root(above)).unwrap_or(Path::new("."))
}

/// Whether nothing is left of a relative path.
fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

#[cfg(test)]
mod tests;
