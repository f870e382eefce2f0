//! Clients that arrive one after the other while the disk is full.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cache::{BlobReader, PullError};
use futures_util::future::join_all;
use oci::Digest;
use storage::fs::fault::{Call, Fault};
use tokio::sync::Semaphore;

use crate::store_faults::world_on_files;
use crate::upstream::{Drip, Manner};
use crate::world::{World, next, noise, read};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[tokio::test(start_paused = true)]
async fn t13_a_client_after_the_disk_was_full_gets_the_whole_body() {
    let blob = noise(12 << 20);
    for (full_at, errno) in [(0, ENOSPC), (1 << 20, ENOSPC), (2 << 20, ENOSPC), (5 << 20, EIO)] {
        let (world, faults, _directory) = world_on_files(|settings| settings.connections_per_blob_max = 1);
        let digest = world.upstream.put_blob(&blob);
        // 4 MB/s: three seconds.
        world.upstream.set_manner(Manner { pace: Duration::from_millis(4), ..Manner::default() });
        let (world, faults, digest, blob) = (&world, &faults, &digest, &blob);
        let client = |number: u32| async move {
            tokio::time::sleep(Duration::from_millis(700) * number).await;
            let mut reader = world.get(digest).await.unwrap().body.unwrap();
            let (mut came, mut is_full) = (0, false);
            while let Some(bytes) = next(&mut reader).await {
                let bytes = bytes.unwrap_or_else(|error| {
                    panic!("full at {full_at}: client {number} was cut at {came}: {error}")
                });
                assert!(bytes == blob.slice(came..came + bytes.len()), "client {number}, wrong at {came}");
                came += bytes.len();
                if number == 0 && came >= full_at && !is_full {
                    is_full = true;
                    faults.inject(Some(Call::Write), 0, Fault::Errno(errno));
                }
            }
            assert_eq!(came, blob.len(), "full at {full_at}: client {number}");
        };
        join_all((0..4).map(client)).await;
        assert!(!faults.is_pending());
        world.settle().await;
        assert!(!world.holds(digest).await);
    }
}

#[tokio::test(start_paused = true)]
async fn t25_with_a_full_disk_a_single_slow_reader_takes_little_memory_and_keeps_its_body() {
    let (world, faults, _directory) = world_on_files(|_| {});
    faults.inject(None, 0, Fault::Stop);
    let blobs: Vec<_> = (0..6).map(|number| noise((3 << 20) + number)).collect();
    let mut readers = Vec::new();
    for blob in &blobs {
        let digest = world.upstream.put_blob(blob);
        readers.push(world.get(&digest).await.unwrap().body.unwrap());
    }
    // No read for longer than a reader may delay others.
    tokio::time::sleep(Duration::from_secs(40)).await;
    let taken = world.memory.windows.taken();
    assert!(taken > 0 && taken <= 6 * 512 * 1024, "{taken}");
    for (reader, blob) in readers.into_iter().zip(&blobs) {
        assert!(read(reader).await.1.is_ok_and(|body| body == *blob));
    }
    world.settle().await;
    assert_eq!(world.memory.windows.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn t25_a_window_that_cannot_grow_drops_its_oldest_chunk() {
    let (world, faults, _directory) = world_on_files(|_| {});
    faults.inject(None, 0, Fault::Stop);
    let all = world.memory.windows.take(world.memory.windows.bytes_max()).unwrap();
    let blob = noise(3 << 20);
    let digest = world.upstream.put_blob(&blob);
    let stuck = world.get(&digest).await.unwrap().body.unwrap();
    let lively = world.get(&digest).await.unwrap().body.unwrap();
    assert!(read(lively).await.1.is_ok_and(|body| body == blob));
    let beyond = world.memory.windows.taken() - all.bytes();
    assert!(beyond <= 512 * 1024, "{beyond}");
    assert!(read(stuck).await.1.is_ok_and(|body| body == blob), "the rest comes on a passage of its own");
}

/// Reads at least `length` bytes.
async fn read_some(reader: &mut BlobReader, length: usize) -> BytesMut {
    let mut came = BytesMut::new();
    while came.len() < length {
        came.extend_from_slice(&next(reader).await.unwrap().unwrap());
    }
    came
}

/// A reader over `range` that has read `before` bytes when another one reaches the end and the window has
/// passed it. Returns the bytes that it has read.
async fn passed_by(world: &World, digest: &Digest, range: &str, before: usize) -> (BytesMut, BlobReader) {
    // It starts first, so that the window begins at its position.
    let lively = world.get(digest).await.unwrap().body.unwrap();
    let mut slow = world.get_range(digest, range).await.unwrap().body.unwrap();
    let came = read_some(&mut slow, before).await;
    assert!(read(lively).await.1.is_ok());
    (came, slow)
}

/// All received bytes, if the end was clean.
async fn read_on(mut came: BytesMut, reader: BlobReader) -> Result<Bytes, PullError> {
    came.extend_from_slice(&read(reader).await.1?);
    Ok(came.freeze())
}

#[tokio::test(start_paused = true)]
async fn t13_a_reader_that_the_window_has_passed_gets_the_rest_on_its_own_passage() {
    let blob = noise(30 << 20);
    let ranges = [
        ("bytes=0-", 0..blob.len()),
        ("bytes=1000-", 1000..blob.len()),
        ("bytes=5000000-", 5_000_000..blob.len()),
        ("bytes=1000-29999999", 1000..30_000_000),
    ];
    for full_at in [0, 64] {
        for (range, bytes) in &ranges {
            for before in [0, 3 << 20] {
                let (world, faults, _directory) =
                    world_on_files(|settings| settings.connections_per_blob_max = 1);
                let digest = world.upstream.put_blob(&blob);
                world.upstream.set_manner(Manner { pace: Duration::from_micros(100), ..Manner::default() });
                match full_at {
                    0 => faults.inject(None, 0, Fault::Stop),
                    writes => faults.inject(Some(Call::Write), writes, Fault::Errno(ENOSPC)),
                }
                let (came, slow) = passed_by(&world, &digest, range, before).await;
                let body = read_on(came, slow).await;
                let body =
                    body.unwrap_or_else(|error| panic!("{range}, full at {full_at}, {before}: {error}"));
                assert!(body == blob.slice(bytes.clone()), "{range}, full at {full_at}, {before}");
                let count = world.upstream.count("GET blob");
                assert!(count <= 3, "{count}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t13_the_rest_is_verified_too_where_the_body_comes_in_small_pieces() {
    let blob = noise(12 << 20);
    for (range, start) in [("bytes=0-", 0), ("bytes=1048777-", 1_048_777)] {
        for flip in [None, Some(11 << 20)] {
            let (world, faults, _directory) = world_on_files(|_| {});
            let digest = world.upstream.put_blob(&blob);
            faults.inject(None, 0, Fault::Stop);
            let drip = Drip { after: 1 << 20, piece: 1000, pace: Duration::from_micros(100) };
            world.upstream.script([Manner { drip: Some(drip), ..Manner::default() }]);
            world.upstream.set_manner(Manner { flip, ..Manner::default() });
            let (came, slow) = passed_by(&world, &digest, range, 2_000_500).await;
            assert_eq!(world.upstream.count("GET blob"), 1);
            let body = read_on(came, slow).await;
            assert_eq!(body.ok().map(|body| body == blob.slice(start..)), flip.is_none().then_some(true));
            assert_eq!(world.upstream.count("GET blob"), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t13_wrong_bytes_on_a_passage_of_the_rest_never_make_a_whole_body() {
    let blob = noise(30 << 20);
    for (before, range) in [(0, "bytes=0-"), (1 << 20, "bytes=0-"), (1 << 20, "bytes=1000-")] {
        for flip in [20 << 20, blob.len() - 1] {
            let (world, faults, _directory) = world_on_files(|_| {});
            let digest = world.upstream.put_blob(&blob);
            faults.inject(None, 0, Fault::Stop);
            let (came, slow) = passed_by(&world, &digest, range, before).await;
            world.upstream.set_manner(Manner { flip: Some(flip), ..Manner::default() });
            let body = read_on(came, slow).await;
            assert!(
                matches!(body, Err(PullError::DigestMismatch { .. })),
                "{:?}",
                body.map(|body| body.len())
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t13_an_upstream_that_ignores_ranges_gives_the_rest_too_and_one_that_cuts_it_makes_no_whole_body() {
    let blob = noise(30 << 20);
    for is_cut in [false, true] {
        let (world, faults, _directory) = world_on_files(|_| {});
        let digest = world.upstream.put_blob(&blob);
        faults.inject(None, 0, Fault::Stop);
        let (came, slow) = passed_by(&world, &digest, "bytes=0-", 1 << 20).await;
        let end_at = is_cut.then_some(blob.len() - 1);
        world.upstream.set_manner(Manner { ignore_range: true, end_at, ..Manner::default() });
        let body = read_on(came, slow).await;
        assert_eq!(body.ok().map(|body| body == blob), (!is_cut).then_some(true));
    }
}

#[tokio::test(start_paused = true)]
async fn t13_without_a_permit_the_reader_that_the_window_has_passed_gets_an_error() {
    let blob = noise(30 << 20);
    let (world, faults, _directory) = world_on_files(|settings| settings.asking_count_max = 1);
    let digest = world.upstream.put_blob(&blob);
    faults.inject(None, 0, Fault::Stop);
    let (came, slow) = passed_by(&world, &digest, "bytes=0-", 1 << 20).await;
    world.settle().await;
    let others = world.upstream.put_blob(&noise(2 << 20));
    // It keeps the only permit, and has a reader.
    let _other = world.get(&others).await.unwrap().body.unwrap();
    let body = read_on(came, slow).await;
    let told = body.expect_err("there is no place").to_string();
    assert!(told.contains("too many"), "{told}");
}

/// Pulls the blob with a pause after each piece.
async fn pull_with_pauses(world: &World, digest: &Digest, blob: &Bytes, pause: Duration) {
    let mut reader = world.get(digest).await.unwrap().body.unwrap();
    let mut came = BytesMut::new();
    while let Some(bytes) = next(&mut reader).await {
        came.extend_from_slice(&bytes.unwrap());
        tokio::time::sleep(pause).await;
    }
    assert!(came == *blob);
}

#[tokio::test(start_paused = true)]
async fn t04_with_a_full_disk_a_slow_reader_does_not_slow_the_others() {
    let blob = noise(30 << 20);
    for slow_count in [1, 3] {
        let (world, faults, _directory) = world_on_files(|_| {});
        let digest = world.upstream.put_blob(&blob);
        world.upstream.set_manner(Manner { pace: Duration::from_micros(100), ..Manner::default() });
        faults.inject(None, 0, Fault::Stop);
        let (world, digest, blob) = (&world, &digest, &blob);
        let slow = |_| pull_with_pauses(world, digest, blob, Duration::from_secs(9));
        let fast = async {
            let reader = world.get(digest).await.unwrap().body.unwrap();
            let began = tokio::time::Instant::now();
            assert!(read(reader).await.1.is_ok_and(|body| body == *blob));
            // Alone it takes 4 s.
            assert!(began.elapsed() < Duration::from_secs(16), "{slow_count}: {:?}", began.elapsed());
        };
        tokio::join!(fast, join_all((0..slow_count).map(slow)));
        assert_eq!(world.upstream.count("GET blob"), 1 + slow_count);
    }
}

#[tokio::test(start_paused = true)]
async fn t04_readers_of_the_same_pace_share_one_transfer_however_slow_they_are() {
    let blob = noise(12 << 20);
    let (world, faults, _directory) = world_on_files(|_| {});
    let digest = world.upstream.put_blob(&blob);
    faults.inject(None, 0, Fault::Stop);
    let (world, digest, blob) = (&world, &digest, &blob);
    let slow = |_| pull_with_pauses(world, digest, blob, Duration::from_secs(1));
    join_all((0..3).map(slow)).await;
    assert_eq!(world.upstream.count("GET blob"), 1);
}

#[tokio::test(start_paused = true)]
async fn t04_a_slow_reader_alone_gets_its_body_whole_where_the_transfer_tells_no_size() {
    let blob = noise(12 << 20);
    let (world, faults, _directory) = world_on_files(|_| {});
    let digest = world.upstream.put_blob(&blob);
    world.upstream.set_manner(Manner { no_size: true, ..Manner::default() });
    faults.inject(None, 0, Fault::Stop);
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    let mut came = BytesMut::new();
    while let Some(bytes) = next(&mut reader).await {
        came.extend_from_slice(&bytes.unwrap());
        tokio::time::sleep(Duration::from_secs(9)).await;
    }
    assert!(came == blob);
}

#[tokio::test(start_paused = true)]
async fn t05_bytes_that_wait_for_a_hanging_disk_are_bounded_in_all() {
    let (world, faults, _directory) = world_on_files(|_| {});
    let gate = Arc::new(Semaphore::new(0));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let blobs: Vec<_> = (0..48).map(|number| noise((1 << 20) + number)).collect();
    let digests: Vec<_> = blobs.iter().map(|blob| world.upstream.put_blob(blob)).collect();
    let answers = join_all(digests.iter().map(|digest| world.get(digest))).await;
    let readers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().body.unwrap()).collect();
    let hold = faults.hold(Call::Write);
    gate.add_permits(1_000_000);
    let batches = &world.memory.batches;
    let mut most = 0;
    // Each transfer takes one chunk at a time while it may.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        most = most.max(batches.taken());
    }
    let beyond = most.saturating_sub(batches.bytes_max());
    assert!(most > 64 * 1024, "nothing waits: {most}");
    assert!(beyond <= 48 * (2 * 64 + 64) * 1024, "{most} of {}", batches.bytes_max());
    drop(hold);
    for (reader, blob) in readers.into_iter().zip(&blobs) {
        assert!(read(reader).await.1.unwrap() == *blob);
    }
    world.settle().await;
    assert_eq!(batches.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn t05_a_transfer_goes_on_while_the_batches_of_others_take_all_the_memory() {
    let (world, _faults, _directory) = world_on_files(|_| {});
    let _all = world.memory.batches.take(world.memory.batches.bytes_max()).unwrap();
    let blob = noise(3 << 20);
    let digest = world.upstream.put_blob(&blob);
    assert!(world.pull(&digest).await.is_ok_and(|body| body == blob));
    world.settle().await;
    assert!(world.holds(&digest).await);
}

#[tokio::test(start_paused = true)]
async fn f36_the_time_that_a_disk_hangs_is_not_the_upstream_s() {
    let (world, faults, _directory) = world_on_files(|settings| settings.connections_per_blob_max = 1);
    let blob = noise(4 << 20);
    let digest = world.upstream.put_blob(&blob);
    let pace = Duration::from_millis(5);
    world.upstream.set_manner(Manner { pace, ..Manner::default() });
    let reader = world.get(&digest).await.unwrap().body.unwrap();
    let hold = faults.hold(Call::Write);
    let batches = &world.memory.batches;
    let mut waiting = 0;
    while batches.taken() > waiting || waiting < 1 << 20 {
        waiting = batches.taken();
        for _ in 0..4 {
            tokio::time::advance(pace).await;
        }
    }
    for _ in 0..8 {
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    drop(hold);
    assert!(read(reader).await.1.unwrap() == blob);
    assert_eq!(world.upstream.count("GET blob"), 1);
}
