//! Runs work that may block off the runtime's threads.

use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use tokio::sync::Semaphore;
use tokio::task;

use crate::error::StoreError;

/// Jobs of one store, of each sort, that run at once. The whole process shares the blocking threads (512 by
/// default), so a store on a disk that hangs must not take them all.
const JOB_COUNT_MAX: usize = 24;

/// Long jobs that run at once on a disk that is not local.
const LONG_JOB_COUNT_MAX: usize = 4;

/// The sorts of jobs. Each has its own bound: reads do not queue behind writes, so that hits continue while a
/// slow disk syncs; and neither queues behind jobs that keep a processor busy or take long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Reads a small amount.
    Read,
    /// May wait until bytes are durable.
    Write,
    /// Keeps a processor busy, like hashing received bytes.
    Cpu,
    /// Reads much of the disk, like hashing stored content or listing directories. Very long work is split
    /// into several jobs.
    Long,
}

/// The jobs of one store; clones share the bounds.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    cpu: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self::new(JOB_COUNT_MAX, LONG_JOB_COUNT_MAX)
    }
}

impl Jobs {
    /// The jobs of a local disk, which accepts bytes as fast as processors produce them: more jobs at once
    /// than processors would only take turns, also with the runtime's threads.
    pub(crate) fn of_local_disk() -> Self {
        let processor_count = thread::available_parallelism().map_or(1, usize::from);
        Self::new(processor_count, processor_count)
    }

    fn new(cpu_count_max: usize, long_count_max: usize) -> Self {
        let bound = |count| Arc::new(Semaphore::new(count));
        Self {
            reads: bound(JOB_COUNT_MAX),
            writes: bound(JOB_COUNT_MAX),
            cpu: bound(cpu_count_max),
            long: bound(long_count_max),
        }
    }

    /// Runs a job, to its end even when the caller drops the future.
    pub(crate) async fn run<T, E>(
        &self,
        sort: Sort,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let bound = match sort {
            Sort::Read => &self.reads,
            Sort::Write => &self.writes,
            Sort::Cpu => &self.cpu,
            Sort::Long => &self.long,
        };
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
                // The runtime is shutting down and did not start the job.
                Err(_) => Err(StoreError::os("spawn_blocking", Path::new(""), Errno::CANCELED).into()),
            },
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
