//! Which file is read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::file::FILE_BYTES_MAX;
use super::{Config, Remarks, Variables};

/// Looked for in this order when nobody names a file.
const PLACES: [&str; 2] = ["wharf.toml", "/etc/wharf/wharf.toml"];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file is there or was asked for, and cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file was read and is wrong.
    #[error("{0}")]
    Wrong(Remarks),
}

/// Loads `named` (from the command line), else the file that `WHARF_CONFIG` names, else `./wharf.toml`, else
/// `/etc/wharf/wharf.toml`, else the built-in configuration.
///
/// # Errors
/// A file that was named must exist; any file that exists must be readable and right.
pub(crate) fn load(named: Option<&Path>, variables: Variables<'_>) -> Result<Config, LoadError> {
    let asked_for = named
        .map(Path::to_owned)
        .or_else(|| variables("WHARF_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
    if let Some(path) = asked_for {
        return read(&path, variables);
    }
    for path in PLACES {
        match read(Path::new(path), variables) {
            Err(LoadError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
    }
    Ok(Config::builtin())
}

fn read(path: &Path, variables: Variables<'_>) -> Result<Config, LoadError> {
    let text =
        read_bounded(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    Config::parse(&path.display().to_string(), &text, variables).map_err(LoadError::Wrong)
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
