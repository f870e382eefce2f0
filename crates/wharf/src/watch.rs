//! Detects that a file has changed: that it was written or replaced, or that a link on its path leads
//! elsewhere, as when Kubernetes swaps `..data`.
//!
//! It polls the files every few seconds, which also works on file systems that announce no changes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The time between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Distinguishes the states of a file: a write changes its times, and a file that takes its place has another
/// inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The states of several files; `None` for a file that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileStates(Vec<(PathBuf, Option<FileState>)>);

impl FileStates {
    /// The states of these files now. Follows links.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| (path.clone(), state_of(path))).collect())
    }

    /// The states of `files`: unchanged for those that are known, and as of now for the others.
    pub(crate) fn updated(&self, files: &[PathBuf]) -> Self {
        let known = |path: &PathBuf| self.0.iter().find(|(other, _)| other == path).map(|(_, state)| *state);
        let mut states: Vec<(PathBuf, Option<FileState>)> = Vec::new();
        for path in files {
            if !states.iter().any(|(other, _)| other == path) {
                states.push((path.clone(), known(path).unwrap_or_else(|| state_of(path))));
            }
        }
        Self(states)
    }

    /// The files.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.0.iter().map(|(path, _)| path.clone()).collect()
    }
}

fn state_of(path: &Path) -> Option<FileState> {
    let about = std::fs::metadata(path).ok()?;
    Some(FileState {
        device: about.dev(),
        inode: about.ino(),
        bytes: about.size(),
        modified: (about.mtime(), about.mtime_nsec()),
        changed: (about.ctime(), about.ctime_nsec()),
    })
}

/// Decides when a change is complete.
#[derive(Clone, Debug, Default)]
struct Watch {
    /// The states when the files were last read.
    read: FileStates,
    /// The states at the last poll, if they differ from `read`.
    seen: Option<FileStates>,
}

impl Watch {
    /// Takes the states of the files now. Returns true if they have changed and were the same in two polls.
    /// So a reload waits until a file is written completely, and until a new certificate has its key.
    fn observe(&mut self, now: FileStates) -> bool {
        if now == self.read {
            self.seen = None;
            return false;
        }
        let is_settled = self.seen.as_ref() == Some(&now);
        self.seen = Some(now);
        is_settled
    }
}

/// Polls files until they change.
#[derive(Debug)]
pub(crate) struct Watcher {
    watch: Watch,
    ticks: Interval,
    /// A poll whose result [`changed`](Self::changed) has not taken yet.
    poll: Option<JoinHandle<FileStates>>,
}

impl Watcher {
    /// Watches files that were read in these states.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(read: FileStates) -> Self {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { watch: Watch { read, seen: None }, ticks, poll: None }
    }

    /// The watched files.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.watch.read.paths()
    }

    /// Watches the files that were read in these states from now on.
    pub(crate) fn have_read(&mut self, read: FileStates) {
        self.watch = Watch { read, seen: None };
        self.poll = None;
    }

    /// Waits until the files have changed. Returns at each further poll until [`have_read`](Self::have_read).
    ///
    /// # Cancel safety
    /// A cancelled wait loses no poll.
    pub(crate) async fn changed(&mut self) {
        loop {
            if self.poll.is_none() {
                self.ticks.tick().await;
                let paths = self.paths();
                // A file system that hangs delays no other task.
                self.poll = Some(spawn_blocking(move || FileStates::of(&paths)));
            }
            let states = self.poll.as_mut().expect("a poll was started").await;
            self.poll = None;
            if states.is_ok_and(|states| self.watch.observe(states)) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
