//! Work that may block, off the runtime's threads.

use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use tokio::sync::Semaphore;
use tokio::task;

use crate::error::StoreError;

/// Jobs of one store, of each sort, that run at once. The threads for blocking work are shared by the whole
/// process (512 by default), so a store on a disk that hangs must not take them all.
const JOB_COUNT_MAX: usize = 24;

/// Long jobs that run at once on a disk that is no local one.
const LONG_JOB_COUNT_MAX: usize = 4;

/// The jobs of one store; clones share the bounds. Reads do not queue behind writes, so that hits go on while
/// a slow disk makes commits durable; and neither queues behind those that are busy, or long.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    busy: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self::new(JOB_COUNT_MAX, LONG_JOB_COUNT_MAX)
    }
}

impl Jobs {
    /// Those of a disk of this machine, which takes bytes in as fast as processors hand them over: more jobs at
    /// once than there are processors would take turns, and the runtime's threads would wait for theirs.
    pub(crate) fn of_local_disk() -> Self {
        let processor_count = thread::available_parallelism().map_or(1, usize::from);
        Self::new(processor_count, processor_count)
    }

    fn new(busy_count_max: usize, long_count_max: usize) -> Self {
        let bound = |count| Arc::new(Semaphore::new(count));
        Self {
            reads: bound(JOB_COUNT_MAX),
            writes: bound(JOB_COUNT_MAX),
            busy: bound(busy_count_max),
            long: bound(long_count_max),
        }
    }

    /// Does some reading. It runs to its end, even when the caller loses interest.
    pub(crate) async fn read<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        run(&self.reads, work).await
    }

    /// Does something that may have to wait until bytes are durable. It runs to its end, even when the caller
    /// loses interest.
    pub(crate) async fn write<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        run(&self.writes, work).await
    }

    /// Does something that keeps a processor busy, like hashing what comes in. It runs to its end, even when the
    /// caller loses interest.
    pub(crate) async fn busy<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        run(&self.busy, work).await
    }

    /// Does something that goes through much of the disk, like hashing what is stored or listing directories. It
    /// runs to its end, even when the caller loses interest; what takes very long is to come in turns.
    pub(crate) async fn long<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        run(&self.long, work).await
    }
}

async fn run<T, E>(
    bound: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let permit = Arc::clone(bound).acquire_owned().await.expect("the semaphore is never closed");
    let job = task::spawn_blocking(move || {
        let done = work();
        drop(permit);
        done
    });
    match job.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => panic::resume_unwind(payload),
            // The runtime shuts down and has not started the job.
            Err(_) => Err(StoreError::os("spawn_blocking", Path::new(""), Errno::CANCELED).into()),
        },
    }
}

#[cfg(test)]
pub(crate) mod tests;
