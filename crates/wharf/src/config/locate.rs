//! Finds the configuration file and reads it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::file::FILE_BYTES_MAX;
use super::{Config, Environment, Remarks, foreign};

/// The places of the configuration, in order, if no file is named.
pub(crate) const PLACES: [&str; 2] = ["./wharf.toml", "/etc/wharf/wharf.toml"];

/// Why the configuration cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file exists or was named, and cannot be read.
    #[error("cannot read the configuration {}: {source}{}", path.display(), advice(path, source))]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file has mistakes.
    #[error("{0}")]
    Wrong(Remarks),
}

/// Advice on a file that cannot be read, if the system's message does not suffice.
fn advice(path: &Path, error: &io::Error) -> String {
    if path.starts_with("~") {
        return "; only a shell expands \"~\", so write the whole path".to_owned();
    }
    match error.kind() {
        io::ErrorKind::IsADirectory => {
            "; Docker creates a directory if the file of a volume does not exist on the host".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            format!("; let user {user} read it, for example with `chmod a+r`")
        }
        io::ErrorKind::InvalidData => "; save it as UTF-8 text".to_owned(),
        _ => String::new(),
    }
}

/// Loads the file `named` on the command line, else the file in `WHARF_CONFIG`, else `./wharf.toml`, else
/// `/etc/wharf/wharf.toml`, else the built-in configuration. Values of `environment` override it.
///
/// # Errors
/// If a named file does not exist, a file cannot be read, or the file or the environment has mistakes.
pub(crate) fn load(named: Option<&Path>, environment: Environment<'_>) -> Result<Config, LoadError> {
    let read = RefCell::new(HashSet::new());
    let recorded = |name: &str| {
        read.borrow_mut().insert(name.to_owned());
        (environment.variables)(name)
    };
    let recording = Environment { variables: &recorded, ..environment };
    let mut config = find(named, &recording)?;
    if config.is_builtin() {
        let directories = [Path::new("."), Path::new("/etc/wharf")];
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let nearby = foreign::files_nearby(&directories, &mounts);
        config.notices.extend(notice_of_files(&nearby));
    }
    let names = recording.names;
    config.notices.extend(foreign::notice_of_variables(names, &read.into_inner()));
    Ok(config)
}

fn find(named: Option<&Path>, environment: &Environment<'_>) -> Result<Config, LoadError> {
    let asked_for = named.map(Path::to_owned).or_else(|| {
        (environment.variables)("WHARF_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
    });
    if let Some(path) = asked_for {
        return read(&path, environment);
    }
    for path in PLACES.map(Path::new) {
        match read(path.strip_prefix(".").unwrap_or(path), environment) {
            Err(LoadError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
    }
    Config::builtin(environment).map_err(LoadError::Wrong)
}

/// One sentence about files that the operator may expect wharf to read.
fn notice_of_files(paths: &[PathBuf]) -> Option<String> {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let [one, two] = PLACES;
    (!names.is_empty()).then(|| {
        format!(
            "not read: {}. Without --config and WHARF_CONFIG, wharf reads {one} or {two}, and neither \
             exists",
            names.join(", ")
        )
    })
}

fn read(path: &Path, environment: &Environment<'_>) -> Result<Config, LoadError> {
    let text =
        read_bounded(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    Config::read(&path.display().to_string(), &text, environment).map_err(LoadError::Wrong)
}

/// Reads a file, which may be a pipe. An endless file cannot fill the memory.
fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is longer than 4 MiB"));
    }
    Ok(text)
}
