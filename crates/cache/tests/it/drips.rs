//! Connections that drip or become silent beside fast ones: no blob waits for the slowest of them.

use std::time::Duration;

use bytes::Bytes;
use oci::Digest;
use tokio::time::Instant;
use upstream::ErrorKind;

use crate::upstream::{Drip, Manner, PIECE};
use crate::world::{World, next, noise, read};

const MIB: usize = 1 << 20;

/// 1.6 MB/s for each connection.
const PACE: Duration = Duration::from_millis(10);

fn well() -> Manner {
    Manner { pace: PACE, head: Duration::from_millis(30), ..Manner::default() }
}

/// All ways in which a response stalls without ending.
fn ill() -> Vec<(String, Manner)> {
    let drips = [
        ("2 KiB/s", 512, Duration::from_millis(250)),
        ("a byte a second", 1, Duration::from_secs(1)),
        // The HTTP client ends a body after this silence.
        ("silence", 0, Duration::from_secs(30)),
    ];
    let mut manners = Vec::new();
    for (name, piece, pace) in drips {
        for after in [0, 300_000] {
            let drip = Some(Drip { after, piece, pace });
            manners.push((format!("{name} after {after} bytes"), Manner { drip, ..well() }));
        }
    }
    let mute = Manner { head: Duration::from_secs(10), refuse: Some(ErrorKind::Interrupted), ..well() };
    manners.push(("no head".to_owned(), mute));
    manners
}

fn world(connections_per_blob_max: usize, blob: &Bytes) -> (World, Digest) {
    let world = World::with(|settings| settings.connections_per_blob_max = connections_per_blob_max);
    let digest = world.upstream.put_blob(blob);
    world.upstream.set_manner(well());
    (world, digest)
}

/// Pulls the whole blob. Returns the time and the number of bytes that were fetched twice.
async fn pull(world: &World, digest: &Digest, blob: &Bytes) -> (Duration, u64) {
    let before = Instant::now();
    let body = world.pull(digest).await;
    assert!(body.as_ref().is_ok_and(|body| body == blob), "{:?}", body.err());
    let elapsed = before.elapsed();
    world.settle().await;
    assert!(world.holds(digest).await);
    (elapsed, world.upstream.blob_bytes() - blob.len() as u64)
}

#[tokio::test(start_paused = true)]
async fn t24_one_dripping_response_of_several_less_than_doubles_the_time() {
    for (length, answers) in [(16 * MIB, [0, 1, 2, 4].as_slice()), (40 * MIB, &[1])] {
        let blob = noise(length);
        let (without, _) = {
            let (world, digest) = world(4, &blob);
            pull(&world, &digest, &blob).await
        };
        for (name, manner) in ill() {
            // The front, the first part, which is on trial, and later ones.
            for nth in answers {
                if *nth == 0 && manner.refuse.is_some() {
                    // Without a first head the size is unknown, so the blob is not shared.
                    continue;
                }
                let (world, digest) = world(4, &blob);
                world.upstream.script((0..*nth).map(|_| well()));
                world.upstream.script([manner.clone()]);
                let (elapsed, surplus) = pull(&world, &digest, &blob).await;
                let what =
                    format!("{length} bytes, answer {nth}: {name}: {elapsed:?} instead of {without:?}");
                assert!(elapsed <= without * 2, "{what}");
                assert!(surplus <= 3 * PIECE as u64, "{what}, {surplus} bytes came twice");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t24_a_dripping_far_transfer_without_readers_delays_no_reader() {
    let blob = noise(24 * MIB);
    for connections in [1, 4] {
        let (without, _) = {
            let (world, digest) = world(connections, &blob);
            pull(&world, &digest, &blob).await
        };
        for (name, manner) in ill() {
            let (world, digest) = world(connections, &blob);
            world.upstream.script([well(), manner]);
            let before = Instant::now();
            let far = world.get_range(&digest, &format!("bytes={}-", 15 * MIB)).await;
            drop(far);
            let (_, surplus) = pull(&world, &digest, &blob).await;
            let elapsed = before.elapsed();
            let what = format!("{connections} connections: {name}: {elapsed:?} instead of {without:?}");
            assert!(elapsed <= without * 2, "{what}");
            // While no range was complete, the first connection passes over the bytes of a slow one.
            let passed = if connections == 1 { 303_000 } else { 0 };
            assert!(surplus <= 3 * PIECE as u64 + passed, "{what}, {surplus} bytes came twice");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t24_a_reader_in_order_is_not_delayed_by_a_dripping_part() {
    let blob = noise(32 * MIB);
    for (name, manner) in ill() {
        let (world, digest) = world(4, &blob);
        world.upstream.script([well(), manner, well(), well(), well(), well()]);
        let mut reader = world.get(&digest).await.unwrap().body.unwrap();
        let (mut came, mut at, mut longest) = (0, Instant::now(), Duration::ZERO);
        while let Some(bytes) = next(&mut reader).await {
            came += bytes.unwrap().len();
            longest = longest.max(at.elapsed());
            at = Instant::now();
        }
        assert_eq!(came, blob.len());
        assert!(longest < Duration::from_secs(4), "{name}: {longest:?} without a byte");
    }
}

#[tokio::test(start_paused = true)]
async fn t24_an_upstream_that_drips_everywhere_gets_no_endless_requests() {
    let blob = noise(8 * MIB);
    let (world, digest) = world(4, &blob);
    let drip = Drip { after: 100_000, piece: 16 * 1024, pace: Duration::from_secs(1) };
    world.upstream.set_manner(Manner { drip: Some(drip), ..well() });
    let answer = world.get(&digest).await.unwrap();
    let (came, _) = tokio::time::timeout(Duration::from_secs(60), read(answer.body.unwrap()))
        .await
        .unwrap_or((0, Ok(Bytes::new())));
    assert_eq!(came, 0, "it is far from over");
    assert!(world.upstream.count("GET blob") <= 6, "{:?}", world.upstream.asked());
}
