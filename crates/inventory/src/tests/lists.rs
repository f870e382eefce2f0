//! Lists of tags and referrers: loose ones, whose repository has no image, go before images do.

use policy::eviction::{Cap, CommonLimits};
use storage::{Files, Held, Operation, Space, StoreErrorKind};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::common_limits::CommonKeeper;
use crate::lists::LOOSE_COUNT_MAX;
use crate::prune::Pruned;

const DAY: u64 = 86_400;

async fn run_for(place: &Place, seconds: u64) {
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&place.keeper).run(cancel.clone()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    cancel.cancel();
    running.await.unwrap();
}

/// Stores a list in each of the repositories `r0`, `r1` and so on, a second apart.
async fn put_lists(place: &Place, count: usize, size: usize) {
    for number in 0..count {
        place.put_list(&format!("r{number}"), "tags", size).await;
        pass(1).await;
    }
}

async fn held_lists(place: &Place, count: usize) -> Vec<usize> {
    let mut held = Vec::new();
    for number in 0..count {
        if place.has_list(&format!("r{number}"), "tags").await {
            held.push(number);
        }
    }
    held
}

#[tokio::test(start_paused = true)]
async fn s34_loose_lists_make_room_before_images_do_the_least_recently_used_first() {
    let (place, _) = Place::in_memory().await;
    let image = place.image("app", &[("layer", 4_000)]).await;
    pass(DAY).await;
    put_lists(&place, 10, 1_000).await;
    place.inventory.list_used(&repository("r0"));
    place.check().await;
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(10_000)), ..Limits::default() });
    run_for(&place, 1).await;
    assert_eq!(held_lists(&place, 10).await, [0, 6, 7, 8, 9]);
    assert!(place.used() <= 9_500 && place.has_manifest("app", &image).await, "{}", place.used());
    place.check().await;
    // They may have been used a moment ago.
    let announced = place.inventory.announce(5_000);
    run_for(&place, 1).await;
    assert!(held_lists(&place, 10).await.is_empty() && place.has_manifest("app", &image).await);
    drop(announced);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn s34_a_blob_finds_room_where_only_loose_lists_may_go() {
    let (place, _) = Place::in_memory().await;
    put_lists(&place, 5, 1_000).await;
    place.image("app", &[("used a moment ago", 4_000)]).await;
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(10_000)), ..Limits::default() });
    run_for(&place, 1).await;
    let free = 10_000 - place.used() + 5_000;
    assert_eq!(held_lists(&place, 5).await.len(), 5);
    assert!(place.inventory.fits(free) && !place.inventory.fits(free + 1));
}

#[tokio::test(start_paused = true)]
async fn s34_loose_lists_make_room_below_a_common_cap_and_above_the_floor_of_bytes_and_files() {
    let image = [("layer", 4_000)];
    let cap = CommonLimits { max: Some(Cap::Bytes(10_000)), free_min: None };
    let floor = CommonLimits { max: None, free_min: Some(Cap::Percent(10)) };
    let few_files = Files { total: 1_000, free: 95 };
    let disks = [
        (cap, None),
        (floor, Some(Space::new(100_000, 5_000))),
        (floor, Some(Space { files: Some(few_files), ..Space::new(1_000_000, 900_000) })),
    ];
    for (limits, space) in disks {
        let (place, store) = Place::in_memory().await;
        let image = place.image("app", &image).await;
        put_lists(&place, 20, 500).await;
        pass(700).await;
        store.set_space(space);
        let common = CommonKeeper::new(limits);
        common.set_keepers(vec![Arc::clone(&place.keeper)]);
        let cancel = CancellationToken::new();
        let running = tokio::spawn(common.run(cancel.clone()));
        tokio::time::sleep(Duration::from_secs(2)).await;
        cancel.cancel();
        running.await.unwrap();
        let held = held_lists(&place, 20).await;
        assert!((1..17).contains(&held.len()) && held.contains(&19), "{held:?} with {limits:?}");
        assert!(place.has_manifest("app", &image).await);
        place.check().await;
    }
}

#[tokio::test(start_paused = true)]
async fn lists_that_were_not_used_for_so_long_go() {
    let (place, _) = Place::in_memory().await;
    put_lists(&place, 3, 100).await;
    place.image("r2", &[("layer", 10)]).await;
    place.keeper.set_limits(Limits { unused_for: Some(Duration::from_secs(30 * DAY)), ..Limits::default() });
    pass(29 * DAY).await;
    place.inventory.list_used(&repository("r1"));
    place.inventory.manifest_used(&repository("r2"), &place.list()[0].digest.clone());
    run_for(&place, 10).await;
    assert_eq!(held_lists(&place, 3).await, [0, 1, 2]);
    pass(DAY).await;
    run_for(&place, 1200).await;
    assert_eq!(held_lists(&place, 3).await, [1, 2]);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_prune_removes_loose_lists_that_were_not_used_lately() {
    let (place, _) = Place::in_memory().await;
    put_lists(&place, 3, 100).await;
    place.image("r2", &[("layer", 10)]).await;
    assert_eq!(place.keeper.prune(false).await.unwrap(), Pruned::default(), "they are new");
    pass(700).await;
    place.inventory.list_used(&repository("r1"));
    let pruned = Pruned { lists: Held { bytes: 100, count: 1 }, ..Pruned::default() };
    assert_eq!(place.keeper.prune(true).await.unwrap(), pruned);
    assert_eq!(held_lists(&place, 3).await.len(), 3, "a dry run removes nothing");
    assert_eq!(place.keeper.prune(false).await.unwrap(), pruned);
    assert_eq!(held_lists(&place, 3).await, [1, 2]);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_knows_the_lists_and_when_they_were_stored() {
    let (place, store) = Place::in_memory().await;
    for number in [1, 0, 2] {
        pass(DAY).await;
        store.set_time(place.wall.now());
        place.put_list(&format!("r{number}"), "tags", 1_000).await;
    }
    place.image("r2", &[("layer", 10)]).await;
    let place = place.restarted().await;
    place.check().await;
    assert_eq!(place.inventory.lists(), Held { bytes: 3_000, count: 3 });
    place.keeper.remove_before_images(1).await;
    assert_eq!(held_lists(&place, 3).await, [0, 2]);
    place.keeper.remove_before_images(u64::MAX).await;
    assert_eq!(held_lists(&place, 3).await, [2], "its repository has an image");
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn the_lists_of_a_repository_stay_as_long_as_its_image_and_go_with_it() {
    let (place, _) = Place::in_memory().await;
    let image = place.image("app", &[("layer", 10)]).await;
    place.put_list("app", "tags", 1_000).await;
    place.put_list("app", "referrers", 500).await;
    place.keeper.remove_before_images(u64::MAX).await;
    assert!(place.has_list("app", "tags").await && place.has_list("app", "referrers").await);
    pass(700).await;
    let freed = place.evict(1).await;
    assert!(!place.has_manifest("app", &image).await && !place.has_list("app", "tags").await);
    assert!(freed.bytes >= 1_500, "{freed:?}");
    assert_eq!(place.used(), 0);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn lists_are_loose_once_the_upstream_took_the_last_tag_and_manifest_back() {
    let (place, _) = Place::in_memory().await;
    let image = place.image("app", &[("layer", 10)]).await;
    place.tag("app", "v1", &image).await;
    place.put_list("app", "tags", 1_000).await;
    place.store.remove_tag(&repository("app"), &tag("v1")).await.unwrap();
    place.inventory.tag_removed(&repository("app"), &tag("v1"));
    let leaving = place.inventory.leaving(&repository("app"), &image).await;
    place.store.remove_manifest(&repository("app"), &image).await.unwrap();
    place.inventory.manifest_forgotten(leaving);
    place.check().await;
    assert_eq!(place.keeper.remove_before_images(1).await, 1_000);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn s34_no_more_repositories_than_the_bound_have_loose_lists() {
    let (place, _) = Place::in_memory().await;
    let over = 500;
    for number in 0..LOOSE_COUNT_MAX + over {
        place.put_list(&format!("r{number}"), "tags", 1).await;
        if number == over {
            pass(1).await;
        }
    }
    run_for(&place, 1).await;
    let lists = Held { bytes: LOOSE_COUNT_MAX as u64, count: LOOSE_COUNT_MAX as u64 };
    assert_eq!(place.inventory.lists(), lists);
    assert!(!place.has_list("r0", "tags").await && place.has_list(&format!("r{}", over + 1), "tags").await);
    // As long as the keeper does not run, a list that would be one too many is not stored.
    let mut number = LOOSE_COUNT_MAX + over;
    while place.inventory.fits_list(1) {
        place.put_list(&format!("r{number}"), "tags", 1).await;
        number += 1;
        assert!(number < 2 * LOOSE_COUNT_MAX);
    }
}

#[tokio::test(start_paused = true)]
async fn lists_that_cannot_be_removed_are_counted_and_go_later() {
    let (place, store) = Place::in_memory().await;
    put_lists(&place, 2, 100).await;
    pass(700).await;
    store.fail(Operation::RemoveRepository, 0, StoreErrorKind::Io);
    let pruned = place.keeper.prune(false).await.unwrap();
    assert_eq!((pruned.lists, pruned.failure_count), (Held { bytes: 100, count: 1 }, 1));
    place.check().await;
    pass(700).await;
    assert_eq!(place.keeper.prune(false).await.unwrap().lists, Held { bytes: 100, count: 1 });
    assert_eq!(place.used(), 0);
}
