//! How tests make calls of the engine in memory fail, and what it tells of a disk and the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{StoreError, StoreErrorKind};
use crate::space::{Files, Space};

/// A call of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is named after its call")]
pub enum Operation {
    Open,
    Spool,
    Admit,
    SetAside,
    Remove,
    Entries,
    Manifest,
    PutManifest,
    SetAsideManifest,
    Manifests,
    RemoveManifest,
    RemoveManifestBytes,
    Tag,
    PutTag,
    RemoveTag,
    Tags,
    SyncRemovals,
    HasLink,
    PutLink,
    RemoveLink,
    List,
    PutList,
    RemoveList,
    Lists,
    RepositoriesWithLists,
    Repositories,
    RemoveRepository,
    Note,
    PutNote,
    Space,
    Digests,
    OpenToHash,
    TryWrite,
}

/// The orders of a test.
#[derive(Debug, Default)]
pub(super) struct Script {
    failures: Vec<Failure>,
    /// The space that a test has set, and how many bytes and files the store held then.
    space: Option<(Space, (u64, u64))>,
    /// Unused bytes that only root may write.
    reserved: u64,
    /// Bytes, and files, that do not come free when the store removes them.
    held_back: u64,
    now: Option<SystemTime>,
}

#[derive(Debug)]
struct Failure {
    operation: Operation,
    skip: usize,
    kind: StoreErrorKind,
}

impl Script {
    pub(super) fn fail(&mut self, operation: Operation, skip: usize, kind: StoreErrorKind) {
        self.failures.push(Failure { operation, skip, kind });
    }

    pub(super) fn has_failures_left(&self) -> bool {
        !self.failures.is_empty()
    }

    /// `used`: the bytes and the files that the store holds now.
    pub(super) fn set_space(&mut self, space: Option<Space>, used: (u64, u64)) {
        self.space = space.map(|space| (space, used));
    }

    pub(super) fn set_reserved(&mut self, bytes: u64) {
        self.reserved = bytes;
    }

    pub(super) fn hold_back(&mut self, bytes: u64) {
        self.held_back = bytes;
    }

    pub(super) fn set_time(&mut self, now: SystemTime) {
        self.now = Some(now);
    }

    /// Counts a call, and fails it if its turn to fail has come.
    pub(super) fn begin(&mut self, operation: Operation) -> Result<(), StoreError> {
        let mut due = None;
        self.failures.retain_mut(|failure| {
            if failure.operation != operation {
                return true;
            }
            let is_due = failure.skip == 0;
            failure.skip = failure.skip.saturating_sub(1);
            if is_due {
                due = Some(failure.kind);
            }
            !is_due
        });
        match due {
            Some(kind) => {
                let reason = "a test wants this call to fail";
                Err(StoreError::own(kind, "other", format!("memory: {operation:?}"), reason))
            }
            None => Ok(()),
        }
    }

    /// The time that the store notes, to the second as the file engine has it.
    pub(super) fn now(&self) -> SystemTime {
        to_the_second(self.now.unwrap_or_else(SystemTime::now))
    }

    /// The space of the disk, with so many bytes and files in the store.
    pub(super) fn space(&self, (used, file_count): (u64, u64)) -> Option<Space> {
        let (then, (used_then, file_count_then)) = self.space?;
        let unused = then.unused.saturating_add(used_then).saturating_sub(used).min(then.total);
        let come = unused.saturating_sub(then.unused);
        let unused = unused - come.min(self.held_back);
        let files = then.files.map(|files| {
            let come = file_count_then.saturating_sub(file_count).saturating_sub(self.held_back);
            let taken = file_count.saturating_sub(file_count_then);
            Files { free: (files.free + come).saturating_sub(taken).min(files.total), ..files }
        });
        Some(Space { free: unused.saturating_sub(self.reserved), unused, files, ..then })
    }
}

/// Forgets what the file engine forgets too, so that both tell the same.
pub(super) fn to_the_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
