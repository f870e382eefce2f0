//! The fills in flight of one store, by digest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use budget::Memory;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use oci::{Digest, Repository};

use super::reader_handle::ReaderHandle;
use super::{Fill, aborted};
use crate::error::PullError;

/// The fills in flight: all callers for a digest share one.
#[derive(Clone, Debug)]
pub(crate) struct FillTable {
    fills: Arc<DashMap<Digest, Arc<Fill>>>,
    /// The memory that fills share.
    memory: Memory,
    /// The backend that starts fills through this handle, as a number.
    backend: u64,
    last_backend: Arc<AtomicU64>,
}

/// A caller's access to a fill.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) fill: Arc<Fill>,
    pub(crate) reader: ReaderHandle,
    /// Whether the caller started the fill.
    pub(crate) is_first: bool,
    /// Whether the fill runs under another grant: of another repository, or of a backend with another login.
    pub(crate) has_other_grant: bool,
}

/// The writing side of a fill. Dropping it removes the fill from the table, and fails every reader if the
/// fill is unfinished.
#[derive(Debug)]
pub(crate) struct FillWriter {
    fill: Arc<Fill>,
    table: FillTable,
}

impl FillTable {
    pub(crate) fn new(memory: Memory) -> Self {
        Self { fills: Arc::default(), memory, backend: 0, last_backend: Arc::default() }
    }

    /// The same table for a successor of the backend. It joins the fills in flight, but does not inherit
    /// grants.
    pub(crate) fn for_successor(&self) -> Self {
        let backend = self.last_backend.fetch_add(1, Ordering::Relaxed) + 1;
        Self { backend, ..self.clone() }
    }

    /// Joins the fill for `digest`, or starts one through `repository`. `start` must only spawn the writer.
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
            // Read ahead waits for the first client.
            fill.publish();
            let has_other_grant = fill.repository() != repository || fill.backend() != self.backend;
            return Joined { fill, reader, is_first: false, has_other_grant };
        }
        let fill = Arc::new(Fill::new(digest.clone(), repository.clone(), self.backend, self.memory.clone()));
        let reader = ReaderHandle::of(&fill).expect("a new fill has not given way");
        // A fill that gave way is about to end; this one resumes its bytes.
        drop(entry.insert(fill.clone()));
        start(FillWriter { fill: fill.clone(), table: self.clone() });
        Joined { fill, reader, is_first: true, has_other_grant: false }
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
        // Removed first: a caller that comes later starts a new fill.
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
            self.fill.fail(aborted());
        }
        self.fill.leave();
    }
}

#[cfg(test)]
mod tests;
