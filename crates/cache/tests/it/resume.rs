//! Bytes that several connections fetched before a fill ended are not fetched again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cache::Outcome;
use storage::fs::FsStore;
use tokio::sync::Semaphore;
use upstream::ErrorKind;

use crate::store_faults::{world_collecting, world_on_files};
use crate::upstream::{Manner, MemoryUpstream, PIECE};
use crate::world::{World, noise};

const MIB: usize = 1 << 20;
const SIZE: usize = 32 * MIB;

/// More bytes than four connections have in flight at any moment.
const ON_ITS_WAY: u64 = 8 * PIECE as u64;

fn slow() -> Manner {
    Manner { pace: Duration::from_millis(10), ..Manner::default() }
}

/// Waits until `bytes` bytes were received, with parts ahead of the front.
async fn fetch_until(world: &World, bytes: usize) {
    let enough = async {
        while world.upstream.blob_bytes() < bytes as u64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), enough).await.expect("the bytes come");
    assert!(world.upstream.count("GET blob") > 4, "several connections");
}

fn surplus(upstream: &MemoryUpstream) -> u64 {
    upstream.blob_bytes() - SIZE as u64
}

#[tokio::test(start_paused = true)]
async fn t09_a_stop_in_the_middle_of_several_connections_costs_what_was_on_its_way() {
    for on_files in [false, true] {
        let blob = noise(SIZE);
        let (files, _faults, _directory) = world_on_files(|_| {});
        let world = if on_files { files } else { World::new() };
        let digest = world.upstream.put_blob(&blob);
        world.upstream.set_manner(slow());
        let client = world.get(&digest).await.unwrap();
        fetch_until(&world, SIZE / 2).await;
        world.cancel.cancel();
        world.settle().await;
        drop(client);

        let restarted = world.restarted();
        assert!(restarted.pull(&digest).await.unwrap() == blob);
        restarted.settle().await;
        assert!(restarted.holds(&digest).await);
        let surplus = surplus(&restarted.upstream);
        assert!(surplus <= ON_ITS_WAY, "{surplus} bytes came twice, on files: {on_files}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn open(root: &Path) -> Arc<FsStore> {
    let metrics = telemetry::Metrics::new(&["memory.test".to_owned()]).registry("memory.test");
    Arc::new(storage::fs::open(root, metrics).unwrap())
}

/// Dropping a runtime ends its tasks at any point.
#[test]
fn t09_a_kill_in_the_middle_of_several_connections_costs_two_percent_and_what_was_on_its_way() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let (blob, upstream) = (noise(SIZE), Arc::new(MemoryUpstream::default()));
    let digest = upstream.put_blob(&blob);
    upstream.set_manner(slow());
    for at in [SIZE / 4, SIZE / 2, SIZE * 4 / 5] {
        runtime().block_on(async {
            let store = open(&root);
            let world = World::over(upstream.clone(), store.clone(), store, |_| {});
            let _client = world.get(&digest).await.unwrap();
            fetch_until(&world, at).await;
        });
    }
    runtime().block_on(async {
        let store = open(&root);
        let world = World::over(upstream.clone(), store.clone(), store, |_| {});
        assert!(world.pull(&digest).await.unwrap() == blob);
        world.settle().await;
        assert!(world.holds(&digest).await);
    });
    let surplus = surplus(&upstream);
    assert!(surplus <= 3 * (SIZE as u64 / 50 + ON_ITS_WAY), "{surplus} bytes came twice in three kills");
}

#[tokio::test(start_paused = true)]
async fn t10_a_broken_transfer_is_resumed_beside_a_client_that_does_not_read() {
    for on_files in [false, true] {
        let blob = noise(SIZE);
        let (files, _faults, _directory) = world_on_files(|_| {});
        let world = if on_files { files } else { World::new() };
        let digest = world.upstream.put_blob(&blob);
        let gate = Arc::new(Semaphore::new(SIZE / PIECE * 3 / 4));
        world.upstream.set_manner(Manner { gate: Some(gate), ..slow() });
        let stuck = world.get(&digest).await.unwrap();
        fetch_until(&world, SIZE * 3 / 4 - 16 * PIECE).await;
        world.upstream.set_down(Some(ErrorKind::Unreachable));
        world.settle().await;
        assert!(!world.holds(&digest).await);

        world.upstream.set_down(None);
        world.upstream.set_manner(slow());
        assert!(world.pull(&digest).await.unwrap() == blob);
        world.settle().await;
        assert_eq!(stuck.outcome, Outcome::Miss);
        let surplus = surplus(&world.upstream);
        assert!(surplus <= ON_ITS_WAY, "{surplus} bytes came twice, on files: {on_files}");
    }
}

#[tokio::test(start_paused = true)]
async fn t09_an_upstream_that_gives_no_ranges_any_more_is_asked_for_the_whole_once() {
    for no_size in [false, true] {
        let world = World::new();
        let blob = noise(SIZE);
        let digest = world.upstream.put_blob(&blob);
        world.upstream.set_manner(slow());
        let client = world.get(&digest).await.unwrap();
        fetch_until(&world, SIZE / 2).await;
        world.cancel.cancel();
        world.settle().await;
        drop(client);

        let before = world.upstream.blob_bytes();
        let restarted = world.restarted();
        restarted.upstream.set_manner(Manner { ignore_range: true, no_size, ..slow() });
        assert!(restarted.pull(&digest).await.unwrap() == blob);
        restarted.settle().await;
        assert!(restarted.holds(&digest).await);
        assert_eq!(restarted.upstream.blob_bytes() - before, SIZE as u64);
    }
}

/// Each hole is requested alone, without the bytes after it.
#[tokio::test(start_paused = true)]
async fn t09_a_hole_is_asked_for_to_its_end() {
    for no_size in [false, true] {
        let world = World::with(|settings| settings.connections_per_blob_max = 1);
        let blob = noise(SIZE);
        let digest = world.upstream.put_blob(&blob);
        let spool = world.blobs.spool(&digest).await.unwrap();
        spool.set_size(SIZE as u64).unwrap();
        for start in [0, 20 * MIB, SIZE - MIB] {
            spool.write(start as u64, vec![blob.slice(start..start + MIB)]).await.unwrap();
        }
        drop(spool);
        world.upstream.set_manner(Manner { no_size, ..Manner::default() });
        assert!(world.pull(&digest).await.unwrap() == blob);
        assert_eq!(world.upstream.blob_bytes(), (SIZE - 3 * MIB) as u64, "{:?}", world.upstream.asked());
        assert_eq!(world.upstream.count("GET blob"), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_a_client_has_got_whole_is_in_the_store_after_a_stop() {
    // Half of them are small blobs that are collected in memory.
    for round in 0..8 {
        let (world, _, _directory) = world_collecting(1 << 20, |_| {});
        let blob = noise(if round % 2 == 0 { 4096 } else { MIB } + round);
        let digest = world.upstream.put_blob(&blob);
        assert_eq!(world.pull(&digest).await.unwrap(), blob);
        world.cancel.cancel();
        world.settle().await;
        assert!(world.holds(&digest).await, "round {round}");
    }
}
