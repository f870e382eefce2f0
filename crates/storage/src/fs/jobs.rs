//! Work that may block, off the runtime's threads.

use std::panic;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use tokio::sync::Semaphore;
use tokio::task;

use crate::error::StoreError;

/// Jobs of one store, of either sort, that run at once. The threads for blocking work are shared by the whole
/// process (512 by default), so a store on a disk that hangs must not take them all.
const JOB_COUNT_MAX: usize = 24;

/// The jobs of one store; clones share the bounds. Reads do not queue behind writes, so that hits go on while
/// a slow disk makes commits durable.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self::new()
    }
}

impl Jobs {
    pub(crate) fn new() -> Self {
        let bound = || Arc::new(Semaphore::new(JOB_COUNT_MAX));
        Self { reads: bound(), writes: bound() }
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
mod tests;
