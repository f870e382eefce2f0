//! Clients who come one after the other while the disk is full.

use std::time::Duration;

use futures_util::future::join_all;
use storage::fs::fault::{Call, Fault};

use crate::store_faults::world_on_files;
use crate::upstream::Manner;
use crate::world::{next, noise, read};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[tokio::test(start_paused = true)]
async fn t13_whoever_comes_after_the_disk_was_full_gets_the_whole_body() {
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
async fn t25_with_a_full_disk_a_slow_reader_of_a_blob_of_its_own_holds_little_and_is_waited_for() {
    let (world, faults, _directory) = world_on_files(|_| {});
    faults.inject(None, 0, Fault::Stop);
    let blobs: Vec<_> = (0..6).map(|number| noise((3 << 20) + number)).collect();
    let mut readers = Vec::new();
    for blob in &blobs {
        let digest = world.upstream.put_blob(blob);
        readers.push(world.get(&digest).await.unwrap().body.unwrap());
    }
    // Nobody reads, longer than a reader is waited for that holds others up.
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
async fn t25_a_window_that_cannot_grow_gives_its_oldest_chunk_up() {
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
    assert!(read(stuck).await.1.is_err(), "it must ask again, and must not take a part for the whole");
}
