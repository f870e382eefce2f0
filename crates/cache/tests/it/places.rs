//! Places for those who need the upstream: few of them here, so that they run out.

use std::sync::Arc;
use std::time::Duration;

use cache::{BlobReader, Bounds, Outcome, PullError, Want};
use futures_util::future::join_all;
use oci::{Digest, Reference};
use storage::MemoryStore;
use tokio::sync::Semaphore;
use upstream::ErrorKind;

use crate::upstream::{Manner, PIECE};
use crate::world::{World, next, noise, read, repository};

const MANIFEST: &str = concat!(
    r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","#,
    r#""digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":"#,
    r#"0},"layers":[]}"#,
);

const MIB: usize = 1 << 20;

/// A backend that asks the upstream `asking_count_max` things at a time.
fn world(asking_count_max: usize) -> World {
    World::with(|settings| settings.asking_count_max = asking_count_max)
}

/// Starts a pull of a tag in a task of its own, and waits until the upstream was asked.
async fn start_pull(world: &World, tag: &str) -> tokio::task::JoinHandle<Result<Outcome, PullError>> {
    let (backend, reference) = (Arc::clone(&world.backend), tag.parse::<Reference>().unwrap());
    let asked = world.upstream.asked().len();
    let pull = tokio::spawn(async move {
        let pulled = backend.pull_manifest(&repository(), &reference, Want::Get).await;
        pulled.map(|answer| answer.outcome)
    });
    while world.upstream.asked().len() == asked {
        tokio::task::yield_now().await;
    }
    pull
}

async fn pull_tag(world: &World, tag: &str) -> Result<Outcome, PullError> {
    let pulled = world.backend.pull_manifest(&repository(), &tag.parse().unwrap(), Want::Get).await;
    pulled.map(|answer| answer.outcome)
}

async fn stored_blob(world: &World) -> Digest {
    let digest = world.upstream.put_blob(&noise(300_000));
    world.pull(&digest).await.unwrap();
    world.settle().await;
    digest
}

#[tokio::test(start_paused = true)]
async fn f49_who_would_wait_beyond_the_places_is_refused_at_once_and_hits_are_served() {
    let world = world(2);
    let digest = stored_blob(&world).await;
    let absent = world.upstream.put_blob(&noise(1000));
    world.upstream.put_manifest(&repository(), "1", MANIFEST);
    let pause = world.upstream.pause();
    let (first, second) = (start_pull(&world, "1").await, start_pull(&world, "2").await);
    let began = tokio::time::Instant::now();
    assert_eq!(pull_tag(&world, "3").await, Err(PullError::Overloaded));
    assert_eq!(world.pull(&absent).await, Err(PullError::Overloaded));
    let head = world.backend.pull_blob(&repository(), &absent, None, Want::Head).await;
    assert!(matches!(head, Err(PullError::Overloaded)), "{head:?}");
    let listed = world.backend.tags(&repository(), &oci::Page::default()).await;
    assert!(matches!(listed, Err(PullError::Overloaded)), "{listed:?}");
    assert_eq!(world.get(&digest).await.unwrap().outcome, Outcome::Hit);
    assert_eq!(began.elapsed(), Duration::ZERO);
    pause.add_permits(100);
    assert_eq!(first.await.unwrap(), Ok(Outcome::Miss));
    assert!(matches!(second.await.unwrap(), Err(PullError::NotFound { .. })));
    assert_eq!(pull_tag(&world, "1").await, Ok(Outcome::Revalidated));
}

#[tokio::test(start_paused = true)]
async fn f49_a_held_tag_stands_in_when_the_places_are_taken() {
    let world = world(1);
    for tag in ["held", "other"] {
        world.upstream.put_manifest(&repository(), tag, MANIFEST);
    }
    assert_eq!(pull_tag(&world, "held").await, Ok(Outcome::Miss));
    let pause = world.upstream.pause();
    let waiting = start_pull(&world, "other").await;
    assert_eq!(pull_tag(&world, "held").await, Ok(Outcome::Stale));
    assert!(world.metrics_text().contains("reason=\"overloaded\"} 1"), "{}", world.metrics_text());
    pause.add_permits(100);
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn f49_a_stored_blob_that_must_be_hashed_first_needs_no_place() {
    let world = world(1);
    let digest = stored_blob(&world).await;
    let world = World::over(world.upstream.clone(), world.blobs.clone(), world.records.clone(), |settings| {
        (settings.waiting_count_max, settings.asking_count_max) = (0, 0);
    });
    assert!(world.pull(&digest).await.is_ok());
}

/// The reader of a cold blob that has its first byte. The transfer stops after four pieces, until the gate
/// gets more permits.
async fn start(world: &World, length: usize) -> (Digest, BlobReader, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(4));
    world.upstream.script([Manner { gate: Some(gate.clone()), ..Manner::default() }]);
    let digest = world.upstream.put_blob(&noise(length));
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    next(&mut reader).await.unwrap().unwrap();
    while gate.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    (digest, reader, gate)
}

#[tokio::test(start_paused = true)]
async fn f44_a_transfer_without_clients_keeps_its_place_to_the_end_where_there_is_room() {
    let world = world(2);
    let (digest, reader, gate) = start(&world, MIB).await;
    drop(reader);
    let other = world.upstream.put_blob(&noise(1000));
    assert!(world.pull(&other).await.is_ok());
    gate.add_permits(1000);
    world.settle().await;
    assert!(world.holds(&digest).await);
    assert_eq!(world.upstream.count("GET blob"), 2);
}

#[tokio::test(start_paused = true)]
async fn t27_transfers_without_clients_give_way_to_clients_the_longest_placed_first() {
    let world = world(3);
    world.upstream.put_manifest(&repository(), "1", MANIFEST);
    let (followed, reader, followed_gate) = start(&world, MIB).await;
    let (older, older_reader, _gate) = start(&world, MIB + 1).await;
    let (newer, newer_reader, newer_gate) = start(&world, MIB + 2).await;
    drop((older_reader, newer_reader));
    assert_eq!(pull_tag(&world, "1").await, Ok(Outcome::Miss), "manifests need places as well");
    let small = world.upstream.put_blob(&noise(1000));
    assert!(world.pull(&small).await.is_ok(), "the place that was given up is free again");
    followed_gate.add_permits(1000);
    newer_gate.add_permits(1000);
    assert!(read(reader).await.1.is_ok());
    world.settle().await;
    assert!(world.holds(&followed).await && world.holds(&newer).await);
    assert!(!world.holds(&older).await, "of two without clients the one placed longest gives way");
    let before = world.upstream.blob_bytes();
    assert!(world.pull(&older).await.is_ok());
    assert_eq!(world.upstream.blob_bytes() - before, (MIB + 1 - 4 * PIECE) as u64, "its bytes stayed");
}

#[tokio::test(start_paused = true)]
async fn t27_nobody_gives_way_while_a_client_is_there() {
    let world = world(1);
    let (digest, reader, gate) = start(&world, MIB).await;
    let other = world.upstream.put_blob(&noise(1000));
    assert_eq!(world.pull(&other).await, Err(PullError::Overloaded));
    let joined = world.get(&digest).await.unwrap();
    drop(reader);
    assert_eq!(world.pull(&other).await, Err(PullError::Overloaded), "the one who joined is there");
    gate.add_permits(1000);
    assert!(read(joined.body.unwrap()).await.1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn t27_nobody_gives_way_to_a_client_who_left() {
    let world = world(1);
    let (digest, reader, gate) = start(&world, MIB).await;
    drop(reader);
    let other = world.upstream.put_blob(&noise(1000));
    // Its transfer is spawned, and requests a permit after the client has left.
    let mut pull = Box::pin(world.get(&other));
    assert!(futures_util::poll!(&mut pull).is_pending());
    drop(pull);
    tokio::task::yield_now().await;
    gate.add_permits(1000);
    world.settle().await;
    assert!(world.holds(&digest).await && !world.holds(&other).await);
}

#[tokio::test(start_paused = true)]
async fn t27_who_comes_for_what_is_just_giving_way_goes_on_there() {
    let world = world(2);
    let (digest, reader, _gate) = start(&world, MIB).await;
    let (_, _followed, _followed_gate) = start(&world, MIB + 1).await;
    drop(reader);
    world.upstream.put_manifest(&repository(), "1", MANIFEST);
    // Polled until the permit was reclaimed, and no longer: the transfer that gives way has not noticed yet.
    assert_eq!(pull_tag(&world, "1").await, Ok(Outcome::Miss));
    let answer = world.get(&digest).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Miss, "nobody joins what gave way");
    assert!(read(answer.body.unwrap()).await.1.is_ok());
    let bytes = world.upstream.blob_bytes();
    assert_eq!(bytes, (MIB + 4 * PIECE) as u64, "no byte came twice");
}

#[tokio::test(start_paused = true)]
async fn t27_a_transfer_of_another_registry_gives_way_when_the_places_of_all_are_taken() {
    let bounds_of_all = Bounds::new(100, 2);
    let beside = || {
        let store = Arc::new(MemoryStore::new());
        World::beside_others(Arc::default(), store.clone(), store, bounds_of_all.clone(), |_| {})
    };
    let (one, other) = (beside(), beside());
    other.upstream.put_manifest(&repository(), "1", MANIFEST);
    let (older, older_reader, _gate) = start(&one, MIB).await;
    let (newer, newer_reader, newer_gate) = start(&one, MIB + 1).await;
    assert_eq!(pull_tag(&other, "1").await, Err(PullError::Overloaded));
    drop((older_reader, newer_reader));
    assert_eq!(pull_tag(&other, "1").await, Ok(Outcome::Miss));
    newer_gate.add_permits(1000);
    one.settle().await;
    assert_eq!((one.holds(&older).await, one.holds(&newer).await), (false, true));
}

#[tokio::test(start_paused = true)]
async fn f49_a_herd_on_the_same_cold_things_needs_one_place_for_each_of_them() {
    let world = world(1);
    world.upstream.put_manifest(&repository(), "1", MANIFEST);
    let digest = world.upstream.put_blob(&noise(300_000));
    let pulls = join_all((0..100).map(|_| pull_tag(&world, "1"))).await;
    assert!(pulls.iter().all(Result::is_ok), "{pulls:?}");
    let pulls = join_all((0..100).map(|_| world.pull(&digest))).await;
    assert!(pulls.iter().all(Result::is_ok), "{pulls:?}");
    assert_eq!(world.upstream.asked().len(), 3, "{:?}", world.upstream.asked());
}

#[tokio::test(start_paused = true)]
async fn f49_a_herd_on_a_transfer_that_hangs_has_an_end_and_hits_are_served() {
    let world = World::with(|settings| settings.waiting_count_max = 3);
    let stored = stored_blob(&world).await;
    let gate = Arc::new(Semaphore::new(0));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let hung = world.upstream.put_blob(&noise(1 << 20));
    let waiting = join_all((0..3).map(|_| world.pull(&hung)));
    let crowd = async {
        tokio::task::yield_now().await;
        for _ in 0..10 {
            assert_eq!(world.pull(&hung).await, Err(PullError::Overloaded));
            assert_eq!(pull_tag(&world, "1").await, Err(PullError::Overloaded));
            assert_eq!(world.get(&stored).await.unwrap().outcome, Outcome::Hit);
        }
        gate.add_permits(1000);
    };
    let (waited, ()) = tokio::join!(waiting, crowd);
    assert!(waited.iter().all(Result::is_ok), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn f49_who_follows_a_transfer_counts_until_everything_is_there() {
    let world = World::with(|settings| settings.waiting_count_max = 1);
    let gate = Arc::new(Semaphore::new(1));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let digest = world.upstream.put_blob(&noise(1 << 20));
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    next(&mut reader).await.unwrap().unwrap();
    assert_eq!(pull_tag(&world, "1").await, Err(PullError::Overloaded));
    gate.add_permits(1000);
    world.settle().await;
    assert!(matches!(pull_tag(&world, "1").await, Err(PullError::NotFound { .. })));
    assert!(read(reader).await.1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn t06_clients_that_stopped_reading_hold_no_place_once_the_transfer_is_over() {
    for ending in [Ok(()), Err(ErrorKind::NotFound)] {
        let world = World::with(|settings| settings.waiting_count_max = 4);
        let gate = Arc::new(Semaphore::new(1));
        let cut_at = ending.err().map(|_| 5 * PIECE);
        world.upstream.set_manner(Manner { gate: Some(gate.clone()), cut_at, ..Manner::default() });
        let digest = world.upstream.put_blob(&noise(1 << 20));
        let mut readers = Vec::new();
        for has_begun in [true, false, true, false] {
            let mut reader = world.get(&digest).await.unwrap().body.unwrap();
            if has_begun {
                next(&mut reader).await.unwrap().unwrap();
            }
            readers.push(reader);
        }
        assert_eq!(pull_tag(&world, "1").await, Err(PullError::Overloaded));
        // A transfer that cannot be resumed has failed.
        world.upstream.set_down(ending.err());
        gate.add_permits(1000);
        world.settle().await;
        world.upstream.set_down(None);
        let pulled = join_all((0..4).map(|_| pull_tag(&world, "1"))).await;
        assert!(
            pulled.iter().all(|it| matches!(it, Err(PullError::NotFound { .. }))),
            "{ending:?}: {pulled:?}"
        );
        for reader in readers {
            assert_eq!(read(reader).await.1.is_ok(), ending.is_ok());
        }
    }
}
