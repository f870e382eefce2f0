//! Content in memory: the source of the test engine's blobs and the backing of its spools.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use oci::{ByteRange, Digest, Hasher};
use tokio::sync::OwnedSemaphorePermit;

use crate::content::{OpenBlob, ReadAt, Validator};
use crate::error::StoreError;
use crate::extents::Extents;
use crate::growth::Growth;
use crate::pieces::Pieces;
use crate::spool::Spool;
use crate::spool::backing::{Backing, Job, Work};

/// The bytes of one content.
#[derive(Debug, Default)]
pub(super) struct InMemory {
    pieces: Arc<Pieces>,
    is_deleted: AtomicBool,
}

impl InMemory {
    /// An empty spool.
    pub(super) fn spool(wanted: &Digest) -> (Arc<Spool>, Arc<Self>, Arc<Growth>) {
        Self::default().spool_of(wanted, Growth::new(Extents::default(), None))
    }

    /// Verified content.
    pub(super) fn verified(bytes: &Bytes) -> OpenBlob {
        let content = Self::default();
        content.pieces.insert_all(0, std::slice::from_ref(bytes));
        OpenBlob::verified(Arc::new(content), bytes.len() as u64)
    }

    /// Whether the bytes were deleted.
    pub(super) fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// A spool that resumes the bytes of this one. `None`: they were deleted, or are finished and verified.
    pub(super) fn succeed(
        &self,
        wanted: &Digest,
        growth: &Growth,
    ) -> Option<(Arc<Spool>, Arc<Self>, Arc<Growth>)> {
        if !growth.retire() || self.is_deleted() {
            return None;
        }
        let successor = Self { pieces: Arc::clone(&self.pieces), is_deleted: AtomicBool::new(false) };
        Some(successor.spool_of(wanted, Growth::new(growth.settled(), growth.size())))
    }

    fn spool_of(self, wanted: &Digest, growth: Growth) -> (Arc<Spool>, Arc<Self>, Arc<Growth>) {
        let (content, growth) = (Arc::new(self), Arc::new(growth));
        let spool = Spool::new(wanted, Arc::clone(&growth), Arc::clone(&content) as Arc<dyn Backing>);
        (spool, content, growth)
    }
}

#[async_trait]
impl ReadAt for InMemory {
    fn try_read(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
        Ok(Some(self.pieces.read(offset, len)))
    }

    async fn read(self: Arc<Self>, offset: u64, len: usize) -> io::Result<Bytes> {
        Ok(self.pieces.read(offset, len))
    }

    async fn hash(self: Arc<Self>, mut hasher: Hasher, range: ByteRange) -> io::Result<Hasher> {
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX);
        hasher.update(&self.pieces.read(range.start, len));
        Ok(hasher)
    }

    fn validator(&self, _: u64) -> Option<Validator> {
        None
    }

    fn is_immutable(&self) -> bool {
        true
    }
}

/// Nothing here blocks: futures complete at once, on the caller's thread, so that the caller controls
/// simulated time and order.
#[async_trait]
impl Backing for InMemory {
    fn source(self: Arc<Self>) -> Arc<dyn ReadAt> {
        self
    }

    fn target(&self) -> String {
        "memory".to_owned()
    }

    fn runs_inline(&self, _: Work) -> bool {
        true
    }

    async fn run(&self, _: Work, job: Job) -> Result<(), StoreError> {
        job();
        Ok(())
    }

    fn write_inline(
        &self,
        _: u64,
        _: u64,
        write: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Option<Result<(), StoreError>> {
        Some(write())
    }

    fn spill(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn note_progress(&self, _: bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn write_at(&self, offset: u64, pieces: &[Bytes]) -> Result<(), StoreError> {
        self.pieces.insert_all(offset, pieces);
        Ok(())
    }

    fn checkpoint(&self) {}

    fn read_back(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        Ok(self.pieces.read(offset, len))
    }

    fn cut_to(&self, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn park(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn leave(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn delete(&self) {
        self.is_deleted.store(true, Ordering::Release);
    }

    async fn secure(self: Arc<Self>) -> Option<OwnedSemaphorePermit> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Spool {
    /// A spool in memory, without a store.
    pub fn in_memory(wanted: &Digest) -> Arc<Self> {
        InMemory::spool(wanted).0
    }
}
