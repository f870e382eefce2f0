//! Words of addresses that stand in for the first one of an upstream, and bytes where an address is wrong.

use std::time::Duration;

use cache::{ManifestAnswer, Outcome, PullError, Want};
use oci::{Page, Reference};
use policy::freshness::StaleLimit;

use crate::manifests::{ONE, TWO};
use crate::upstream::{Manner, Sends};
use crate::warm::{Image, warm_for};
use crate::world::{World, noise, repository};

async fn pull(world: &World, want: Want) -> Result<ManifestAnswer, PullError> {
    let reference: Reference = "1".parse().unwrap();
    world.backend.pull_manifest(&repository(), &reference, want).await
}

#[tokio::test(start_paused = true)]
async fn f01_a_tag_that_is_held_never_moves_by_the_word_of_a_stand_in() {
    // By HEAD, and by GET where HEAD proves nothing.
    for no_head in [false, true] {
        let world = World::new();
        let first = world.upstream.put_manifest(&repository(), "1", ONE);
        pull(&world, Want::Get).await.unwrap();
        if no_head {
            world.upstream.refuse_head();
        }
        world.upstream.set_stand_in(true);
        world.upstream.put_manifest(&repository(), "1", TWO);
        for want in [Want::Head, Want::Get] {
            let answer = pull(&world, want).await.unwrap();
            assert_eq!((answer.outcome, &answer.digest), (Outcome::Stale, &first));
        }
        // The first address is back, and has moved the tag.
        world.upstream.set_stand_in(false);
        let moved = pull(&world, Want::Get).await.unwrap();
        assert_eq!((moved.outcome, moved.bytes.unwrap().as_ref()), (Outcome::Miss, TWO.as_bytes()));
        // It is away again, and the stand-in lags behind.
        world.upstream.set_stand_in(true);
        world.upstream.put_manifest(&repository(), "1", ONE);
        let answer = pull(&world, Want::Get).await.unwrap();
        assert_eq!((answer.outcome, answer.digest), (Outcome::Stale, moved.digest));
    }
}

#[tokio::test(start_paused = true)]
async fn f01_a_stand_in_that_agrees_keeps_a_tag_fresh_and_gives_unknown_ones() {
    let world = World::new();
    world.upstream.set_stand_in(true);
    world.upstream.put_manifest(&repository(), "1", ONE);
    assert_eq!(pull(&world, Want::Get).await.unwrap().outcome, Outcome::Miss);
    tokio::time::advance(Duration::from_secs(60)).await;
    let answer = pull(&world, Want::Get).await.unwrap();
    assert_eq!((answer.outcome, answer.age), (Outcome::Revalidated, Some(Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn f01_a_tag_too_old_for_an_outage_moves_by_the_word_of_a_stand_in() {
    let world = World::with(|settings| settings.tags.stale_if_error = StaleLimit::Never);
    world.upstream.put_manifest(&repository(), "1", ONE);
    pull(&world, Want::Get).await.unwrap();
    world.upstream.set_stand_in(true);
    let second = world.upstream.put_manifest(&repository(), "1", TWO);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(pull(&world, Want::Get).await.unwrap().digest, second);
}

#[tokio::test(start_paused = true)]
async fn f01_a_refresh_takes_no_other_word_from_a_stand_in() {
    let world = World::new();
    let first = world.upstream.put_manifest(&repository(), "1", ONE);
    pull(&world, Want::Get).await.unwrap();
    world.upstream.set_stand_in(true);
    world.upstream.put_manifest(&repository(), "1", TWO);
    let tag = "1".parse().unwrap();
    world.backend.refresh(&repository(), &tag).await.unwrap_err();
    assert_eq!(pull(&world, Want::Get).await.unwrap().digest, first);
}

#[tokio::test(start_paused = true)]
async fn f01_a_list_that_is_held_is_not_replaced_by_that_of_a_stand_in() {
    let world = World::new();
    let page = Page::default();
    world.upstream.set_tag_list(r#"{"tags":["1"]}"#);
    let before = world.backend.tags(&repository(), &page).await.unwrap();
    world.upstream.set_stand_in(true);
    world.upstream.set_tag_list(r#"{"tags":[]}"#);
    let held = world.backend.tags(&repository(), &page).await.unwrap();
    assert_eq!((held.outcome, &held.bytes), (Outcome::Stale, &before.bytes));
    world.upstream.set_stand_in(false);
    let fresh = world.backend.tags(&repository(), &page).await.unwrap();
    assert_ne!(fresh.bytes, before.bytes);
}

/// A blob that is verified before its first byte goes out, and one of which clients get bytes before.
const SIZES: [usize; 2] = [1000, 1_000_000];

#[tokio::test(start_paused = true)]
async fn f08_a_blob_of_which_no_client_has_a_byte_goes_on_at_the_next_address() {
    for (first, size) in [(Sends::Wrong, SIZES[0]), (Sends::Nothing, SIZES[0]), (Sends::Nothing, SIZES[1])] {
        let world = World::new();
        world.upstream.set_addresses(&[first, Sends::Right]);
        let blob = noise(size);
        let digest = world.upstream.put_blob(&blob);
        let pulls = futures_util::future::join_all((0..5).map(|_| world.pull(&digest))).await;
        assert!(pulls.into_iter().all(|pulled| pulled.unwrap() == blob), "{first:?} {size}");
        assert_eq!(world.upstream.take_asked_addresses(), [0, 1], "{first:?} {size}: once for all");
        world.settle().await;
        assert!(world.holds(&digest).await);
        // The doubt is about this content only.
        let other = world.upstream.put_blob(&noise(size + 1));
        world.pull(&other).await.unwrap();
        assert_eq!(world.upstream.take_asked_addresses().first(), Some(&0));
    }
}

#[tokio::test(start_paused = true)]
async fn f08_a_blob_of_which_clients_have_bytes_comes_from_the_next_address_at_the_next_request() {
    let world = World::new();
    world.upstream.set_addresses(&[Sends::Wrong, Sends::Right]);
    world.upstream.set_manner(Manner { pace: Duration::from_millis(1), ..Manner::default() });
    let blob = noise(SIZES[1]);
    let digest = world.upstream.put_blob(&blob);
    assert!(matches!(world.pull(&digest).await, Err(PullError::DigestMismatch { .. })));
    assert_eq!(world.pull(&digest).await.unwrap(), blob);
    assert_eq!(world.upstream.take_asked_addresses(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn f08_a_manifest_with_wrong_bytes_comes_from_the_next_address() {
    for first in [Sends::Wrong, Sends::Nothing] {
        let world = World::new();
        world.upstream.set_addresses(&[first, first, Sends::Right]);
        let digest = world.upstream.put_manifest(&repository(), "1", ONE);
        let reference = Reference::Digest(digest);
        let answer = world.backend.pull_manifest(&repository(), &reference, Want::Get).await.unwrap();
        assert_eq!(answer.bytes.unwrap(), ONE);
        assert_eq!(world.upstream.take_asked_addresses(), [0, 1, 2], "{first:?}");
        // A tag that names it finds it in the store.
        assert_eq!(pull(&world, Want::Get).await.unwrap().outcome, Outcome::Revalidated);
        assert!(world.upstream.take_asked_addresses().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn f08_content_that_is_wrong_at_every_address_is_not_requested_for_a_minute() {
    for size in SIZES {
        let world = World::new();
        world.upstream.set_addresses(&[Sends::Wrong, Sends::Wrong]);
        let digest = world.upstream.put_blob(&noise(size));
        for _ in 0..10 {
            assert!(matches!(world.pull(&digest).await, Err(PullError::DigestMismatch { .. })));
        }
        assert_eq!(world.upstream.take_asked_addresses(), [0, 1, 0], "{size}");
        tokio::time::advance(Duration::from_secs(61)).await;
        world.upstream.set_addresses(&[Sends::Right, Sends::Wrong]);
        assert_eq!(world.pull(&digest).await.unwrap(), noise(size));
    }
    let world = World::new();
    world.upstream.set_addresses(&[Sends::Wrong, Sends::Wrong]);
    let digest = world.upstream.put_manifest(&repository(), "1", ONE);
    let reference = Reference::Digest(digest);
    for _ in 0..10 {
        let pulled = world.backend.pull_manifest(&repository(), &reference, Want::Get).await;
        assert!(matches!(pulled, Err(PullError::DigestMismatch { .. })), "{pulled:?}");
    }
    assert_eq!(world.upstream.take_asked_addresses(), [0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn f08_warming_goes_on_at_the_next_address_after_wrong_bytes() {
    let world = World::new();
    let image = Image::put(&world.upstream, "1", 0);
    world.upstream.set_addresses(&[Sends::Wrong, Sends::Right]);
    warm_for(&world, "1", "linux/amd64").await.unwrap();
    for blob in image.of_amd64() {
        assert!(world.holds(blob).await);
    }
}
