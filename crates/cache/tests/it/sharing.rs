//! Large blobs from an upstream that throttles: several transfers share a blob if that is faster.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::PullError;
use futures_util::future::join_all;
use oci::Digest;
use tokio::time::Instant;
use upstream::ErrorKind;

use crate::upstream::{Manner, PIECE};
use crate::world::{World, next, noise, read};

const MIB: usize = 1 << 20;

/// 1.6 MB/s for each connection.
const PACE: Duration = Duration::from_millis(10);

/// The time of `bytes` over one connection.
fn alone(bytes: usize) -> Duration {
    PACE * u32::try_from(bytes.div_ceil(PIECE)).unwrap()
}

fn slow() -> Manner {
    Manner { pace: PACE, ..Manner::default() }
}

fn world_with(blob: &Bytes, manner: Manner) -> (World, Digest) {
    let world = World::new();
    let digest = world.upstream.put_blob(blob);
    world.upstream.set_manner(manner);
    (world, digest)
}

fn parts(world: &World) -> u64 {
    let text = world.metrics_text();
    let line = text.lines().find(|line| line.starts_with("wharf_parts_total")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Pulls the whole blob. Returns the time.
async fn time_of_pull(world: &World, digest: &Digest, blob: &Bytes) -> Duration {
    let before = Instant::now();
    assert!(world.pull(digest).await.unwrap() == *blob);
    let elapsed = before.elapsed();
    world.settle().await;
    assert!(world.holds(digest).await);
    elapsed
}

fn surplus(world: &World, blob: &Bytes) -> u64 {
    world.upstream.blob_bytes() - blob.len() as u64
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_throttles_each_connection_is_beaten_by_nearly_their_number() {
    let blob = noise(64 * MIB);
    let (world, digest) = world_with(&blob, slow());
    let elapsed = time_of_pull(&world, &digest, &blob).await;
    assert!(elapsed * 10 < alone(blob.len()) * 3, "{elapsed:?} instead of {:?}", alone(blob.len()));
    assert_eq!(surplus(&world, &blob), 0, "bytes came twice");
    assert!(parts(&world) > 2);
}

#[tokio::test(start_paused = true)]
async fn readers_stream_in_order_while_parts_come_from_everywhere() {
    let blob = noise(64 * MIB);
    let (world, digest) = world_with(&blob, slow());
    let before = Instant::now();
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    let (mut came, mut half_at) = (0, None);
    while let Some(bytes) = next(&mut reader).await {
        let bytes = bytes.unwrap();
        assert!(bytes == blob.slice(came..came + bytes.len()), "wrong bytes at {came}");
        came += bytes.len();
        if came >= blob.len() / 2 {
            half_at.get_or_insert(before.elapsed());
        }
    }
    assert_eq!(came, blob.len());
    assert!(half_at.unwrap() * 4 < before.elapsed() * 3, "{half_at:?} of {:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_limited_in_total_gets_one_further_connection_for_a_moment() {
    let blob = noise(64 * MIB);
    let line = Arc::new(tokio::sync::Mutex::new(()));
    let (world, digest) = world_with(&blob, Manner { line: Some(line), ..slow() });
    let elapsed = time_of_pull(&world, &digest, &blob).await;
    assert!(elapsed < alone(blob.len() + MIB), "{elapsed:?} instead of {:?}", alone(blob.len()));
    assert!((1..=3).contains(&parts(&world)), "{} parts", parts(&world));
    assert_eq!(surplus(&world, &blob), 0, "bytes came twice");
}

#[tokio::test(start_paused = true)]
async fn small_blobs_and_fast_ones_cost_one_request() {
    for (length, pace) in [(3 * MIB, PACE), (64 * MIB, Duration::ZERO), (14 * MIB, Duration::from_millis(1))]
    {
        let blob = noise(length);
        let (world, digest) = world_with(&blob, Manner { pace, ..Manner::default() });
        time_of_pull(&world, &digest, &blob).await;
        assert_eq!(world.upstream.count("GET blob"), 1, "{length} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn one_connection_per_blob_turns_sharing_off() {
    let blob = noise(16 * MIB);
    let world = World::with(|settings| settings.connections_per_blob_max = 1);
    let digest = world.upstream.put_blob(&blob);
    world.upstream.set_manner(slow());
    time_of_pull(&world, &digest, &blob).await;
    assert_eq!(world.upstream.count("GET blob"), 1);
}

#[tokio::test(start_paused = true)]
async fn many_blobs_at_once_get_one_connection_each() {
    let world = World::with(|settings| settings.connections_max = 3);
    world.upstream.set_manner(slow());
    let blobs: Vec<_> = (0..3).map(|index| noise(8 * MIB + index)).collect();
    let digests: Vec<_> = blobs.iter().map(|blob| world.upstream.put_blob(blob)).collect();
    let bodies = join_all(digests.iter().map(|digest| world.pull(digest))).await;
    assert!(bodies.iter().zip(&blobs).all(|(body, blob)| body.as_ref().is_ok_and(|body| body == blob)));
    assert_eq!(parts(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn f15_an_upstream_that_ignores_ranges_is_asked_for_a_part_once() {
    let blob = noise(16 * MIB);
    let (world, digest) = world_with(&blob, Manner { ignore_range: true, ..slow() });
    time_of_pull(&world, &digest, &blob).await;
    assert_eq!(world.upstream.count("GET blob"), 2, "{:?}", world.upstream.asked());
    assert!(surplus(&world, &blob) <= PIECE as u64, "{} bytes came twice", surplus(&world, &blob));
    let another = noise(16 * MIB + 1);
    let digest = world.upstream.put_blob(&another);
    time_of_pull(&world, &digest, &another).await;
    assert_eq!(world.upstream.count("GET blob"), 3, "it is remembered");
    tokio::time::advance(Duration::from_secs(301)).await;
    let later = noise(16 * MIB + 2);
    let digest = world.upstream.put_blob(&later);
    time_of_pull(&world, &digest, &later).await;
    assert_eq!(world.upstream.count("GET blob"), 5, "and tried again later");
}

#[tokio::test(start_paused = true)]
async fn f15_an_upstream_that_refuses_parts_is_asked_for_one_once() {
    for kind in [ErrorKind::Throttled, ErrorKind::Invalid, ErrorKind::Denied, ErrorKind::Unreachable] {
        let blob = noise(16 * MIB);
        let (world, digest) = world_with(&blob, Manner { refuse_part: Some(kind), ..slow() });
        time_of_pull(&world, &digest, &blob).await;
        assert_eq!(world.upstream.count("GET blob"), 2, "{kind:?}: {:?}", world.upstream.asked());
        assert_eq!(world.upstream.blob_bytes(), blob.len() as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn f05_parts_that_are_cut_are_completed_by_others_and_no_byte_comes_twice() {
    for cut in [0, 1, PIECE + 1, MIB] {
        let blob = noise(32 * MIB);
        let (world, digest) = world_with(&blob, Manner { cut_part_at: Some(cut), ..slow() });
        time_of_pull(&world, &digest, &blob).await;
        // After a cut of a part, the front continues to the gap, which may be within a piece.
        let surplus = surplus(&world, &blob);
        assert!(surplus <= PIECE as u64, "cut at {cut}: {surplus} bytes came twice");
    }
}

#[tokio::test(start_paused = true)]
async fn f08_a_wrong_byte_in_a_part_ends_in_a_mismatch_and_stores_nothing() {
    let blob = noise(16 * MIB);
    for flip in [5 * MIB, 9 * MIB, 15 * MIB, 16 * MIB - 1] {
        let (world, digest) = world_with(&blob, Manner { flip: Some(flip), ..slow() });
        let (came, end) = read(world.get(&digest).await.unwrap().body.unwrap()).await;
        assert!(came < blob.len() && matches!(end, Err(PullError::DigestMismatch { .. })), "byte {flip}");
        world.settle().await;
        assert!(parts(&world) > 0 && !world.holds(&digest).await);
    }
}

#[tokio::test(start_paused = true)]
async fn f28_a_far_range_gets_its_transfer_beside_the_parts() {
    let blob = noise(64 * MIB);
    let (world, digest) = world_with(&blob, slow());
    let front = world.get(&digest).await.unwrap().body.unwrap();
    let far = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = Instant::now();
        let answer = world.get_range(&digest, "bytes=60000000-60000099").await.unwrap();
        assert_eq!(read(answer.body.unwrap()).await.1.unwrap(), blob.slice(60_000_000..60_000_100));
        before.elapsed()
    };
    let (whole, waited) = tokio::join!(read(front), far);
    assert!(whole.1.unwrap() == blob);
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    world.settle().await;
    assert!(surplus(&world, &blob) <= 2 * PIECE as u64);
}

#[tokio::test(start_paused = true)]
async fn k14_a_further_connection_that_is_refused_ends_the_trial_and_nothing_else() {
    for kind in [ErrorKind::Throttled, ErrorKind::Unreachable, ErrorKind::Denied] {
        let blob = noise(16 * MIB);
        let (world, digest) = world_with(&blob, Manner { refuse_part: Some(kind), ..slow() });
        time_of_pull(&world, &digest, &blob).await;
        assert_eq!(world.upstream.count("GET blob"), 2, "{kind:?}: one trial, and no second one");
        // Ranges work, and another blob is shared as before.
        world.upstream.set_manner(slow());
        let another = noise(64 * MIB);
        let digest = world.upstream.put_blob(&another);
        let elapsed = time_of_pull(&world, &digest, &another).await;
        assert!(elapsed * 10 < alone(another.len()) * 3, "{kind:?}: {elapsed:?}");
    }
}
