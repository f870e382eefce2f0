//! Each system call of the script fails once with each error that it can have, and at each of them the
//! process is killed once: no panic, no wrong byte, no loss of acknowledged content, no leftovers.

use rustix::io::Errno;

use super::Place;
use super::script::{Acknowledged, inspect, play};
use super::usage::truth;
use crate::fs::fault::{Call, Fault, Step};
use crate::maintain::Maintain;

pub(super) fn fitting(call: Call) -> &'static [Errno] {
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

/// A place for a run: with small blobs collected in memory, or written to files at once.
fn place(collects: bool) -> Place {
    if collects { Place::fast().collecting() } else { Place::fast() }
}

async fn steps_of_a_good_run(collects: bool) -> Vec<Step> {
    let place = place(collects);
    let done = play(&place.try_open().unwrap()).await;
    let steps = place.faults.steps();
    assert!(done.manifest && done.tag && done.link);
    assert_eq!((done.stored.len(), done.removed.len()), (2, 2));
    inspect(&place, &done, false).await;
    steps
}

async fn run_with(collects: bool, skip: usize, fault: Fault, is_power_loss: bool) {
    let place = place(collects);
    place.faults.inject(None, skip, fault);
    let done = match place.try_open() {
        Ok(store) => {
            let done = play(&store).await;
            let (usage, is_killed) = (store.usage(), matches!(fault, Fault::Stop | Fault::Tear));
            // A directory that could not be counted stays uncounted, and the store says so.
            let is_right = usage.is_counting || is_killed || usage == truth(&place.root());
            assert!(is_right, "{skip}, {fault:?}: {usage:?}, {:?}", truth(&place.root()));
            done
        }
        Err(_) => Acknowledged::default(),
    };
    assert!(!place.faults.is_pending(), "the run has fewer than {skip} calls");
    inspect(&place, &done, is_power_loss).await;
}

async fn fail_every_call_once(collects: bool) {
    let steps = steps_of_a_good_run(collects).await;
    let kinds: std::collections::HashSet<_> = steps.iter().map(|step| step.call).collect();
    // A collected blob's file is never longer than its trusted bytes, so it is never truncated.
    let kind_count = if collects { 10 } else { 11 };
    assert_eq!(kinds.len(), kind_count, "the script makes every kind of call");
    for (skip, step) in steps.iter().enumerate() {
        for errno in fitting(step.call) {
            run_with(collects, skip, Fault::Errno(errno.raw_os_error()), false).await;
        }
        if step.call == Call::Write {
            run_with(collects, skip, Fault::Short, false).await;
        }
    }
}

async fn kill_at_every_call(collects: bool) {
    for (skip, step) in steps_of_a_good_run(collects).await.iter().enumerate() {
        run_with(collects, skip, Fault::Stop, false).await;
        if step.call == Call::Write {
            run_with(collects, skip, Fault::Tear, false).await;
        }
    }
}

async fn restart_after_every_call(collects: bool) {
    for skip in 0..steps_of_a_good_run(collects).await.len() {
        run_with(collects, skip, Fault::Stop, true).await;
    }
}

#[tokio::test]
async fn every_call_fails_once() {
    fail_every_call_once(false).await;
}

#[tokio::test]
async fn every_call_fails_once_with_small_blobs_collected() {
    fail_every_call_once(true).await;
}

#[tokio::test]
async fn the_process_is_killed_at_every_call() {
    kill_at_every_call(false).await;
}

#[tokio::test]
async fn the_process_is_killed_at_every_call_with_small_blobs_collected() {
    kill_at_every_call(true).await;
}

#[tokio::test]
async fn the_machine_restarts_after_the_process_was_killed_at_any_call() {
    restart_after_every_call(false).await;
}

#[tokio::test]
async fn the_machine_restarts_after_the_process_was_killed_at_any_call_with_small_blobs_collected() {
    restart_after_every_call(true).await;
}
