//! Where damaged files go: out of the way of whoever asks for them, and within reach of whoever wonders why.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{error, warn};

use super::root::Root;
use crate::error::StoreError;

/// Damaged files kept; the oldest go first.
const QUARANTINE_COUNT_MAX: usize = 64;

/// Moves what is under `path` to the quarantine. What cannot be moved is removed.
///
/// # Errors
/// When neither works, so that it is still under `path`.
pub(crate) fn set_aside(root: &Root, path: &Path) -> Result<(), StoreError> {
    let directory = root.layout().quarantine();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let target = directory.join(format!("{seconds:010}-{name}"));
    let moved = root.in_directory(&directory, || root.disk().rename(path, &target));
    match moved {
        Ok(()) => warn!(from = %path.display(), to = %target.display(), "damaged file set aside"),
        Err(error) => {
            root.disk().unlink(path)?;
            warn!(path = %path.display(), %error, "damaged file removed, as it could not be set aside");
        }
    }
    root.metrics().quarantined();
    prune(root, &directory);
    Ok(())
}

/// Like [`set_aside`], where the caller's answer is the same either way: what is damaged is not there.
pub(crate) fn try_set_aside(root: &Root, path: &Path) {
    if let Err(error) = set_aside(root, path) {
        root.metrics().store_failed(error.call());
        error!(path = %path.display(), %error, "damaged file could be neither set aside nor removed");
    }
}

/// Names begin with the time, so the smallest are the oldest. Files that someone else put here stay.
fn prune(root: &Root, directory: &Path) {
    let mut names = Vec::new();
    let listed = root.disk().list(directory, &mut |name| {
        if let Some(name) = name.to_str()
            && name.split_once('-').is_some_and(|(seconds, _)| seconds.parse::<u64>().is_ok())
        {
            names.push(name.to_owned());
        }
        ControlFlow::Continue(())
    });
    root.swallow(listed);
    names.sort_unstable();
    let excess = names.len().saturating_sub(QUARANTINE_COUNT_MAX);
    for name in &names[..excess] {
        root.swallow(root.disk().unlink(&directory.join(name)));
    }
}
