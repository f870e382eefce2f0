//! Ranges of stored, growing and cold blobs.

use std::sync::Arc;
use std::time::Duration;

use cache::{Outcome, PullError};
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use crate::upstream::Manner;
use crate::world::{World, next, noise, read, repository};

/// Ranges, each with the number of requests on a cold blob: a small one far ahead is requested in addition to
/// the blob.
const RANGES: &[(&str, std::ops::Range<usize>, usize)] = &[
    ("bytes=0-", 0..1_000_000, 1),
    ("bytes=500000-", 500_000..1_000_000, 1),
    ("bytes=10-19", 10..20, 1),
    ("bytes=999999-", 999_999..1_000_000, 1),
    ("bytes=500000-500009", 500_000..500_010, 2),
    ("bytes=-5", 999_995..1_000_000, 2),
    ("bytes=-2000000", 0..1_000_000, 1),
];

#[tokio::test(start_paused = true)]
async fn ranges_are_right_on_cold_and_on_stored_blobs() {
    let blob = noise(1_000_000);
    for (header, expected, requests) in RANGES {
        let world = World::new();
        let digest = world.upstream.put_blob(&blob);
        for outcome in [Outcome::Miss, Outcome::Hit] {
            let answer = world.get_range(&digest, header).await.unwrap();
            assert_eq!((answer.outcome, answer.partial, answer.size), (outcome, true, Some(1_000_000)));
            assert_eq!(answer.range.start..answer.range.end, expected.start as u64..expected.end as u64);
            let body = read(answer.body.unwrap()).await.1.unwrap();
            assert_eq!(body, blob.slice(expected.clone()), "{header} {outcome:?}");
            world.settle().await;
        }
        assert_eq!(world.upstream.count("GET blob"), *requests, "{header}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_range_past_the_end_tells_the_size() {
    let world = World::new();
    let digest = world.upstream.put_blob(&noise(1_000_000));
    for _ in 0..2 {
        let answer = world.get_range(&digest, "bytes=1000000-").await.map(|_| ());
        assert_eq!(answer, Err(PullError::RangeNotSatisfiable { size: 1_000_000 }));
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn f28_clients_that_ask_for_chunks_and_hang_up_share_one_transfer() {
    let world = World::new();
    let blob = noise(16 << 20);
    let digest = world.upstream.put_blob(&blob);
    let chunk = async |index: usize| {
        let start = index << 20;
        let answer = world.get_range(&digest, &format!("bytes={start}-")).await.unwrap();
        let mut reader = answer.body.unwrap();
        let mut body = Vec::new();
        while body.len() < 1 << 20 {
            body.extend_from_slice(&next(&mut reader).await.unwrap().unwrap());
        }
        body[..1 << 20] == blob[start..start + (1 << 20)]
    };
    assert!(join_all((0..16).map(chunk)).await.into_iter().all(|is_right| is_right));
    world.settle().await;
    assert!(world.holds(&digest).await);
    assert_eq!(world.upstream.count("GET blob"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_far_range_does_not_wait_for_the_front_and_no_byte_comes_twice() {
    let world = World::new();
    let blob = noise(32 << 20);
    let digest = world.upstream.put_blob(&blob);
    let gate = Arc::new(Semaphore::new(4));
    world.upstream.script([Manner { gate: Some(gate.clone()), ..Manner::default() }]);
    let front = world.get(&digest).await.unwrap().body.unwrap();
    let before = tokio::time::Instant::now();
    let far = world.get_range(&digest, "bytes=20000000-20000099").await.unwrap();
    assert_eq!(world.upstream.count("GET blob"), 2, "the answer begins with its first byte");
    assert_eq!(read(far.body.unwrap()).await.1.unwrap(), blob.slice(20_000_000..20_000_100));
    assert!(before.elapsed() < Duration::from_secs(5), "a lazy client gives up then");
    assert_eq!(world.upstream.count("GET blob"), 2);
    gate.add_permits(100_000);
    assert_eq!(read(front).await.1.unwrap(), blob);
    world.settle().await;
    assert!(world.holds(&digest).await);
    let surplus = world.upstream.blob_bytes() - blob.len() as u64;
    assert!(surplus <= 2 * crate::upstream::PIECE as u64, "{surplus} bytes came twice");
}

#[tokio::test(start_paused = true)]
async fn many_far_ranges_stay_within_the_bound_of_transfers() {
    let world = World::with(|settings| settings.connections_per_blob_max = 1);
    let blob = noise(32 << 20);
    let digest = world.upstream.put_blob(&blob);
    let gate = Arc::new(Semaphore::new(0));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let front = world.get(&digest).await.unwrap().body.unwrap();
    let ranges = (1..20).map(|index| format!("bytes={}-{}", index * 1_600_000, index * 1_600_000 + 9));
    let ask = async |range: String| world.get_range(&digest, &range).await.unwrap();
    let readers = join_all(ranges.map(ask)).await;
    let release = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(world.upstream.count("GET blob") <= 4);
        gate.add_permits(1_000_000);
    };
    let bodies = join_all(readers.into_iter().map(|answer| async move {
        let start = answer.range.start as usize;
        (start, read(answer.body.unwrap()).await.1.unwrap())
    }));
    let (bodies, whole, ()) = tokio::join!(bodies, read(front), release);
    assert_eq!(whole.1.unwrap(), blob);
    assert!(bodies.iter().all(|(start, body)| *body == blob.slice(*start..*start + 10)));
    world.settle().await;
    assert!(world.holds(&digest).await);
}

/// No client gets a byte of it before all of it is verified, so a separate range would not be faster.
#[tokio::test(start_paused = true)]
async fn client_f1_ranges_of_a_blob_that_is_verified_first_cost_no_request_and_no_byte() {
    for is_named in [false, true] {
        let world = World::new();
        let blob = noise(200_000);
        let digest = world.upstream.put_blob(&blob);
        world.upstream.set_manner(Manner { pace: Duration::from_millis(10), ..Manner::default() });
        if is_named {
            // Its size is known before it is requested.
            let text = format!(
                "{{\"schemaVersion\":2,\"config\":{{\"mediaType\":\
                 \"application/vnd.oci.image.config.v1+json\",\"digest\":\"{digest}\",\"size\":200000}},\
                 \"layers\":[]}}"
            );
            world.upstream.put_manifest(&repository(), "1", &text);
            let reference: oci::Reference = "1".parse().unwrap();
            world.backend.pull_manifest(&repository(), &reference, cache::Want::Get).await.unwrap();
        }
        let whole = async { if is_named { Ok(blob.clone()) } else { world.pull(&digest).await } };
        let ranges = async {
            if !is_named {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            let headers = ["bytes=150000-199999", "bytes=90000-", "bytes=-1000", "bytes=120000-120009"];
            join_all(headers.iter().map(|range| world.get_range(&digest, range))).await
        };
        let (whole, ranges) = tokio::join!(whole, ranges);
        assert!(whole.unwrap() == blob);
        assert!(ranges.iter().all(Result::is_ok), "{ranges:?}");
        world.settle().await;
        assert_eq!(world.upstream.count("GET blob"), 1, "{is_named}: {:?}", world.upstream.asked());
        assert_eq!(world.upstream.blob_bytes(), 200_000);
    }
}
