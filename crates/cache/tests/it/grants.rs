//! Grants that the upstream gives and revokes, for each repository.

use std::time::Duration;

use cache::{ManifestAnswer, Outcome, PullError, Want};
use futures_util::future::join_all;
use oci::{Digest, Reference, Repository};
use upstream::ErrorKind;

use crate::world::{World, noise, repository};

const AUTH_TTL: Duration = Duration::from_secs(15 * 60);

fn private() -> World {
    World::with(|settings| settings.links = true)
}

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;

async fn manifest(world: &World, reference: &str) -> Result<ManifestAnswer, PullError> {
    let reference: Reference = reference.parse().unwrap();
    world.backend.pull_manifest(&repository(), &reference, Want::Get).await
}

/// A blob that was just pulled, and so granted.
async fn pulled(world: &World) -> Digest {
    let digest = world.upstream.put_blob(&noise(100_000));
    world.pull(&digest).await.unwrap();
    world.settle().await;
    digest
}

#[tokio::test(start_paused = true)]
async fn s16_a_grant_is_asked_again_after_its_time_by_one_head_for_all() {
    let world = private();
    let digest = pulled(&world).await;
    tokio::time::advance(AUTH_TTL - Duration::from_secs(1)).await;
    world.pull(&digest).await.unwrap();
    assert_eq!(world.upstream.count("HEAD blob"), 0, "it was granted less than the time ago");
    tokio::time::advance(Duration::from_secs(2)).await;
    for body in join_all((0..20).map(|_| world.pull(&digest))).await {
        body.unwrap();
    }
    assert_eq!(world.upstream.count("HEAD blob"), 1);
    assert_eq!(world.upstream.count("GET blob"), 1, "no body came for it");
}

#[tokio::test(start_paused = true)]
async fn s16_a_revoked_blob_is_refused_also_in_a_later_outage_and_comes_back_without_a_transfer() {
    let world = private();
    let digest = pulled(&world).await;
    tokio::time::advance(AUTH_TTL).await;
    world.upstream.deny(&repository());
    for want in [Want::Get, Want::Head] {
        let refused = world.backend.pull_blob(&repository(), &digest, None, want).await;
        assert!(matches!(refused, Err(PullError::Denied { .. })), "{refused:?}");
    }
    // A refusal is remembered for a moment.
    tokio::time::advance(Duration::from_secs(4)).await;
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    assert!(matches!(world.pull(&digest).await, Err(PullError::UpstreamUnavailable { .. })));
    world.upstream.set_down(None);
    world.upstream.allow(&repository());
    world.pull(&digest).await.unwrap();
    assert_eq!(world.upstream.count("GET blob"), 1, "the bytes were here all the time");
}

#[tokio::test(start_paused = true)]
async fn s16_an_outage_revokes_no_grant() {
    let world = private();
    let digest = pulled(&world).await;
    let named = world.upstream.put_manifest(&repository(), "1", MANIFEST);
    manifest(&world, "1").await.unwrap();
    tokio::time::advance(AUTH_TTL).await;
    for down in [ErrorKind::Unreachable, ErrorKind::TimedOut, ErrorKind::Throttled, ErrorKind::Resting] {
        world.upstream.set_down(Some(down));
        world.pull(&digest).await.unwrap();
        assert_eq!(manifest(&world, &named.to_string()).await.unwrap().outcome, Outcome::Hit);
        assert_eq!(manifest(&world, "1").await.unwrap().outcome, Outcome::Stale);
    }
    let text = world.metrics_text();
    assert!(
        text.lines().any(|line| line.starts_with("wharf_stale_total{") && !line.ends_with(" 0")),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn s16_a_restart_asks_again_at_once() {
    let world = private();
    let digest = pulled(&world).await;
    let after = World::over(world.upstream.clone(), world.blobs.clone(), world.records.clone(), |settings| {
        settings.links = true;
    });
    after.pull(&digest).await.unwrap();
    assert_eq!(after.upstream.count("HEAD blob"), 1);
}

#[tokio::test(start_paused = true)]
async fn s16_a_revoked_manifest_is_refused_by_digest_also_in_a_later_outage() {
    let world = World::with(|settings| {
        settings.links = true;
        settings.tags.ttl = Duration::from_secs(24 * 3600);
    });
    let digest = world.upstream.put_manifest(&repository(), "1", MANIFEST);
    manifest(&world, "1").await.unwrap();
    let heads = world.upstream.count("HEAD manifest");
    for reference in ["1", &digest.to_string()] {
        assert_eq!(manifest(&world, reference).await.unwrap().outcome, Outcome::Hit);
    }
    assert_eq!(world.upstream.count("HEAD manifest"), heads, "the tag's check was the digest's grant");
    tokio::time::advance(AUTH_TTL).await;
    world.upstream.deny(&repository());
    assert!(matches!(manifest(&world, &digest.to_string()).await, Err(PullError::Denied { .. })));
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    let gone = manifest(&world, &digest.to_string()).await;
    assert!(matches!(gone, Err(PullError::UpstreamUnavailable { .. })), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn s16_a_revoked_tag_does_not_come_back_in_an_outage() {
    let world = private();
    world.upstream.put_manifest(&repository(), "1", MANIFEST);
    manifest(&world, "1").await.unwrap();
    world.upstream.deny(&repository());
    assert!(matches!(manifest(&world, "1").await, Err(PullError::Denied { .. })));
    tokio::time::advance(Duration::from_secs(4)).await;
    world.upstream.set_down(Some(ErrorKind::Unreachable));
    assert!(matches!(manifest(&world, "1").await, Err(PullError::UpstreamUnavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn s16_a_public_registry_is_never_asked_about_a_digest_that_is_held() {
    let world = World::new();
    let digest = pulled(&world).await;
    tokio::time::advance(AUTH_TTL * 100).await;
    world.upstream.deny(&repository());
    world.pull(&digest).await.unwrap();
    assert_eq!(world.upstream.count("HEAD"), 0);
}

/// Whether the blob is stored for another repository or not at all, a refusal takes one request, and then
/// none for a moment.
#[tokio::test(start_paused = true)]
async fn t01_a_refused_repository_asks_once_whether_the_blob_is_held_or_not() {
    let world = private();
    let held = pulled(&world).await;
    let absent = world.upstream.put_blob(&noise(1000));
    let other: Repository = "other/app".parse().unwrap();
    world.upstream.deny(&other);
    let before = world.upstream.asked().len();
    for digest in [&held, &absent] {
        for _ in 0..20 {
            let refused = world.backend.pull_blob(&other, digest, None, Want::Get).await;
            assert!(matches!(refused, Err(PullError::Denied { .. })), "{refused:?}");
        }
    }
    assert_eq!(world.upstream.asked().len() - before, 2, "{:?}", world.upstream.asked());
    world.upstream.allow(&other);
    tokio::time::advance(Duration::from_secs(4)).await;
    assert!(world.backend.pull_blob(&other, &held, None, Want::Get).await.is_ok(), "it is asked again");
}

/// A client that has lost access takes all permits: that makes nothing readable.
#[tokio::test(start_paused = true)]
async fn t21_a_flood_keeps_nothing_readable_that_was_revoked() {
    let world = World::with(|settings| {
        settings.links = true;
        settings.waiting_count_max = 1;
    });
    let blob = pulled(&world).await;
    let by_digest = world.upstream.put_manifest(&repository(), "1", MANIFEST).to_string();
    manifest(&world, "1").await.unwrap();
    tokio::time::advance(AUTH_TTL + Duration::from_secs(1)).await;
    world.upstream.deny(&repository());
    let _gate = world.upstream.pause();
    let (backend, public) = (world.backend.clone(), "public/app".parse::<Repository>().unwrap());
    let asked = world.upstream.asked().len();
    let flood = tokio::spawn(async move {
        backend.pull_manifest(&public, &"1".parse().unwrap(), Want::Get).await.map(|_| ())
    });
    while world.upstream.asked().len() == asked {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.pull(&blob).await, Err(PullError::Overloaded));
    for reference in ["1", &*by_digest] {
        assert_eq!(manifest(&world, reference).await.map(|_| ()), Err(PullError::Overloaded), "{reference}");
    }
    flood.abort();
}
