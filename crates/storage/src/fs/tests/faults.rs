//! Every system call of the script fails once, with every error that fits, and at every one of them the
//! process dies once: no panic, no wrong byte, nothing lost that was promised, no leftovers.

use rustix::io::Errno;

use super::Place;
use super::script::{Acknowledged, inspect, play};
use crate::fs::fault::{Call, Fault, Step};

fn fitting(call: Call) -> &'static [Errno] {
    match call {
        Call::Open => &[Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::ACCESS, Errno::ROFS],
        Call::Stat | Call::Read => &[Errno::IO],
        Call::Write => &[Errno::NOSPC, Errno::DQUOT, Errno::IO],
        Call::Truncate => &[Errno::IO, Errno::ROFS],
        Call::Sync => &[Errno::IO, Errno::NOSPC],
        Call::Rename => &[Errno::NOSPC, Errno::IO, Errno::ROFS],
        Call::Unlink => &[Errno::IO, Errno::ROFS],
        Call::MakeDirectory => &[Errno::NOSPC, Errno::MLINK],
        Call::ReadDirectory => &[Errno::IO, Errno::MFILE],
        Call::Lock => &[Errno::IO, Errno::NOLCK],
    }
}

async fn steps_of_a_good_run() -> Vec<Step> {
    let place = Place::fast();
    let done = play(&place.try_open().unwrap()).await;
    let steps = place.faults.steps();
    assert!(done.manifest && done.tag && done.link);
    assert_eq!((done.stored.len(), done.removed.len()), (2, 2));
    inspect(&place, &done, false).await;
    steps
}

async fn run_with(skip: usize, fault: Fault, is_power_loss: bool) {
    let place = Place::fast();
    place.faults.inject(None, skip, fault);
    let done = match place.try_open() {
        Ok(store) => play(&store).await,
        Err(_) => Acknowledged::default(),
    };
    assert!(!place.faults.is_pending(), "the run has fewer than {skip} calls");
    inspect(&place, &done, is_power_loss).await;
}

#[tokio::test]
async fn every_call_fails_once() {
    let steps = steps_of_a_good_run().await;
    let kinds: std::collections::HashSet<_> = steps.iter().map(|step| step.call).collect();
    assert_eq!(kinds.len(), 11, "the script makes every kind of call");
    for (skip, step) in steps.iter().enumerate() {
        for errno in fitting(step.call) {
            run_with(skip, Fault::Errno(errno.raw_os_error()), false).await;
        }
        if step.call == Call::Write {
            run_with(skip, Fault::Short, false).await;
        }
    }
}

#[tokio::test]
async fn the_process_is_killed_at_every_call() {
    for (skip, step) in steps_of_a_good_run().await.iter().enumerate() {
        run_with(skip, Fault::Stop, false).await;
        if step.call == Call::Write {
            run_with(skip, Fault::Tear, false).await;
        }
    }
}

#[tokio::test]
async fn the_machine_restarts_after_the_process_was_killed_at_any_call() {
    for skip in 0..steps_of_a_good_run().await.len() {
        run_with(skip, Fault::Stop, true).await;
    }
}
