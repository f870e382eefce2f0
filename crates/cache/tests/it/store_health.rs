//! A store that cannot be written is noticed within half a minute, and its recovery within seconds.

use std::sync::Arc;
use std::time::Duration;

use cache::WriteTrouble;
use storage::fs::fault::{Call, Faults};
use storage::{MemoryStore, Operation, Store, StoreErrorKind};
use tokio_util::sync::CancellationToken;

use crate::world::{World, noise};

fn watch(world: &World, store: Arc<dyn Store>) -> CancellationToken {
    let stop = CancellationToken::new();
    let (health, metrics) = (world.backend.store_health().clone(), world.backend.metrics().clone());
    tokio::spawn(health.watch("memory.test".to_owned(), store, metrics, stop.clone()));
    stop
}

/// Waits until the trouble is as expected, for these seconds at the most.
async fn wait_for(world: &World, expected: Option<WriteTrouble>, seconds: usize) {
    for _ in 0..=seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if world.backend.store_health().trouble() == expected {
            return;
        }
    }
    panic!("it is {:?} and not {expected:?}", world.backend.store_health().trouble());
}

const WRITABLE: &str = "wharf_store_writable{registry=\"memory.test\"} 1";
const UNWRITABLE: &str = "wharf_store_writable{registry=\"memory.test\"} 0";

#[tokio::test(start_paused = true)]
async fn each_reason_is_told_and_the_recovery_is_noticed() {
    let cases = [
        (StoreErrorKind::Full, WriteTrouble::Full),
        (StoreErrorKind::ReadOnly, WriteTrouble::ReadOnly),
        (StoreErrorKind::Denied, WriteTrouble::Denied),
        (StoreErrorKind::MissingRoot, WriteTrouble::Gone),
        (StoreErrorKind::Io, WriteTrouble::Fails),
    ];
    let store = MemoryStore::new();
    let world = World::evicting(Arc::new(store.clone()), |_| {});
    let blob = noise(5_000);
    let digest = world.upstream.put_blob(&blob);
    world.pull(&digest).await.unwrap();
    world.settle().await;
    assert!(!world.metrics_text().contains("wharf_store_writable"), "not tried yet");
    let stop = watch(&world, Arc::new(store.clone()));
    wait_for(&world, None, 1).await;
    assert!(world.metrics_text().contains(WRITABLE));
    for (kind, trouble) in cases {
        store.fail(Operation::TryWrite, 0, kind);
        wait_for(&world, Some(trouble), 30).await;
        assert!(world.metrics_text().contains(UNWRITABLE));
        assert_eq!(world.pull(&digest).await.unwrap(), blob, "hits are served");
        wait_for(&world, None, 5).await;
        assert!(world.metrics_text().contains(WRITABLE));
    }
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_end_is_trouble_and_not_repeated_until_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let world = World::new();
    let store = storage::fs::Settings::default();
    let root = directory.path().join("root");
    let store = store.open_with(&root, world.backend.metrics().clone(), faults.clone(), None).unwrap();
    let hold = faults.hold(Call::Write);
    let stop = watch(&world, Arc::new(store));
    while hold.held_count() == 0 {
        tokio::task::yield_now().await;
    }
    // Time stands still while a job runs.
    tokio::time::advance(Duration::from_secs(31)).await;
    while world.backend.store_health().trouble().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.backend.store_health().trouble(), Some(WriteTrouble::Hangs));
    tokio::time::advance(Duration::from_secs(600)).await;
    tokio::task::yield_now().await;
    assert_eq!(hold.held_count(), 1);
    drop(hold);
    while world.backend.store_health().trouble().is_some() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
}
