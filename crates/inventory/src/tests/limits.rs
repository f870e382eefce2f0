use policy::eviction::{Cap, CommonLimits};
use storage::{Files, Space};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::common_limits::CommonKeeper;

const DAY: u64 = 86_400;

/// Lets a keeper's task run for some time.
async fn run_for(place: &Place, seconds: u64) {
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&place.keeper).run(cancel.clone()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    cancel.cancel();
    running.await.unwrap();
}

async fn fill(place: &Place, count: usize) {
    for number in 0..count {
        let digest = place
            .image(&format!("app{}", number % 3), &[("base", 1000), (&format!("own {number}"), 1000)])
            .await;
        place.tag(&format!("app{}", number % 3), &format!("v{number}"), &digest).await;
        pass(10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_over_its_cap_goes_down_to_the_low_mark() {
    let (place, _) = Place::in_memory().await;
    fill(&place, 100).await;
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(60_000)), ..Limits::default() });
    pass(700).await;
    run_for(&place, 5).await;
    assert!((50_000..=57_000).contains(&place.used()), "{}", place.used());
    place.check().await;
    place.check_no_holes(&BTreeSet::new()).await;
    // The cap is lowered to a tenth.
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(6_000)), ..Limits::default() });
    run_for(&place, 5).await;
    assert!(place.used() <= 5_700, "{}", place.used());
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn images_that_were_not_used_for_so_long_go() {
    let (place, _) = Place::in_memory().await;
    let old = place.image("app", &[("old", 10)]).await;
    let used = place.image("app", &[("used", 10)]).await;
    place.keeper.set_limits(Limits { unused_for: Some(Duration::from_secs(30 * DAY)), ..Limits::default() });
    pass(29 * DAY).await;
    place.inventory.manifest_used(&repository("app"), &used);
    run_for(&place, 10).await;
    assert!(place.has_manifest("app", &old).await);
    pass(DAY).await;
    run_for(&place, 1200).await;
    assert!(!place.has_manifest("app", &old).await && place.has_manifest("app", &used).await);
}

#[tokio::test(start_paused = true)]
async fn of_each_repository_the_tags_that_were_used_most_recently_stay() {
    let (place, _) = Place::in_memory().await;
    let mut images = Vec::new();
    for number in 0..5 {
        let digest = place.image("app", &[(&number.to_string(), 10)]).await;
        place.tag("app", &format!("v{number}"), &digest).await;
        images.push(digest);
        pass(10).await;
    }
    // The oldest has a tag of its own and one that is used.
    let by_digest = place.image("app", &[("by digest", 10)]).await;
    let other = place.image("other", &[("other", 10)]).await;
    place.tag("other", "v1", &other).await;
    pass(10).await;
    place.inventory.manifest_used(&repository("app"), &images[0]);
    place.keeper.set_limits(Limits { keep_tags: Some(2), ..Limits::default() });
    pass(700).await;
    run_for(&place, 5).await;
    let mut stay = Vec::new();
    for digest in &images {
        stay.push(place.has_manifest("app", digest).await);
    }
    assert_eq!(stay, [true, false, false, false, true]);
    assert!(place.has_manifest("app", &by_digest).await, "no tag names it");
    assert!(place.has_manifest("other", &other).await);
    place.check().await;
}

/// The index has an old tag only, and the platform below it one that stays.
#[tokio::test(start_paused = true)]
async fn an_image_stays_when_a_platform_of_it_has_a_tag_that_stays() {
    let (place, _) = Place::in_memory().await;
    let amd64 = place.image("app", &[("amd64", 10)]).await;
    let index = place.index("app", &[&amd64]).await;
    place.tag("app", "v1", &index).await;
    place.tag("app", "v1-amd64", &amd64).await;
    pass(10).await;
    place.inventory.manifest_used(&repository("app"), &amd64);
    place.keeper.set_limits(Limits { keep_tags: Some(1), ..Limits::default() });
    pass(700).await;
    run_for(&place, 5).await;
    assert!(place.has_manifest("app", &index).await && place.has_manifest("app", &amd64).await);
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_is_announced_gets_room_ahead() {
    let (place, _) = Place::in_memory().await;
    fill(&place, 10).await;
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(20_000)), ..Limits::default() });
    pass(700).await;
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&place.keeper).run(cancel.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(place.list().len(), 10);
    assert!(place.inventory.fits(15_000) && !place.inventory.fits(20_001));
    let announced = place.inventory.announce(15_000);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(place.used() <= 19_000 && place.list().len() < 5, "{}", place.used());
    drop(announced);
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_fits_when_the_rest_was_used_a_moment_ago() {
    let (place, _) = Place::in_memory().await;
    fill(&place, 10).await;
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(5_000)), ..Limits::default() });
    run_for(&place, 1).await;
    assert_eq!(place.list().len(), 10);
    assert!(!place.inventory.fits(100));
    pass(700).await;
    run_for(&place, 1).await;
    assert!(place.inventory.fits(100));
}

#[tokio::test(start_paused = true)]
async fn pinned_bytes_are_no_room() {
    let (place, _) = Place::in_memory().await;
    let platform = place.image("app", &[("pinned", 8_000)]).await;
    let pinned = place.index("app", &[&platform]).await;
    place.inventory.set_pinned(&repository("app"), &pinned, true).await.unwrap();
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(10_000)), ..Limits::default() });
    pass(700).await;
    run_for(&place, 1).await;
    assert!(place.inventory.fits(2_000) && !place.inventory.fits(2_001));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_a_pinned_manifest_only_claims_take_no_room() {
    let (place, _) = Place::in_memory().await;
    let never_stored = Digest::of(Algorithm::Sha256, b"never stored");
    let layers = format!(r#"{{"digest":"{never_stored}","size":{}}}"#, 1_u64 << 62);
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","layers":[{layers}]}}"#);
    let hostile = place.manifest_of(&repository("hostile"), text).await;
    place.inventory.set_pinned(&repository("hostile"), &hostile, true).await.unwrap();
    place.image("app", &[("old", 8_000)]).await;
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(10_000)), ..Limits::default() });
    pass(700).await;
    run_for(&place, 1).await;
    assert!(place.inventory.fits(9_000), "the old image can go");
}

#[tokio::test(start_paused = true)]
async fn the_same_layer_of_two_pinned_images_takes_room_once() {
    let (place, _) = Place::in_memory().await;
    for name in ["one", "two"] {
        let pinned = place.image(name, &[("shared", 4_000), (name, 10)]).await;
        place.inventory.set_pinned(&repository(name), &pinned, true).await.unwrap();
    }
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(10_000)), ..Limits::default() });
    pass(700).await;
    run_for(&place, 1).await;
    assert!(place.inventory.fits(5_980) && !place.inventory.fits(5_981));
}

#[tokio::test(start_paused = true)]
async fn last_uses_are_noted_at_the_end_and_now_and_then() {
    let (place, _) = Place::in_memory().await;
    place.image("app", &[("layer", 10)]).await;
    assert_eq!(place.store.note("uses").await.unwrap(), None);
    run_for(&place, 601).await;
    let first = place.store.note("uses").await.unwrap().unwrap();
    pass(100).await;
    place.inventory.manifest_used(&repository("app"), &place.list()[0].digest.clone());
    run_for(&place, 1).await;
    assert_ne!(place.store.note("uses").await.unwrap().unwrap(), first);
}

async fn place_on(total: u64, free: u64) -> (Place, MemoryStore) {
    let (place, store) = Place::in_memory().await;
    store.set_space(Some(Space::new(total, free)));
    (place, store)
}

/// Lets the keeper of the common limits run for some time.
async fn run_common(common: &Arc<CommonKeeper>, seconds: u64) {
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(common).run(cancel.clone()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    cancel.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_common_cap_takes_the_least_recently_used_of_all_stores() {
    let (one, _) = Place::in_memory().await;
    let (other, _) = Place::in_memory().await;
    let mut images = Vec::new();
    for number in 0..10 {
        let place = if number % 2 == 0 { &one } else { &other };
        images.push(place.image("app", &[(&number.to_string(), 1000)]).await);
        pass(10).await;
    }
    let common = CommonKeeper::new(CommonLimits { max: Some(Cap::Bytes(8_000)), free_min: None });
    common.set_keepers(vec![Arc::clone(&one.keeper), Arc::clone(&other.keeper)]);
    pass(700).await;
    run_common(&common, 1).await;
    let mut stay = Vec::new();
    for (number, digest) in images.iter().enumerate() {
        let place = if number % 2 == 0 { &one } else { &other };
        stay.push(place.has_manifest("app", digest).await);
    }
    let gone = stay.iter().filter(|stays| !**stays).count();
    assert!((3..=5).contains(&gone), "{stay:?}");
    assert!(stay[..gone].iter().all(|stays| !stays), "{stay:?}");
    assert!(one.used() + other.used() <= 7_600);
    assert!(!one.inventory.fits(9_000) && one.inventory.fits(7_000));
}

/// Another program fills the disk.
#[tokio::test(start_paused = true)]
async fn the_floor_of_free_space_is_kept_whoever_fills_the_disk() {
    let (one, store) = place_on(100_000, 50_000).await;
    fill(&one, 10).await;
    let common = CommonKeeper::new(CommonLimits { max: None, free_min: Some(Cap::Percent(10)) });
    common.set_keepers(vec![Arc::clone(&one.keeper)]);
    pass(700).await;
    run_common(&common, 1).await;
    assert_eq!(one.list().len(), 10);
    store.set_space(Some(Space::new(100_000, 6_000)));
    run_common(&common, 10).await;
    let free = one.store.space().await.unwrap().unwrap().free;
    assert!((10_500..14_000).contains(&free), "{free}");
    one.check().await;
    // Nothing helps: the rest is used.
    store.set_space(Some(Space::new(100_000, 0)));
    for image in one.list() {
        one.inventory.manifest_used(&image.repository, &image.digest);
    }
    pass(1).await;
    let held = one.list().len();
    run_common(&common, 1).await;
    assert_eq!(one.list().len(), held);
    assert!(!one.inventory.fits(1));
}

/// The keeper of the common limits looks at the disk every few seconds, and a blob may come in one.
#[tokio::test(start_paused = true)]
async fn a_blob_that_is_announced_gets_room_ahead_below_a_common_cap_too() {
    let (one, _) = Place::in_memory().await;
    let (other, _) = Place::in_memory().await;
    fill(&one, 10).await;
    fill(&other, 10).await;
    pass(700).await;
    let common = CommonKeeper::new(CommonLimits { max: Some(Cap::Bytes(40_000)), free_min: None });
    common.set_keepers(vec![Arc::clone(&one.keeper), Arc::clone(&other.keeper)]);
    let cancel = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&common).run(cancel.clone()));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(one.list().len() + other.list().len(), 20);
    let announced = other.inventory.announce(25_000);
    // The next blob is asked about before the next look.
    assert!(one.inventory.fits(15_000) && !one.inventory.fits(15_001));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = one.used() + other.used();
    assert!(used <= 40_000 && one.list().len() + other.list().len() < 10, "{used}");
    drop(announced);
    common.set_limits(CommonLimits { max: Some(Cap::Bytes(5_000)), free_min: None });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(one.used() + other.used() <= 5_000, "a reload lowered the cap");
    cancel.cancel();
    running.await.unwrap();
}

/// Half of what a store may hold is an unfinished blob that no client asked for again.
#[tokio::test(start_paused = true)]
async fn what_an_ended_process_left_unfinished_keeps_no_blob_out() {
    let (place, _) = Place::in_memory().await;
    let digest = Digest::of(Algorithm::Sha256, b"never finished");
    let spool = place.store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes("never finished", 9_000)]).await.unwrap();
    spool.park().await;
    assert_eq!(place.store.usage().partial.bytes, 9_000);
    place.keeper.set_limits(Limits { max: Some(Cap::Bytes(10_000)), ..Limits::default() });
    run_for(&place, 1).await;
    assert!(place.inventory.fits(10_000) && !place.inventory.fits(10_001));
}

/// A keeper of the common limits over a store of old images, on a disk with a floor of 10,000 bytes.
async fn place_with_floor(total: u64, free: u64) -> (Place, MemoryStore, Arc<CommonKeeper>) {
    let (one, store) = place_on(total, free).await;
    fill(&one, 40).await;
    let common = CommonKeeper::new(CommonLimits { max: None, free_min: Some(Cap::Bytes(10_000)) });
    common.set_keepers(vec![Arc::clone(&one.keeper)]);
    pass(700).await;
    (one, store, common)
}

async fn free_bytes(place: &Place) -> u64 {
    place.store.space().await.unwrap().unwrap().free
}

/// ext4 keeps 5 % for root. Once root has written to them, removed bytes fill them up first.
#[tokio::test(start_paused = true)]
async fn s34_the_floor_is_back_within_seconds_where_root_has_written_to_reserved_bytes() {
    let (one, store, common) = place_with_floor(200_000, 100_000).await;
    store.set_space(Some(Space::new(200_000, 4_000)));
    store.reserve(10_000);
    assert_eq!(free_bytes(&one).await, 0);
    run_common(&common, 1).await;
    let free = free_bytes(&one).await;
    assert!((10_000..14_000).contains(&free), "{free}");
    one.check().await;
}

/// Until removed bytes have had time to come free, nothing else goes in their place; after that, it does.
#[tokio::test(start_paused = true)]
async fn s34_bytes_that_come_free_late_count_for_some_seconds() {
    let (one, store, common) = place_with_floor(200_000, 100_000).await;
    store.set_space(Some(Space::new(200_000, 8_000)));
    store.hold_back(5_000);
    run_common(&common, 2).await;
    let held = one.list().len();
    assert!((30..40).contains(&held) && free_bytes(&one).await < 10_000, "{held} images stay");
    run_common(&common, 5).await;
    let free = free_bytes(&one).await;
    assert!((10_000..14_000).contains(&free) && one.list().len() < held, "{free}");
}

/// A blob that comes while images are removed takes some of the bytes that came free. Those are not late.
#[tokio::test(start_paused = true)]
async fn s34_bytes_that_a_new_image_takes_at_once_do_not_count_as_late() {
    let (one, store, common) = place_with_floor(200_000, 100_000).await;
    for image in one.list() {
        one.tag(image.repository.as_str(), "latest", &image.digest).await;
    }
    pass(700).await;
    store.set_space(Some(Space::new(200_000, 8_000)));
    let comes = async {
        one.server.removing_tag.notified().await;
        one.blob("comes meanwhile", 2_000).await;
    };
    tokio::join!(run_common(&common, 1), comes);
    let free = free_bytes(&one).await;
    assert!((10_000..14_000).contains(&free), "{free}");
}

/// A store of 40 old images on a disk with room for files, of which 5 in 100 are to stay free.
async fn place_with_files(files: Files) -> (Place, MemoryStore, Arc<CommonKeeper>) {
    let (one, store) = Place::in_memory().await;
    fill(&one, 40).await;
    store.set_space(Some(Space { files: Some(files), ..Space::new(1_000_000_000, 900_000_000) }));
    let common = CommonKeeper::new(CommonLimits { max: None, free_min: Some(Cap::Percent(5)) });
    common.set_keepers(vec![Arc::clone(&one.keeper)]);
    pass(700).await;
    (one, store, common)
}

#[tokio::test(start_paused = true)]
async fn f30_images_go_when_few_files_are_free_though_many_bytes_are() {
    let (one, store, common) = place_with_files(Files { total: 1000, free: 20 }).await;
    run_common(&common, 10).await;
    let free = one.store.space().await.unwrap().unwrap().files.unwrap().free;
    assert!((52..56).contains(&free), "{free}");
    assert!(one.inventory.fits(1000));
    one.check().await;
    // Nothing helps: the rest is used.
    let none = Files { total: 1000, free: 0 };
    store.set_space(Some(Space { files: Some(none), ..Space::new(1_000_000_000, 900_000_000) }));
    for image in one.list() {
        one.inventory.manifest_used(&image.repository, &image.digest);
    }
    pass(1).await;
    let held = one.list().len();
    run_common(&common, 10).await;
    assert_eq!(one.list().len(), held);
    assert!(!one.inventory.fits(1));
}

#[tokio::test(start_paused = true)]
async fn a_count_of_files_that_never_changes_costs_few_images() {
    let (one, store, common) = place_with_files(Files { total: 1000, free: 0 }).await;
    store.hold_back(u64::MAX);
    run_common(&common, 600).await;
    let held = one.list().len();
    assert!((16..40).contains(&held), "{held} images stay");
    assert!(one.inventory.fits(1000), "its bytes count");
}
