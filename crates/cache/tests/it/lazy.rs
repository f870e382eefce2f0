//! Clients that pull lazily: first a table of contents at the end of a cold blob, then small ranges now and
//! then.

use std::time::Duration;

use bytes::Bytes;
use cache::PullError;
use fastrand::Rng;
use futures_util::future::join_all;
use oci::Digest;
use tokio::time::Instant;

use crate::upstream::{Manner, PIECE};
use crate::world::{World, next, noise, read};

const MIB: usize = 1 << 20;

/// The time to the headers of each response.
const HEAD: Duration = Duration::from_millis(150);

/// The time between pieces: 4 MB/s for each connection.
const PACE: Duration = Duration::from_millis(4);

fn slow() -> Manner {
    Manner { head: HEAD, pace: PACE, ..Manner::default() }
}

fn world_with(blob: &Bytes) -> (World, Digest) {
    let world = World::new();
    let digest = world.upstream.put_blob(blob);
    world.upstream.set_manner(slow());
    (world, digest)
}

/// How long this number of bytes takes without wharf.
fn direct(bytes: usize) -> Duration {
    HEAD + PACE * u32::try_from(bytes.div_ceil(PIECE)).unwrap()
}

/// Reads a range. Returns the time and the result.
async fn time_of_range(
    world: &World,
    digest: &Digest,
    range: &str,
) -> (Duration, std::ops::Range<usize>, Bytes) {
    let before = Instant::now();
    let answer = world.get_range(digest, range).await.unwrap();
    let range = answer.range.start as usize..answer.range.end as usize;
    let body = read(answer.body.unwrap()).await.1.unwrap();
    (before.elapsed(), range, body)
}

/// Reads a range as fast as without wharf, give or take a tenth.
async fn read_at_once(world: &World, digest: &Digest, blob: &Bytes, range: &str) {
    let (elapsed, range, body) = time_of_range(world, digest, range).await;
    assert!(body == blob.slice(range.clone()), "{range:?} is wrong");
    let bound = direct(range.len()) * 11 / 10;
    assert!(elapsed <= bound, "{range:?} took {elapsed:?} instead of {bound:?}");
}

/// Bytes from the upstream by now, beyond those of the blob.
async fn surplus(world: &World, digest: &Digest, blob: &Bytes) -> u64 {
    world.settle().await;
    assert!(world.holds(digest).await);
    world.upstream.blob_bytes() - blob.len() as u64
}

#[tokio::test(start_paused = true)]
async fn client_f1_a_small_range_of_a_cold_blob_comes_as_fast_as_without_wharf() {
    let blob = noise(20 * MIB);
    let size = blob.len();
    let mut ranges = vec!["bytes=-1".to_owned(), "bytes=-8137".to_owned(), "bytes=-65536".to_owned()];
    for (start, length) in [(size - 8137, 8137), (size - 65536, 100), (size - 1, 1)] {
        ranges.push(format!("bytes={start}-{}", start + length - 1));
    }
    for start in [70_000, 300_000, 3 * MIB, 10 * MIB, 19 * MIB] {
        ranges.push(format!("bytes={start}-{}", start + 49_999));
    }
    for range in ranges {
        let (world, digest) = world_with(&blob);
        read_at_once(&world, &digest, &blob, &range).await;
        let surplus = surplus(&world, &digest, &blob).await;
        assert!(surplus <= 65536, "{range}: {surplus} bytes came twice");
    }
}

#[tokio::test(start_paused = true)]
async fn client_f1_a_small_range_of_a_blob_on_its_way_comes_as_fast_as_without_wharf() {
    let blob = noise(20 * MIB);
    let size = blob.len();
    for range in
        [format!("bytes={}-{}", size - 9000, size - 1), "bytes=-8137".into(), "bytes=9000000-9050000".into()]
    {
        for after in [10, 400, 1_500] {
            let (world, digest) = world_with(&blob);
            let whole = async { assert!(world.pull(&digest).await.unwrap() == blob) };
            let range = async {
                tokio::time::sleep(Duration::from_millis(after)).await;
                read_at_once(&world, &digest, &blob, &range).await;
            };
            tokio::join!(whole, range);
            let surplus = surplus(&world, &digest, &blob).await;
            assert!(surplus <= 65536, "{surplus} bytes came twice");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn client_f1_an_upstream_without_suffix_ranges_is_asked_once_the_size_is_known() {
    let blob = noise(20 * MIB);
    let (world, digest) = world_with(&blob);
    world.upstream.set_manner(Manner { no_suffix: true, ..slow() });
    let (elapsed, range, body) = time_of_range(&world, &digest, "bytes=-8137").await;
    assert_eq!(body, blob.slice(range));
    assert!(elapsed <= HEAD + direct(8137) * 11 / 10, "{elapsed:?}");
    // That does not count as a refusal of all ranges.
    read_at_once(&world, &digest, &blob, "bytes=9000000-9010000").await;
}

#[tokio::test(start_paused = true)]
async fn client_f1_a_client_that_may_have_the_rest_gets_no_end_before_the_digest_is_right() {
    let blob = noise(MIB);
    let size = blob.len();
    let protected = [
        "bytes=0-".to_owned(),
        format!("bytes=0-{}", size - 1),
        format!("bytes={}-", size / 2),
        // A client that resumes where it was cut, in the middle of the tail.
        format!("bytes={}-", size - 1000),
        format!("bytes={}-{}", size - 65537, size - 1),
        "bytes=-65537".to_owned(),
        "bytes=-1048576".to_owned(),
    ];
    for range in protected {
        let (world, digest) = world_with(&blob);
        world.upstream.set_manner(Manner { flip: Some(5), ..slow() });
        let answer = world.get_range(&digest, &range).await;
        let end = match answer {
            Ok(answer) => read(answer.body.unwrap()).await.1,
            Err(error) => Err(error),
        };
        assert!(
            matches!(end, Err(PullError::DigestMismatch { .. })),
            "{range}: {:?}",
            end.map(|it| it.len())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn client_f5_dozens_of_small_ranges_in_a_row_are_fast_and_come_nearly_once() {
    let blob = noise(48 * MIB);
    let (world, digest) = world_with(&blob);
    let mut random = Rng::with_seed(1);
    read_at_once(&world, &digest, &blob, "bytes=0-1").await;
    read_at_once(&world, &digest, &blob, "bytes=-8137").await;
    for _ in 0..48 {
        let start = random.usize(0..blob.len() - 200_000);
        let length = random.usize(1..100_000);
        read_at_once(&world, &digest, &blob, &format!("bytes={start}-{}", start + length)).await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..50))).await;
    }
    let requests = world.upstream.count("GET blob");
    let surplus = surplus(&world, &digest, &blob).await;
    assert!(surplus * 25 <= blob.len() as u64, "{surplus} of {} bytes came twice", blob.len());
    assert!(requests <= 80, "{requests} requests");
}

#[tokio::test(start_paused = true)]
async fn client_f5_reading_on_in_small_ranges_takes_few_requests() {
    let blob = noise(24 * MIB);
    let (world, digest) = world_with(&blob);
    for index in 0..100 {
        let start = 12 * MIB + index * 40_000;
        let (_, range, body) =
            time_of_range(&world, &digest, &format!("bytes={start}-{}", start + 39_999)).await;
        assert!(body == blob.slice(range));
    }
    assert!(world.upstream.count("GET blob") <= 12, "{:?}", world.upstream.asked());
    let surplus = surplus(&world, &digest, &blob).await;
    assert!(surplus <= 6 * PIECE as u64, "{surplus} bytes came twice");
}

#[tokio::test(start_paused = true)]
async fn client_f5_a_far_range_goes_at_once_when_the_rate_says_that_the_front_comes_late() {
    let blob = noise(32 * MIB);
    let (world, digest) = world_with(&blob);
    let world = World::over(world.upstream.clone(), world.blobs.clone(), world.records.clone(), |settings| {
        settings.connections_per_blob_max = 1;
    });
    let whole = async { assert!(world.pull(&digest).await.unwrap() == blob) };
    let ranges = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // 1 MiB ahead: there in a quarter of a second.
        let front = PIECE * 850 / 4;
        let near = world.get_range(&digest, &format!("bytes={}-", front + MIB)).await.unwrap();
        assert_eq!(world.upstream.count("GET blob"), 1, "the front was near");
        let before = Instant::now();
        let mut far = world.get_range(&digest, &format!("bytes={}-", 20 * MIB)).await.unwrap().body.unwrap();
        assert!(next(&mut far).await.unwrap().is_ok());
        assert!(before.elapsed() <= direct(PIECE) * 11 / 10, "{:?}", before.elapsed());
        drop((near, far));
    };
    tokio::join!(whole, ranges);
    let surplus = surplus(&world, &digest, &blob).await;
    assert!(surplus <= 2 * PIECE as u64, "{surplus} bytes came twice");
}

#[tokio::test(start_paused = true)]
async fn client_f9_many_open_ranges_at_once_come_nearly_once() {
    // containerd fetches a layer in chunks like this: it requests an open range from each chunk's start, and
    // closes the connection after the chunk.
    let blob = noise(64 * MIB);
    for (pace, connections) in
        [(PACE, 1), (PACE, 4), (Duration::from_millis(1), 4), (Duration::from_millis(20), 4)]
    {
        let world = World::with(|settings| settings.connections_per_blob_max = connections);
        let digest = world.upstream.put_blob(&blob);
        world.upstream.set_manner(Manner { pace, ..slow() });
        let chunk = async |index: usize| {
            let start = index * MIB;
            let answer = world.get_range(&digest, &format!("bytes={start}-")).await.unwrap();
            let mut reader = answer.body.unwrap();
            let mut body = Vec::new();
            while body.len() < MIB {
                body.extend_from_slice(&next(&mut reader).await.unwrap().unwrap());
            }
            body[..MIB] == blob[start..start + MIB]
        };
        let chunk = &chunk;
        // 16 at a time, each followed by the chunk that lies 16 behind.
        let lane = async |first: usize| {
            for index in (first..64).step_by(16) {
                assert!(chunk(index).await, "chunk {index} is wrong");
            }
        };
        join_all((0..16).map(lane)).await;
        let surplus = surplus(&world, &digest, &blob).await;
        let bound = blob.len() as u64 / 100;
        assert!(
            surplus <= bound,
            "{pace:?}, {connections} connections: {surplus} bytes came twice: {:?}",
            world.upstream.asked()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn client_f1_a_response_after_the_blob_is_complete_delays_no_client() {
    let blob = noise(MIB);
    let world = World::new();
    let digest = world.upstream.put_blob(&blob);
    let late = Manner { head: Duration::from_secs(5), ..Manner::default() };
    world.upstream.script([Manner { pace: PACE, ..Manner::default() }, late]);
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    let mut came = next(&mut reader).await.unwrap().unwrap().len();
    let (_, range, body) = time_of_range(&world, &digest, "bytes=900000-900099").await;
    assert_eq!(body, blob.slice(range));
    world.settle().await;
    while let Some(bytes) = tokio::time::timeout(Duration::from_secs(60), next(&mut reader)).await.unwrap() {
        came += bytes.unwrap().len();
    }
    assert_eq!(came, blob.len());
}
