//! A backend succeeds another one over the same store, as after a reload with other rules.

use std::sync::Arc;
use std::time::Duration;

use cache::{Backend, Bounds, Outcome, Parts, PullError, Settings, Upstreams, Want};
use policy::freshness::{StaleLimit, TagRule, Upstream404};
use tokio::sync::Semaphore;
use upstream::ErrorKind;

use crate::upstream::Manner;
use crate::world::{World, noise, read, repository};

const RULE: TagRule = TagRule {
    ttl: Duration::ZERO,
    stale_if_error: StaleLimit::Forever,
    on_upstream_404: Upstream404::NotFound,
    offline: false,
};

/// The world with a successor backend under other rules, over the same store and upstream.
pub(crate) fn succeed(world: &World, change: impl FnOnce(&mut Settings)) -> World {
    succeed_before(world, Upstreams::shared(world.upstream.clone()), change)
}

/// The same with other ways to the upstream.
pub(crate) fn succeed_before(
    world: &World,
    upstreams: Upstreams,
    change: impl FnOnce(&mut Settings),
) -> World {
    let mut settings = Settings::new(RULE);
    change(&mut settings);
    let backend = world.backend.succeeded_by(Parts {
        name: "memory.test".to_owned(),
        upstreams,
        blobs: world.blobs.clone(),
        records: world.records.clone(),
        inventory: world.inventory.clone(),
        bounds_of_all: Bounds::new(1_000_000, 1_000_000),
        memory: world.memory.clone(),
        settings,
        metrics: world.metrics.registry("memory.test"),
        tasks: world.tasks.clone(),
        cancel: world.cancel.clone(),
        offline: world.backend.offline().clone(),
    });
    World {
        backend: Arc::new(backend),
        upstream: world.upstream.clone(),
        blobs: world.blobs.clone(),
        records: world.records.clone(),
        inventory: world.inventory.clone(),
        tasks: world.tasks.clone(),
        cancel: world.cancel.clone(),
        memory: world.memory.clone(),
        metrics: telemetry::Metrics::new(&[]),
        all_offline: world.all_offline.clone(),
    }
}

#[tokio::test(start_paused = true)]
async fn f41_a_blob_on_its_way_is_joined_under_the_new_rules_and_comes_once() {
    let world = World::new();
    let content = noise(3_000_000);
    let digest = world.upstream.put_blob(&content);
    let gate = Arc::new(Semaphore::new(1));
    world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
    let first = world.get(&digest).await.unwrap();
    let new = succeed(&world, |settings| settings.tags.ttl = Duration::from_secs(60));
    let second = new.get(&digest).await.unwrap();
    assert_eq!((first.outcome, second.outcome), (Outcome::Miss, Outcome::Join));
    drop(world.backend);
    gate.add_permits(1_000_000);
    for answer in [first, second] {
        assert_eq!(read(answer.body.unwrap()).await.1.unwrap(), content);
    }
    assert_eq!(new.get(&digest).await.unwrap().outcome, Outcome::Hit);
    assert_eq!(new.upstream.blob_bytes(), content.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn f41_offline_holds_for_the_next_request_and_stored_bytes_are_known() {
    let world = World::new();
    let digest = world.upstream.put_blob(&noise(300_000));
    world.pull(&digest).await.unwrap();
    world.settle().await;
    let absent = world.upstream.put_blob(&noise(1000));
    let offline = succeed(&world, |settings| settings.tags.offline = true);
    assert_eq!(offline.get(&digest).await.unwrap().outcome, Outcome::Hit);
    assert_eq!(offline.get(&absent).await.map(|_| ()), Err(PullError::Offline));
    let online = succeed(&offline, |_| {});
    assert_eq!(online.get(&absent).await.unwrap().outcome, Outcome::Miss);
}

const MANIFEST: &str = concat!(
    r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","#,
    r#""digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":"#,
    r#"0},"layers":[]}"#,
);

/// Starts a pull of a tag in its own task, and waits until the upstream was asked.
async fn start_pull(world: &World, tag: &str) -> tokio::task::JoinHandle<Result<Outcome, PullError>> {
    let (backend, tag, asked) = (Arc::clone(&world.backend), tag.to_owned(), world.upstream.asked().len());
    let pull = tokio::spawn(async move { pull_tag(&backend, &tag).await });
    while world.upstream.asked().len() == asked {
        tokio::task::yield_now().await;
    }
    pull
}

async fn pull_tag(backend: &Backend, tag: &str) -> Result<Outcome, PullError> {
    let pulled = backend.pull_manifest(&repository(), &tag.parse().unwrap(), Want::Get).await;
    pulled.map(|answer| answer.outcome)
}

#[tokio::test(start_paused = true)]
async fn f41_a_lowered_bound_counts_permits_in_use_and_a_raised_one_holds_at_once() {
    let world = World::with(|settings| settings.waiting_count_max = 1);
    for tag in ["1", "2", "3"] {
        world.upstream.put_manifest(&repository(), tag, MANIFEST);
    }
    let pause = world.upstream.pause();
    let first = start_pull(&world, "1").await;
    assert_eq!(pull_tag(&world.backend, "2").await, Err(PullError::Overloaded));
    world.backend.bounds().resize(2, 1_000_000);
    let second = start_pull(&world, "2").await;
    world.backend.bounds().resize(0, 1_000_000);
    tokio::task::yield_now().await;
    pause.add_permits(100);
    for pull in [first, second] {
        pull.await.unwrap().unwrap();
    }
    let successor = succeed(&world, |_| {}).backend;
    let refused = pull_tag(&successor, "3").await;
    assert_eq!(
        refused,
        Err(PullError::Overloaded),
        "the bound is that of the store, and nothing is left of it"
    );
    successor.bounds().resize(1, 1_000_000);
    assert!(pull_tag(&successor, "3").await.is_ok());
}

/// The transfer runs under the old login, which may read more than the new one.
#[tokio::test(start_paused = true)]
async fn f41_a_transfer_of_the_old_login_is_joined_only_once_the_new_one_is_granted_the_blob() {
    for want in [Want::Get, Want::Head] {
        let world = World::with(|settings| settings.links = true);
        let content = noise(3_000_000);
        let digest = world.upstream.put_blob(&content);
        let gate = Arc::new(Semaphore::new(8));
        world.upstream.set_manner(Manner { gate: Some(gate.clone()), ..Manner::default() });
        let first = world.get(&digest).await.unwrap();
        let new = succeed(&world, |settings| settings.links = true);
        world.upstream.deny(&repository());
        let refused = new.backend.pull_blob(&repository(), &digest, None, want).await;
        assert!(matches!(refused, Err(PullError::Denied { .. })), "{want:?}: {refused:?}");
        world.upstream.allow(&repository());
        // Longer than the refusal is remembered.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let (heads, bodies) = (world.upstream.count("HEAD blob"), world.upstream.count("GET blob"));
        let granted = new.backend.pull_blob(&repository(), &digest, None, want).await.unwrap();
        assert_eq!(granted.outcome, Outcome::Join);
        assert_eq!(world.upstream.count("HEAD blob"), heads + 1, "{:?}", world.upstream.asked());
        assert_eq!(world.upstream.count("GET blob"), bodies, "{:?}", world.upstream.asked());
        gate.add_permits(1_000_000);
        for answer in [first, granted] {
            if let Some(body) = answer.body {
                assert!(read(body).await.1.unwrap() == content);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f41_a_refusal_of_the_old_login_is_asked_again_for_the_new_one() {
    let world = World::new();
    let content = noise(300_000);
    let digest = world.upstream.put_blob(&content);
    let late = Duration::from_secs(1);
    world.upstream.script([Manner { head: late, refuse: Some(ErrorKind::Denied), ..Manner::default() }]);
    let new = succeed(&world, |_| {});
    let (old, new) = tokio::join!(world.pull(&digest), new.pull(&digest));
    assert!(matches!(old, Err(PullError::Denied { .. })), "{old:?}");
    assert_eq!(new.unwrap(), content);
    assert_eq!(world.upstream.count("GET blob"), 2, "{:?}", world.upstream.asked());
}
