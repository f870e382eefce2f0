//! Which file is read.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::file::FILE_BYTES_MAX;
use super::{Config, Environment, Remarks, foreign};

/// Looked for in this order when nobody names a file.
pub(crate) const PLACES: [&str; 2] = ["./wharf.toml", "/etc/wharf/wharf.toml"];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file is there or was asked for, and cannot be read.
    #[error("cannot read the configuration {}: {source}{}", path.display(), advice(path, source))]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file was read and is wrong.
    #[error("{0}")]
    Wrong(Remarks),
}

/// What to do about a file that cannot be read, where the system's own words do not say it.
fn advice(path: &Path, error: &io::Error) -> String {
    if path.starts_with("~") {
        return "; only a shell knows what \"~\" means, so write the whole path".to_owned();
    }
    match error.kind() {
        io::ErrorKind::IsADirectory => {
            "; Docker makes such a directory where the file that a volume names is not on the host".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            format!("; let user {user} read it, for example with `chmod a+r`")
        }
        io::ErrorKind::InvalidData => "; save it as UTF-8 text".to_owned(),
        _ => String::new(),
    }
}

/// Loads `named` (from the command line), else the file that `WHARF_CONFIG` names, else `./wharf.toml`, else
/// `/etc/wharf/wharf.toml`, else the built-in configuration; and above it, what `environment` sets.
///
/// # Errors
/// A file that was named must exist; any file that exists must be readable and right, and so must the
/// environment.
pub(crate) fn load(named: Option<&Path>, environment: Environment<'_>) -> Result<Config, LoadError> {
    let read = RefCell::new(HashSet::new());
    let recorded = |name: &str| {
        read.borrow_mut().insert(name.to_owned());
        (environment.variables)(name)
    };
    let recording = Environment { names: environment.names, variables: &recorded, set: environment.set };
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

/// One sentence about files that may have been meant.
fn notice_of_files(paths: &[PathBuf]) -> Option<String> {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let [one, two] = PLACES;
    (!names.is_empty()).then(|| {
        format!(
            "not read: {}. Without --config and WHARF_CONFIG, wharf reads {one} or {two}, and neither is \
             there",
            names.join(", ")
        )
    })
}

fn read(path: &Path, environment: &Environment<'_>) -> Result<Config, LoadError> {
    let text =
        read_bounded(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    Config::read(&path.display().to_string(), &text, environment).map_err(LoadError::Wrong)
}

/// A path to something endless must not fill the memory; a pipe is welcome.
fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is longer than 4 MiB"));
    }
    Ok(text)
}
