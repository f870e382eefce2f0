//! Upstreams whose plain responses are good and whose ranges are not: sharing costs nothing compared with one
//! plain connection.

use std::time::Duration;

use bytes::Bytes;
use cache::PullError;
use oci::Digest;
use tokio::time::Instant;
use upstream::ErrorKind;

use crate::upstream::{Drip, Manner, PIECE};
use crate::world::{World, noise, read};

const MIB: usize = 1 << 20;

/// 1.6 MB/s for each connection.
const PACE: Duration = Duration::from_millis(10);

pub(crate) fn well() -> Manner {
    Manner { pace: PACE, head: Duration::from_millis(30), ..Manner::default() }
}

/// Good responses to requests for the whole, and this manner for ranges.
pub(crate) fn only_whole(ranged: Manner) -> Manner {
    Manner { ranged: Some(Box::new(ranged)), ..well() }
}

pub(crate) fn refusing(kind: ErrorKind) -> Manner {
    Manner { refuse: Some(kind), ..well() }
}

pub(crate) fn dripping(after: usize, piece: usize, pace: Duration) -> Manner {
    Manner { drip: Some(Drip { after, piece, pace }), ..well() }
}

/// Ranges that are accepted and hardly delivered.
fn slow_ranges() -> Vec<(&'static str, Manner)> {
    let silence = Duration::from_secs(30);
    vec![
        ("never answered", Manner { is_mute: true, ..well() }),
        ("given up after 15 s", Manner { head: Duration::from_secs(15), ..refusing(ErrorKind::TimedOut) }),
        ("a head and no byte", dripping(0, 0, silence)),
        ("100 bytes a second", dripping(0, 100, Duration::from_secs(1))),
        ("one byte, then silence", dripping(1, 0, silence)),
        ("one piece, then silence", dripping(PIECE, 0, silence)),
        ("300,000 bytes, then silence", dripping(300_000, 0, silence)),
        ("300,000 bytes, then 100 a second", dripping(300_000, 100, Duration::from_secs(1))),
        ("heads after 4 s", Manner { head: Duration::from_secs(4), ..well() }),
        ("heads after 12 s", Manner { head: Duration::from_secs(12), ..well() }),
    ]
}

pub(crate) fn world_with(blob: &Bytes, manner: Manner) -> (World, Digest) {
    let world = World::new();
    let digest = world.upstream.put_blob(blob);
    world.upstream.set_manner(manner);
    (world, digest)
}

/// How long a single connection takes.
pub(crate) fn alone(bytes: usize) -> Duration {
    PACE * u32::try_from(bytes.div_ceil(PIECE)).unwrap()
}

/// Pulls the whole blob. Returns the time and the number of bytes that were fetched twice.
pub(crate) async fn pull(world: &World, digest: &Digest, blob: &Bytes, what: &str) -> (Duration, usize) {
    let before = Instant::now();
    let body = tokio::time::timeout(Duration::from_secs(600), world.pull(digest)).await;
    let body = body.unwrap_or_else(|_| panic!("{what}: it does not end: {:?}", world.upstream.asked()));
    assert!(body.as_ref().is_ok_and(|body| body == blob), "{what}: {:?}", body.err());
    let elapsed = before.elapsed();
    world.settle().await;
    assert!(world.holds(digest).await, "{what}");
    (elapsed, usize::try_from(world.upstream.blob_bytes()).unwrap() - blob.len())
}

#[tokio::test(start_paused = true)]
async fn t24_ranges_that_hardly_come_cost_a_plain_connection_nothing() {
    for length in [16 * MIB, 40 * MIB] {
        let blob = noise(length);
        for (name, ranged) in slow_ranges() {
            let (world, digest) = world_with(&blob, only_whole(ranged));
            let what = format!("{length} bytes, ranges: {name}");
            let (elapsed, surplus) = pull(&world, &digest, &blob, &what).await;
            let what = format!("{what}: {elapsed:?} instead of {:?}, {surplus} twice", alone(length));
            assert!(elapsed < alone(length) * 5 / 4 + Duration::from_secs(1), "{what}");
            assert!(surplus <= 2 * MIB, "{what}");
            let asked = world.upstream.count("GET blob");
            assert!(asked <= 9, "{what}: {:?}", world.upstream.asked());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t24_ranges_that_never_come_cost_no_byte_twice() {
    let blob = noise(24 * MIB);
    for (name, ranged) in slow_ranges().into_iter().take(3) {
        let (world, digest) = world_with(&blob, only_whole(ranged));
        let (elapsed, surplus) = pull(&world, &digest, &blob, name).await;
        assert_eq!(surplus, 0, "{name}");
        assert!(elapsed < alone(blob.len()) + Duration::from_secs(1), "{name}: {elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t24_every_second_range_that_hardly_comes_costs_little() {
    for length in [16 * MIB, 40 * MIB] {
        let blob = noise(length);
        // A request that is never answered has its deadline, at the latest.
        for (name, ill) in slow_ranges().into_iter().skip(1) {
            for is_first_ill in [false, true] {
                let (world, digest) = world_with(&blob, well());
                let pairs = (0..20).flat_map(|_| [well(), ill.clone()]);
                world.upstream.script([well()].into_iter().chain(pairs.skip(usize::from(is_first_ill))));
                let what = format!("{length} bytes, every second range: {name}, {is_first_ill}");
                let (elapsed, surplus) = pull(&world, &digest, &blob, &what).await;
                let asked = world.upstream.asked();
                let what =
                    format!("{what}: {elapsed:?} instead of {:?}, {surplus} twice: {asked:?}", alone(length));
                assert!(elapsed < alone(length) + Duration::from_secs(16), "{what}");
                assert!(surplus <= 2 * MIB, "{what}");
            }
        }
    }
}

/// A client's range far ahead cuts the first connection short.
#[tokio::test(start_paused = true)]
async fn t24_a_far_range_that_hardly_comes_costs_a_plain_connection_nothing() {
    let blob = noise(24 * MIB);
    for (name, ranged) in slow_ranges() {
        for connections in [1, 4] {
            let world = World::with(|settings| settings.connections_per_blob_max = connections);
            let digest = world.upstream.put_blob(&blob);
            world.upstream.set_manner(only_whole(ranged.clone()));
            let before = Instant::now();
            let far = world.get_range(&digest, &format!("bytes={}-", 9 * MIB)).await.unwrap();
            let (whole, far) =
                tokio::join!(pull(&world, &digest, &blob, name), async { read(far.body.unwrap()).await.1 });
            assert!(far.is_ok_and(|far| far == blob.slice(9 * MIB..)), "{name}");
            let elapsed = before.elapsed();
            let asked = world.upstream.asked();
            let what =
                format!("{name}, {connections} connections: {elapsed:?}, {} twice: {asked:?}", whole.1);
            assert!(elapsed < alone(blob.len()) * 3 / 2 + Duration::from_secs(1), "{what}");
            assert!(whole.1 <= 3 * MIB, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f15_a_blob_whose_shared_parts_are_wrong_comes_by_a_plain_request_next() {
    let blob = noise(16 * MIB);
    let wrong = Manner { flip: Some(15 * MIB), ..well() };
    let (world, digest) = world_with(&blob, only_whole(wrong));
    let (_, end) = read(world.get(&digest).await.unwrap().body.unwrap()).await;
    assert!(matches!(end, Err(PullError::DigestMismatch { .. })));
    world.settle().await;
    assert!(!world.holds(&digest).await);
    // However late its client returns.
    tokio::time::advance(Duration::from_secs(3600)).await;
    let asked = world.upstream.count("GET blob");
    assert!(world.pull(&digest).await.unwrap() == blob);
    world.settle().await;
    assert!(world.holds(&digest).await);
    assert_eq!(world.upstream.count("GET blob"), asked + 1, "{:?}", world.upstream.asked());
    assert!(world.upstream.asked().last().unwrap().ends_with("Whole"));
}

#[tokio::test(start_paused = true)]
async fn f15_a_blob_that_is_asked_for_as_a_whole_stays_so_when_it_breaks_off() {
    let blob = noise(16 * MIB);
    let wrong = Manner { flip: Some(15 * MIB), ..well() };
    let (world, digest) = world_with(&blob, only_whole(wrong));
    assert!(world.pull(&digest).await.is_err());
    world.settle().await;
    let asked = world.upstream.count("GET blob");
    world.upstream.script([Manner { cut_at: Some(10 * MIB), ..well() }]);
    let far = world.get_range(&digest, &format!("bytes={}-{}", 12 * MIB, 12 * MIB + 9)).await.unwrap();
    let (whole, far) = tokio::join!(world.pull(&digest), read(far.body.unwrap()));
    assert!(whole.unwrap() == blob);
    assert_eq!(far.1.unwrap(), blob.slice(12 * MIB..12 * MIB + 10));
    let asked = world.upstream.asked().split_off(asked);
    assert!(asked.len() == 2 && asked.iter().all(|asked| asked.ends_with("Whole")), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn f15_wrong_ranges_of_one_blob_keep_others_apart_for_a_while_only() {
    let blob = noise(16 * MIB);
    let wrong = Manner { flip: Some(15 * MIB), ..well() };
    let (world, digest) = world_with(&blob, only_whole(wrong));
    assert!(world.pull(&digest).await.is_err());
    world.settle().await;
    for (length, requests, wait) in [(16 * MIB + 1, 1, 0), (16 * MIB + 2, 2, 301)] {
        tokio::time::advance(Duration::from_secs(wait)).await;
        let another = noise(length);
        let digest = world.upstream.put_blob(&another);
        world.upstream.set_manner(well());
        let asked = world.upstream.count("GET blob");
        pull(&world, &digest, &another, "another").await;
        let asked = world.upstream.count("GET blob") - asked;
        assert!(if requests == 1 { asked == 1 } else { asked > 1 }, "{asked} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn f05_a_resumption_that_brings_wrong_bytes_is_followed_by_a_plain_request() {
    for cut_short_here in [false, true] {
        let blob = noise(4 * MIB);
        let wrong = Manner { flip: Some(3 * MIB), ..Manner::default() };
        let (world, digest) = world_with(&blob, only_whole(wrong));
        if cut_short_here {
            world.upstream.script([Manner { cut_at: Some(MIB), ..only_whole(Manner::default()) }]);
        } else {
            let spool = world.blobs.spool(&digest).await.unwrap();
            spool.write(0, vec![blob.slice(..MIB)]).await.unwrap();
        }
        assert!(matches!(world.pull(&digest).await, Err(PullError::DigestMismatch { .. })));
        world.settle().await;
        let before = world.upstream.blob_bytes();
        assert!(world.pull(&digest).await.unwrap() == blob);
        assert!(world.upstream.asked().last().unwrap().ends_with("Whole"));
        assert_eq!(world.upstream.blob_bytes() - before, blob.len() as u64);
        world.settle().await;
        assert!(world.holds(&digest).await);
    }
}

/// A blob of which a part is on disk, as after a break, a stop or a kill.
pub(crate) async fn broken_off(ranged: Manner) -> (World, Digest, Bytes) {
    let blob = noise(4 * MIB);
    let (world, digest) = world_with(&blob, only_whole(ranged));
    let spool = world.blobs.spool(&digest).await.unwrap();
    spool.set_size(blob.len() as u64).unwrap();
    spool.write(0, vec![blob.slice(..MIB)]).await.unwrap();
    (world, digest, blob)
}

#[tokio::test(start_paused = true)]
async fn f05_a_blob_that_broke_off_comes_though_no_range_does() {
    let late = Duration::from_secs(15);
    let ways = [
        refusing(ErrorKind::Unreachable),
        refusing(ErrorKind::Interrupted),
        refusing(ErrorKind::Unconfirmed),
        refusing(ErrorKind::Invalid),
        Manner { head: late, ..refusing(ErrorKind::TimedOut) },
        dripping(0, 0, Duration::from_secs(30)),
        Manner { cut_at: Some(0), ..well() },
        Manner { late_start: 5, ..well() },
        Manner { ignore_range: true, ..well() },
    ];
    for (number, ranged) in ways.into_iter().enumerate() {
        let kind = ranged.refuse;
        let (world, digest, blob) = broken_off(ranged.clone()).await;
        pull(&world, &digest, &blob, &format!("way {number}: {kind:?}, on disk")).await;
        // The same within one fill.
        let (world, digest) = world_with(&blob, only_whole(ranged.clone()));
        world.upstream.script([Manner { cut_at: Some(MIB), ..only_whole(ranged) }]);
        let what = format!("way {number}: {kind:?}, on the way");
        pull(&world, &digest, &blob, &what).await;
        let wholes = world.upstream.asked().iter().filter(|asked| asked.ends_with("Whole")).count();
        assert_eq!(wholes, 2 - usize::from(number == 8), "{what}: {:?}", world.upstream.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn f05_a_definite_no_to_a_resumption_is_not_asked_about_again() {
    for kind in [ErrorKind::NotFound, ErrorKind::Denied] {
        let (world, digest, _) = broken_off(refusing(kind)).await;
        assert!(world.pull(&digest).await.is_err());
        assert_eq!(world.upstream.count("GET blob"), 1, "{kind:?}");
    }
}

/// A client that waits for a silent registry does not wait for as long again.
#[tokio::test(start_paused = true)]
async fn f05_a_silent_registry_is_not_asked_for_the_whole_as_well() {
    let silent = Manner { head: Duration::from_secs(15), ..refusing(ErrorKind::TimedOut) };
    let (world, digest, blob) = broken_off(silent).await;
    world.upstream.set_down(Some(ErrorKind::TimedOut));
    assert!(world.pull(&digest).await.is_err());
    world.settle().await;
    assert_eq!(world.upstream.count("GET blob"), 1);
    assert_eq!(world.upstream.count("HEAD blob"), 1);
    // The received bytes are not lost: the next fill resumes them.
    world.upstream.set_down(None);
    world.upstream.set_manner(well());
    assert!(world.pull(&digest).await.unwrap() == blob);
    assert_eq!(world.upstream.blob_bytes(), (blob.len() - MIB) as u64);
}

/// Dripping ranges say nothing about the whole, but it is not requested within the same client's time.
#[tokio::test(start_paused = true)]
async fn f05_a_blob_that_broke_off_and_whose_ranges_drip_comes_with_the_next_fill() {
    let (world, digest, blob) = broken_off(dripping(0, 100, Duration::from_secs(1))).await;
    assert!(world.pull(&digest).await.is_err());
    world.settle().await;
    assert!(world.pull(&digest).await.unwrap() == blob);
    assert!(world.upstream.asked().last().unwrap().ends_with("Whole"));
}

/// After a short outage no byte is fetched twice.
#[tokio::test(start_paused = true)]
async fn f05_a_short_outage_is_waited_for_and_costs_nothing() {
    for kind in [ErrorKind::Unreachable, ErrorKind::Resting, ErrorKind::Throttled] {
        let blob = noise(4 * MIB);
        let (world, digest) = world_with(&blob, well());
        world.upstream.script([Manner { cut_at: Some(MIB), ..well() }]);
        world.upstream.script((0..3).map(|_| refusing(kind)));
        assert!(world.pull(&digest).await.unwrap() == blob);
        assert_eq!(world.upstream.blob_bytes(), blob.len() as u64, "{kind:?}");
    }
}

/// The path of a blob whose ranges failed may be paused just when the whole should be requested.
#[tokio::test(start_paused = true)]
async fn f05_a_whole_that_could_not_be_asked_for_is_what_the_next_fill_asks_for() {
    let (world, digest, blob) = broken_off(refusing(ErrorKind::Unreachable)).await;
    world.upstream.script([refusing(ErrorKind::Unreachable)]);
    world.upstream.script((0..4).map(|_| refusing(ErrorKind::Resting)));
    assert!(world.pull(&digest).await.is_err());
    world.settle().await;
    assert_eq!(world.upstream.count("GET blob"), 5, "{:?}", world.upstream.asked());
    pull(&world, &digest, &blob, "afterwards").await;
    assert_eq!(world.upstream.count("GET blob"), 6, "{:?}", world.upstream.asked());
}
