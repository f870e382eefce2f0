//! The interface to the place where a spool puts its bytes.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::content::ReadAt;
use crate::error::StoreError;

/// Work on a spool's bytes that may block.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The kinds of work on a spool's bytes, by the resource that they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Writes and hashes received bytes: keeps a processor busy.
    Write,
    /// Reads back and hashes: takes long.
    ReadBack,
    /// Ends the writing and verifies.
    Finish,
    /// Deletes the bytes.
    Delete,
    /// Leaves the bytes to a later spool.
    Cached,
}

/// The place of a spool's bytes until they are verified, from which they can be read back while more are
/// written. Methods that may block are called only within [`run`](Self::run), or if
/// [`runs_inline`](Self::runs_inline) says that they do not block now.
#[async_trait]
pub(crate) trait Backing: fmt::Debug + Send + Sync + 'static {
    /// The bytes, for readers.
    fn source(self: Arc<Self>) -> Arc<dyn ReadAt>;

    /// The name of the place, for errors.
    fn target(&self) -> String;

    /// Whether work of this kind does not block now.
    fn runs_inline(&self, work: Work) -> bool;

    /// Runs a job that may block, to its end even when the caller drops the future.
    async fn run(&self, work: Work, job: Job) -> Result<(), StoreError>;

    /// Calls `write` at once if `len` more bytes, the last of them before offset `end`, can be written
    /// without blocking. `None`: they cannot, and `write` was not called.
    fn write_inline(
        &self,
        len: u64,
        end: u64,
        write: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Option<Result<(), StoreError>>;

    /// Prepares for a write that may block: moves bytes from memory to a file. May block.
    fn spill(&self) -> Result<(), StoreError>;

    /// Updates the sidecar before a write. Before content gets its first hole, the sidecar must list the
    /// contiguous beginning.
    fn note_progress(&self, is_scattered: bool) -> Result<(), StoreError>;

    /// Writes the consecutive `pieces` at `offset`, where no bytes are written yet.
    fn write_at(&self, offset: u64, pieces: &[Bytes]) -> Result<(), StoreError>;

    /// Makes the bytes, of which there are none yet, those of `file`, and shares its blocks on disk. Returns
    /// the new length in bytes; `None`: nothing was changed, because the bytes must be copied. Called after
    /// [`spill`](Self::spill).
    fn share(&self, _file: &File) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Updates the sidecar after a write, if that is due.
    fn checkpoint(&self);

    /// Reads `len` bytes that were written at `offset`.
    fn read_back(&self, offset: u64, len: usize) -> io::Result<Bytes>;

    /// Cuts off any bytes beyond the content, whose `size` bytes are all written.
    fn cut_to(&self, size: u64) -> Result<(), StoreError>;

    /// Makes the bytes durable, for a later process. Called after the writing was closed.
    fn park(&self) -> Result<(), StoreError>;

    /// Leaves the bytes to a later spool. Called after the writing was closed.
    fn leave(&self) -> Result<(), StoreError>;

    /// Deletes the bytes; readers can finish.
    fn delete(&self);

    /// Moves verified bytes to a place that survives the end of the process, if they are not there yet.
    /// Returns the blob's place among those that wait to be stored, if the backing counts them.
    async fn secure(self: Arc<Self>) -> Option<OwnedSemaphorePermit>;

    /// Lets an engine recognise its own backings.
    fn as_any(&self) -> &dyn Any;
}
