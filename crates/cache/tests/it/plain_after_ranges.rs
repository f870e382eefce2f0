//! Upstreams whose plain responses are good, but which deliver only the first ranges, or only their first
//! bytes: the whole is requested once, and soon.

use std::time::Duration;

use bytes::Bytes;
use upstream::ErrorKind;

use crate::plain::{alone, broken_off, dripping, only_whole, pull, refusing, well, world_with};
use crate::upstream::Manner;
use crate::world::noise;

const MIB: usize = 1 << 20;

/// Pulls a blob of which the first `good_count` ranges are good and the others behave like `ill`. The whole
/// is requested at most twice: at first, and once after failed ranges.
async fn pull_after(blob: &Bytes, good_count: usize, ill: &Manner, what: &str) {
    let (world, digest) = world_with(blob, only_whole(ill.clone()));
    world.upstream.script((0..=good_count).map(|_| well()));
    let what = format!("{} MiB, {good_count} good, then {what}", blob.len() / MIB);
    let (elapsed, surplus) = pull(&world, &digest, blob, &what).await;
    let asked = world.upstream.asked();
    let what = format!("{what}: {elapsed:?} instead of {:?}, {surplus} twice: {asked:#?}", alone(blob.len()));
    let wholes = asked.iter().filter(|asked| asked.ends_with("Whole")).count();
    assert!(wholes <= 2, "{what}");
    assert!(elapsed < alone(blob.len()) * 2 + Duration::from_secs(10), "{what}");
    // The stored bytes are fetched again, and so are those in flight.
    assert!(surplus <= blob.len() * 6 / 5 + 2 * MIB, "{what}");
    assert!(asked.len() < 20 + blob.len() / MIB, "{what}");
}

#[tokio::test(start_paused = true)]
async fn t24_ranges_that_fail_after_the_first_cost_one_plain_request() {
    let ways = [
        ("ignored", Manner { ignore_range: true, ..well() }),
        ("invalid", refusing(ErrorKind::Invalid)),
        ("unreachable", refusing(ErrorKind::Unreachable)),
        ("closed", refusing(ErrorKind::Interrupted)),
        ("unconfirmed", refusing(ErrorKind::Unconfirmed)),
        ("cut", Manner { cut_at: Some(0), ..well() }),
    ];
    for length in [16 * MIB, 40 * MIB, 96 * MIB] {
        let blob = noise(length);
        for (what, ill) in &ways {
            for good_count in [2, 4] {
                pull_after(&blob, good_count, ill, what).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t24_ranges_that_fall_silent_after_the_first_cost_one_plain_request() {
    let silence = Duration::from_secs(60);
    let ways = [
        ("never answered", Manner { is_mute: true, ..well() }),
        ("a head and no byte", dripping(0, 0, silence)),
        ("100 bytes a second", dripping(0, 100, Duration::from_secs(1))),
        ("heads after 12 s", Manner { head: Duration::from_secs(12), ..well() }),
    ];
    for length in [16 * MIB, 40 * MIB] {
        let blob = noise(length);
        for (what, ill) in &ways {
            for good_count in 1..4 {
                pull_after(&blob, good_count, ill, what).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t24_ranges_of_which_only_the_first_bytes_come_cost_one_plain_request() {
    let silence = Duration::from_secs(60);
    let ways = [
        ("1 MiB, then silence", dripping(MIB, 0, silence)),
        ("1.5 MiB, then silence", dripping(MIB * 3 / 2, 0, silence)),
        ("2.5 MiB, then silence", dripping(MIB * 5 / 2, 0, silence)),
        ("2 MiB, then 20 kB a second", dripping(2 * MIB, 2000, Duration::from_millis(100))),
    ];
    for length in [24 * MIB, 40 * MIB] {
        let blob = noise(length);
        for (what, ill) in &ways {
            for good_count in 0..3 {
                pull_after(&blob, good_count, ill, what).await;
            }
        }
    }
}

/// Every range stalls after half of it, however long it is.
#[tokio::test(start_paused = true)]
async fn t24_ranges_that_stall_in_the_middle_cost_one_plain_request() {
    for length in [16 * MIB, 40 * MIB] {
        let blob = noise(length);
        for percent in [20, 50, 90] {
            for good_count in [0, 2] {
                let ill = Manner { stall_percent: Some(percent), ..well() };
                pull_after(&blob, good_count, &ill, &format!("{percent} % and then silence")).await;
            }
        }
    }
}

/// All connections are silent for a moment, and then continue.
#[tokio::test(start_paused = true)]
async fn t24_a_moment_of_silence_does_not_bring_what_is_there_again() {
    let blob = noise(40 * MIB);
    let hiccup = Manner { pause_after: Some((MIB, Duration::from_millis(2500))), ..well() };
    let (world, digest) = world_with(&blob, well());
    world.upstream.script([well(), well(), hiccup.clone(), hiccup.clone(), hiccup]);
    let (_, surplus) = pull(&world, &digest, &blob, "a moment of silence").await;
    assert!(surplus <= 2 * MIB, "{surplus} twice: {:#?}", world.upstream.asked());
}

#[tokio::test(start_paused = true)]
async fn f05_a_blob_whose_ranges_are_told_to_wait_comes_by_a_plain_request() {
    for kind in [ErrorKind::Unreachable, ErrorKind::Throttled, ErrorKind::Resting, ErrorKind::Overloaded] {
        for retry_after in [None, Some(1), Some(30)] {
            let retry_after = retry_after.map(Duration::from_secs);
            let ill = Manner { retry_after, ..refusing(kind) };
            let what = format!("{kind:?}, {retry_after:?}");
            let (world, digest, blob) = broken_off(ill.clone()).await;
            let (elapsed, _) = pull(&world, &digest, &blob, &format!("{what}, on disk")).await;
            assert!(elapsed < Duration::from_secs(15), "{what}: {elapsed:?}");
            let (world, digest) = world_with(&blob, only_whole(ill.clone()));
            world.upstream.script([Manner { cut_at: Some(MIB), ..only_whole(ill) }]);
            let (elapsed, _) = pull(&world, &digest, &blob, &format!("{what}, on the way")).await;
            assert!(elapsed < Duration::from_secs(15), "{what}: {elapsed:?}");
            let asked = world.upstream.asked();
            assert!(asked.last().unwrap().ends_with("Whole"), "{what}: {asked:?}");
            if kind == ErrorKind::Throttled && retry_after.is_some() {
                assert!(asked.len() <= 4, "{what}: {asked:?}");
            }
        }
    }
}

/// If the pause is short, wharf waits for it, and requests the rest as a range.
#[tokio::test(start_paused = true)]
async fn f05_a_range_that_is_told_to_wait_for_a_moment_is_asked_for_after_it() {
    let blob = noise(4 * MIB);
    let (world, digest) = world_with(&blob, well());
    let throttled = Manner { retry_after: Some(Duration::from_secs(5)), ..refusing(ErrorKind::Throttled) };
    world.upstream.script([Manner { cut_at: Some(MIB), ..well() }, throttled]);
    let (elapsed, surplus) = pull(&world, &digest, &blob, "5 s").await;
    assert_eq!(surplus, 0);
    assert!(elapsed >= Duration::from_secs(5), "{elapsed:?}");
    assert_eq!(world.upstream.count("GET blob"), 3, "{:?}", world.upstream.asked());
}
