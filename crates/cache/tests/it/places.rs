//! Places for those who need the upstream: few of them here, so that they run out.

use std::sync::Arc;
use std::time::Duration;

use cache::{Outcome, PullError, Want};
use futures_util::future::join_all;
use oci::{Digest, Reference};
use tokio::sync::Semaphore;

use crate::upstream::Manner;
use crate::world::{World, next, noise, read, repository};

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#;

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

#[tokio::test(start_paused = true)]
async fn f44_a_transfer_without_clients_keeps_its_place_to_the_end() {
    let world = world(1);
    let gate = Arc::new(Semaphore::new(1));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let digest = world.upstream.put_blob(&noise(1 << 20));
    let mut reader = world.get(&digest).await.unwrap().body.unwrap();
    next(&mut reader).await.unwrap().unwrap();
    drop(reader);
    let other = world.upstream.put_blob(&noise(1000));
    assert_eq!(world.pull(&other).await, Err(PullError::Overloaded));
    gate.add_permits(1000);
    world.settle().await;
    assert!(world.pull(&other).await.is_ok());
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
    next(&mut reader).await.unwrap().unwrap();
    assert!(matches!(pull_tag(&world, "1").await, Err(PullError::NotFound { .. })));
    assert!(read(reader).await.1.is_ok());
}
