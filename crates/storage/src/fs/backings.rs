//! The two backings of a spool in this engine: a partial file, and a small blob collected in memory.

use std::any::Any;
use std::fs::File;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use super::collected::Collected;
use super::jobs::{Jobs, Sort};
use super::partial::Partial;
use crate::content::ReadAt;
use crate::error::StoreError;
use crate::spool::backing::{Backing, Job, Work};
use crate::spool::finish::VerifiedSpool;

/// The file with a verified blob's bytes, if they are in one.
pub(super) fn file_of(blob: &VerifiedSpool) -> Option<&Partial> {
    match blob.backing::<Collected>() {
        Some(collected) => collected.file().map(|file| &**file),
        None => blob.backing::<Partial>(),
    }
}

async fn run(jobs: &Jobs, work: Work, job: Job) -> Result<(), StoreError> {
    let sort = match work {
        Work::Write => Sort::Cpu,
        Work::ReadBack => Sort::Long,
        Work::Finish | Work::Delete | Work::Cached => Sort::Write,
    };
    let work = move || {
        job();
        Ok(())
    };
    jobs.run(sort, work).await
}

#[async_trait]
impl Backing for Partial {
    fn source(self: Arc<Self>) -> Arc<dyn ReadAt> {
        Arc::clone(Partial::source(&self)) as Arc<dyn ReadAt>
    }

    fn target(&self) -> String {
        self.path().to_string_lossy().into_owned()
    }

    fn runs_inline(&self, _: Work) -> bool {
        false
    }

    async fn run(&self, work: Work, job: Job) -> Result<(), StoreError> {
        run(self.partial_files().jobs(), work, job).await
    }

    fn write_inline(
        &self,
        _: u64,
        _: u64,
        _: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Option<Result<(), StoreError>> {
        None
    }

    fn spill(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn note_progress(&self, is_scattered: bool) -> Result<(), StoreError> {
        self.note_progress(is_scattered)
    }

    fn write_at(&self, offset: u64, pieces: &[Bytes]) -> Result<(), StoreError> {
        self.write(offset, pieces)
    }

    fn share(&self, file: &File) -> Result<Option<u64>, StoreError> {
        self.share(file)
    }

    fn checkpoint(&self) {
        self.checkpoint();
    }

    fn read_back(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        Partial::source(self).read_blocking(offset, len)
    }

    fn cut_to(&self, size: u64) -> Result<(), StoreError> {
        self.cut_to(size)
    }

    fn park(&self) -> Result<(), StoreError> {
        self.park()
    }

    fn leave(&self) -> Result<(), StoreError> {
        self.leave()
    }

    fn delete(&self) {
        self.delete();
    }

    async fn secure(self: Arc<Self>) -> Option<OwnedSemaphorePermit> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// In memory at first, in a file later.
#[async_trait]
impl Backing for Collected {
    fn source(self: Arc<Self>) -> Arc<dyn ReadAt> {
        match self.file() {
            Some(file) => Backing::source(Arc::clone(file)),
            None => self,
        }
    }

    fn target(&self) -> String {
        self.file().map_or_else(|| "memory".to_owned(), |file| file.target())
    }

    fn runs_inline(&self, work: Work) -> bool {
        // Parking and leaving write to a file.
        self.file().is_none() && matches!(work, Work::ReadBack | Work::Finish | Work::Delete)
    }

    async fn run(&self, work: Work, job: Job) -> Result<(), StoreError> {
        run(self.jobs(), work, job).await
    }

    fn write_inline(
        &self,
        len: u64,
        end: u64,
        write: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Option<Result<(), StoreError>> {
        let _memory = self.admit(len, end)?;
        Some(write())
    }

    fn spill(&self) -> Result<(), StoreError> {
        self.spill(true)
    }

    fn note_progress(&self, is_scattered: bool) -> Result<(), StoreError> {
        self.file().map_or(Ok(()), |file| file.note_progress(is_scattered))
    }

    fn write_at(&self, offset: u64, pieces: &[Bytes]) -> Result<(), StoreError> {
        match self.file() {
            Some(file) => file.write(offset, pieces),
            None => {
                self.pieces().insert_all(offset, pieces);
                Ok(())
            }
        }
    }

    fn share(&self, file: &File) -> Result<Option<u64>, StoreError> {
        self.file().map_or(Ok(None), |own| own.share(file))
    }

    fn checkpoint(&self) {
        if let Some(file) = self.file() {
            file.checkpoint();
        }
    }

    fn read_back(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.read_blocking(offset, len)
    }

    fn cut_to(&self, size: u64) -> Result<(), StoreError> {
        self.file().map_or(Ok(()), |file| file.cut_to(size))
    }

    fn park(&self) -> Result<(), StoreError> {
        self.spill(true)?;
        self.file().map_or(Ok(()), |file| file.park())
    }

    fn leave(&self) -> Result<(), StoreError> {
        self.spill(true)?;
        self.file().map_or(Ok(()), |file| file.leave())
    }

    fn delete(&self) {
        self.give_up();
        if let Some(file) = self.file() {
            file.delete();
        }
    }

    async fn secure(self: Arc<Self>) -> Option<OwnedSemaphorePermit> {
        let place = self.take_place().await;
        if let Err(error) = self.spill_whole().await {
            debug!(digest = %self.digest(), %error, "could not write a collected blob to its file");
        }
        Some(place)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
