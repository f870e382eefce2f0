//! Words of addresses that stand in for the first one of an upstream.

use std::time::Duration;

use cache::{ManifestAnswer, Outcome, PullError, Want};
use oci::{Page, Reference};
use policy::freshness::StaleLimit;

use crate::manifests::{ONE, TWO};
use crate::world::{World, repository};

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
