//! Finds out that a file changed: one that was written, replaced, or is reached through a link that leads elsewhere now,
//! as Kubernetes swaps `..data`.
//!
//! The files are looked at every few seconds. That also works on file systems that announce no changes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells one state of a file from another. Whatever is written into a file changes its times, and a file that takes
/// another one's place has another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The state of several files; `None` for one that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prints(Vec<(PathBuf, Option<Print>)>);

impl Prints {
    /// The state of these files now. Links are followed.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| (path.clone(), print(path))).collect())
    }

    /// The state of `files`: as it was, for those that are known, and as it is now for the others.
    pub(crate) fn updated(&self, files: &[PathBuf]) -> Self {
        let known = |path: &PathBuf| self.0.iter().find(|(other, _)| other == path).map(|(_, print)| *print);
        let mut prints: Vec<(PathBuf, Option<Print>)> = Vec::new();
        for path in files {
            if !prints.iter().any(|(other, _)| other == path) {
                prints.push((path.clone(), known(path).unwrap_or_else(|| print(path))));
            }
        }
        Self(prints)
    }

    /// The files.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.0.iter().map(|(path, _)| path.clone()).collect()
    }
}

fn print(path: &Path) -> Option<Print> {
    let about = std::fs::metadata(path).ok()?;
    Some(Print {
        device: about.dev(),
        inode: about.ino(),
        bytes: about.size(),
        modified: (about.mtime(), about.mtime_nsec()),
        changed: (about.ctime(), about.ctime_nsec()),
    })
}

/// Decides when a change is one to act on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// As it was when the files were read last.
    read: Prints,
    /// As it was at the last look, where that is something else.
    seen: Option<Prints>,
}

impl Watch {
    /// Watches files that are read in this state.
    pub(crate) fn new(read: Prints) -> Self {
        Self { read, seen: None }
    }

    /// The files that are watched.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.read.paths()
    }

    /// Takes in the state of the files now. True: they changed, and have been the same for two looks. So a file that is
    /// being written is left alone until it is whole, and so is a certificate until its key is there as well.
    pub(crate) fn look(&mut self, now: Prints) -> bool {
        if now == self.read {
            self.seen = None;
            return false;
        }
        let is_settled = self.seen.as_ref() == Some(&now);
        self.seen = Some(now);
        is_settled
    }
}

#[cfg(test)]
mod tests;
