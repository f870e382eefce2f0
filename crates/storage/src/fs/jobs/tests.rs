use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use futures_util::future::join_all;

use super::{JOB_COUNT_MAX, Jobs, Sort};
use crate::error::StoreError;

#[tokio::test]
async fn reads_continue_while_every_write_hangs() {
    let jobs = Jobs::default();
    let (release, hang) = mpsc::channel::<()>();
    let hang = Arc::new(std::sync::Mutex::new(hang));
    let running = Arc::new(AtomicUsize::new(0));
    let writes: Vec<_> = (0..JOB_COUNT_MAX + 3)
        .map(|_| {
            let (jobs, hang, running) = (jobs.clone(), hang.clone(), running.clone());
            tokio::spawn(async move {
                let write = move || {
                    running.fetch_add(1, Ordering::SeqCst);
                    hang.lock().unwrap().recv().unwrap();
                    Ok::<_, StoreError>(())
                };
                jobs.run(Sort::Write, write).await
            })
        })
        .collect();
    while running.load(Ordering::SeqCst) < JOB_COUNT_MAX {
        tokio::task::yield_now().await;
    }
    let read = jobs.run(Sort::Read, || Ok::<_, StoreError>(7)).await;
    assert_eq!(read.unwrap(), 7);
    assert_eq!(running.load(Ordering::SeqCst), JOB_COUNT_MAX, "the rest waits for its turn");
    for _ in &writes {
        release.send(()).unwrap();
    }
    for write in join_all(writes).await {
        write.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_local_disk_has_at_most_one_cpu_job_for_each_processor() {
    let jobs = Jobs::of_local_disk();
    let processor_count = thread::available_parallelism().unwrap().get();
    let (started, starts) = mpsc::channel();
    let (release, hang) = mpsc::channel::<()>();
    let hang = Arc::new(std::sync::Mutex::new(hang));
    let work: Vec<_> = (0..processor_count + 3)
        .map(|_| {
            let (jobs, hang, started) = (jobs.clone(), hang.clone(), started.clone());
            let work = move || {
                started.send(()).unwrap();
                hang.lock().unwrap().recv().unwrap();
                Ok::<_, StoreError>(())
            };
            tokio::spawn(async move { jobs.run(Sort::Cpu, work).await })
        })
        .collect();
    let mut start_count = 0;
    while start_count < processor_count {
        start_count += starts.try_iter().count();
        tokio::task::yield_now().await;
    }
    jobs.run(Sort::Read, || Ok::<_, StoreError>(())).await.unwrap();
    jobs.run(Sort::Write, || Ok::<_, StoreError>(())).await.unwrap();
    assert_eq!(start_count + starts.try_iter().count(), processor_count, "the rest waits for its turn");
    for _ in &work {
        release.send(()).unwrap();
    }
    for done in join_all(work).await {
        done.unwrap().unwrap();
    }
}

/// Takes all permits for long jobs until the returned guard is dropped.
pub(crate) async fn take_all_long_places(jobs: &Jobs) -> mpsc::Sender<()> {
    let (release, hang) = mpsc::channel::<()>();
    let hang = Arc::new(std::sync::Mutex::new(hang));
    while jobs.long.available_permits() > 0 {
        let (jobs, hang) = (jobs.clone(), hang.clone());
        tokio::spawn(async move {
            let work = move || {
                // This waits for the sender to be dropped.
                let _ = hang.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
                Ok::<_, StoreError>(())
            };
            jobs.run(Sort::Long, work).await
        });
        tokio::task::yield_now().await;
    }
    release
}

#[tokio::test]
async fn t07_long_jobs_do_not_delay_others() {
    for jobs in [Jobs::default(), Jobs::of_local_disk()] {
        let release = take_all_long_places(&jobs).await;
        jobs.run(Sort::Read, || Ok::<_, StoreError>(())).await.unwrap();
        jobs.run(Sort::Write, || Ok::<_, StoreError>(())).await.unwrap();
        jobs.run(Sort::Cpu, || Ok::<_, StoreError>(())).await.unwrap();
        let next = jobs.run(Sort::Long, || Ok::<_, StoreError>(()));
        drop(release);
        next.await.unwrap();
    }
}

#[tokio::test]
async fn a_job_continues_when_its_caller_is_dropped() {
    let jobs = Jobs::default();
    let (started, has_started) = mpsc::channel();
    let (finished, has_finished) = mpsc::channel();
    let (release, hang) = mpsc::channel::<()>();
    let task = tokio::spawn(async move {
        let write = move || {
            started.send(()).unwrap();
            hang.recv().unwrap();
            finished.send(()).unwrap();
            Ok::<_, StoreError>(())
        };
        jobs.run(Sort::Write, write).await
    });
    while has_started.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    release.send(()).unwrap();
    has_finished.recv().unwrap();
}

#[tokio::test]
#[should_panic(expected = "on purpose")]
async fn a_panic_reaches_the_caller() {
    let _ = Jobs::default().run(Sort::Read, || -> Result<(), StoreError> { panic!("on purpose") }).await;
}
