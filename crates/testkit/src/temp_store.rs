//! A temporary directory for a store.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A new, empty directory that is removed on drop.
#[derive(Debug)]
pub struct TempStore(TempDir);

impl TempStore {
    /// Creates the directory.
    ///
    /// # Panics
    /// When the system's directory for temporary files cannot be written to.
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("wharf-").tempdir().expect("a temporary directory can be made"))
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// All files below it (including links, without directories), relative and sorted. Files that vanish
    /// meanwhile are omitted: a store may be using the directory.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut pending = vec![self.path().to_owned()];
        while let Some(directory) = pending.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => pending.push(entry.path()),
                    Ok(_) => found.push(self.relative(&entry.path())),
                    Err(_) => {}
                }
            }
        }
        found.sort();
        found
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.path()).expect("the walk stays beneath its root").to_owned()
    }
}

impl Default for TempStore {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
