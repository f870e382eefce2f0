//! Reads files whose content may change at any time.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use crate::failure::Failure;

/// The largest file that is read. A `config.json` with a hundred registries has a twentieth of it.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The time between two looks at a file, while requests need its login.
pub(crate) const FILE_RECHECK: Duration = Duration::from_secs(2);

/// Reads a whole file, off the runtime's threads.
///
/// # Errors
/// A [`Failure`] that names the file, and nothing of its content.
pub(crate) async fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_now(&path));
    reading.await.unwrap_or_else(|_| Err(Failure::new("could not be read")))
}

fn read_now(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |what: &str| Failure::new(format!("cannot read the file {}: {what}", path.display()));
    // A pipe would block the open, so the kind is checked first.
    let about = std::fs::metadata(path).map_err(|error| wrong(&error.to_string()))?;
    if !about.is_file() {
        return Err(wrong("it is not a regular file"));
    }
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(&error.to_string()))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(|error| wrong(&error.to_string()))?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong("it is larger than 1 MiB"));
    }
    Ok(content)
}

/// Reads a file that holds one line, without its end.
///
/// # Errors
/// As [`read`]; a [`Failure`] for an empty file, and for one with several lines.
pub(crate) async fn read_line(path: &Path) -> Result<String, Failure> {
    let content = read(path).await?;
    let text = String::from_utf8(content).ok();
    let line = text.map(|text| text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']).to_owned());
    line.filter(|line| !line.is_empty() && !line.contains(char::is_control)).ok_or_else(|| {
        Failure::new(format!("the file {} does not contain exactly one line of text", path.display()))
    })
}
