//! The fills under way in one backend, by digest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use budget::Memory;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use oci::{Digest, Repository};

use super::reader_handle::ReaderHandle;
use super::{Fill, vanished};
use crate::error::PullError;

/// Gives every caller the same fill while there is one. It never waits; `start` only spawns.
#[derive(Clone, Debug)]
pub(crate) struct FillTable {
    fills: Arc<DashMap<Digest, Arc<Fill>>>,
    /// The memory that fills share.
    memory: Memory,
    /// The backend that starts fills through this handle, as a number.
    backend: u64,
    last_backend: Arc<AtomicU64>,
}

/// A caller's part in a fill.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) fill: Arc<Fill>,
    pub(crate) reader: ReaderHandle,
    /// Whether the caller started the fill.
    pub(crate) is_first: bool,
    /// Whether the fill runs under another grant: that of another repository, or of a backend with another login.
    pub(crate) is_anothers: bool,
}

/// The writing side of a fill. Dropped unfinished, it fails every reader; in any case it takes the fill off
/// the table.
#[derive(Debug)]
pub(crate) struct FillWriter {
    fill: Arc<Fill>,
    table: FillTable,
}

impl FillTable {
    pub(crate) fn new(memory: Memory) -> Self {
        Self { fills: Arc::default(), memory, backend: 0, last_backend: Arc::default() }
    }

    /// The same table for a backend that takes this one's place. It joins the fills under way, but what was granted to
    /// the earlier backend is not granted to it.
    pub(crate) fn for_successor(&self) -> Self {
        let backend = self.last_backend.fetch_add(1, Ordering::Relaxed) + 1;
        Self { backend, ..self.clone() }
    }

    /// The fill for `digest`, asked for through `repository` if it is new.
    pub(crate) fn join_or_start(
        &self,
        digest: &Digest,
        repository: &Repository,
        start: impl FnOnce(FillWriter),
    ) -> Joined {
        let entry = self.fills.entry(digest.clone());
        if let Entry::Occupied(entry) = &entry
            && let Some(reader) = ReaderHandle::of(entry.get())
        {
            let fill = entry.get().clone();
            let is_anothers = fill.repository() != repository || fill.backend() != self.backend;
            return Joined { fill, reader, is_first: false, is_anothers };
        }
        let fill = Arc::new(Fill::new(digest.clone(), repository.clone(), self.backend, self.memory.clone()));
        let reader = ReaderHandle::of(&fill).expect("a new fill has not given way");
        // One that gave way is on its way out; this one goes on with its bytes.
        drop(entry.insert(fill.clone()));
        start(FillWriter { fill: fill.clone(), table: self.clone() });
        Joined { fill, reader, is_first: true, is_anothers: false }
    }

    /// The fill for `digest`, if there is one.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Arc<Fill>> {
        self.fills.get(digest).map(|entry| entry.value().clone())
    }
}

impl FillWriter {
    pub(crate) fn fill(&self) -> &Arc<Fill> {
        &self.fill
    }

    /// Ends the fill with an error for every reader.
    pub(crate) fn fail(self, error: PullError) {
        // Off the table first: who asks from now on starts afresh.
        self.leave_table();
        self.fill.fail(error);
    }

    fn leave_table(&self) {
        self.table.fills.remove_if(self.fill.digest(), |_, fill| Arc::ptr_eq(fill, &self.fill));
    }
}

impl Drop for FillWriter {
    fn drop(&mut self) {
        self.leave_table();
        if !self.fill.is_over() {
            self.fill.fail(vanished());
        }
    }
}

#[cfg(test)]
mod tests;
