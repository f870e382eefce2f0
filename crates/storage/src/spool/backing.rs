//! The place that a spool has its bytes in.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::content::ReadAt;
use crate::error::StoreError;

/// Work on a spool's bytes that may block.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The sorts of work on a spool's bytes, told apart by what they wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Writes what has come and hashes it: keeps a processor busy.
    Write,
    /// Hashes what is read back: takes long.
    ReadBack,
    /// Ends the writing and verifies.
    Finish,
    /// Deletes what is there.
    Delete,
    /// Keeps what is there for a later spool.
    Cached,
}

/// Where the bytes of a spool are until they are verified: near enough to be read back while the next ones come. What
/// may block is called within [`run`](Self::run) only, or where [`runs_inline`](Self::runs_inline) says that it does
/// not.
#[async_trait]
pub(crate) trait Backing: fmt::Debug + Send + Sync + 'static {
    /// Where readers find the bytes.
    fn source(self: Arc<Self>) -> Arc<dyn ReadAt>;

    /// The name of the place, for errors.
    fn target(&self) -> String;

    /// Whether work of this sort blocks nobody now.
    fn runs_inline(&self, work: Work) -> bool;

    /// Does work where it may block, to its end, even when the caller loses interest.
    async fn run(&self, work: Work, job: Job) -> Result<(), StoreError>;

    /// Calls `write` at once if `len` more bytes, of which the last comes before `end`, go where that does not block.
    /// `None`: they do not, and nothing was called.
    fn write_inline(
        &self,
        len: u64,
        end: u64,
        write: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Option<Result<(), StoreError>>;

    /// Makes room for bytes that do not fit where writing does not block. May block.
    fn settle(&self) -> Result<(), StoreError>;

    /// Brings what is on record up to date before something is written: of a content that has holes, or may come to
    /// have them, the bytes without one must be on record first.
    fn note_progress(&self, is_scattered: bool) -> Result<(), StoreError>;

    /// Writes `pieces`, one after the other, at `offset`, where nothing is written yet.
    fn write_at(&self, offset: u64, pieces: &[Bytes]) -> Result<(), StoreError>;

    /// Puts on record what was written, if that is due.
    fn checkpoint(&self);

    /// Reads `len` bytes that were written at `offset`.
    fn read_back(&self, offset: u64, len: usize) -> io::Result<Bytes>;

    /// Cuts off what lies beyond the content, which is `size` bytes long and all written.
    fn cut_to(&self, size: u64) -> Result<(), StoreError>;

    /// Makes what is there durable, for a later process. Called after the writing was closed.
    fn park(&self) -> Result<(), StoreError>;

    /// Leaves what is there to a later spool. Called after the writing was closed.
    fn leave(&self) -> Result<(), StoreError>;

    /// Gives the bytes up; readers can finish.
    fn delete(&self);

    /// Puts verified bytes where the end of the process does not take them, if they are not there yet. Returns their
    /// place among those that wait to be stored, where such places are counted.
    async fn secure(self: Arc<Self>) -> Option<OwnedSemaphorePermit>;

    /// For the engine that made this, to find out whether a spool is one of its own.
    fn as_any(&self) -> &dyn Any;
}
