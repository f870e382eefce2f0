use super::*;
use crate::model::PART_COUNT_MAX;

/// Longer than an image stays that was just used.
const LONG: u64 = 700;

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_image_goes_with_all_that_only_it_needs() {
    let (place, _) = Place::in_memory().await;
    let old = place.image("app", &[("base", 100), ("old", 1000)]).await;
    place.tag("app", "v1", &old).await;
    pass(10).await;
    let new = place.image("app", &[("base", 100), ("new", 1000)]).await;
    place.tag("app", "v2", &new).await;
    assert_eq!(place.evict(1).await, Freed::default(), "both were used a moment ago");
    pass(LONG).await;
    let before = place.used();
    let freed = place.evict(1).await;
    assert_eq!((freed.images, freed.bytes), (1, before - place.used()));
    assert!(!place.has_manifest("app", &old).await && !place.has_tag("app", "v1").await);
    assert!(place.has_manifest("app", &new).await && place.has_tag("app", "v2").await);
    assert!(place.has_blob(&Digest::of(Algorithm::Sha256, &bytes("base", 100))).await);
    assert!(!place.has_blob(&Digest::of(Algorithm::Sha256, &bytes("old", 1000))).await);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_was_pulled_again_stays_longer() {
    let (place, _) = Place::in_memory().await;
    let first = place.image("app", &[("first", 1000)]).await;
    pass(10).await;
    let second = place.image("app", &[("second", 1000)]).await;
    pass(10).await;
    let third = place.image("app", &[("third", 1000)]).await;
    pass(10).await;
    place.inventory.manifest_used(&repository("app"), &first);
    // A blob that only one image needs stands for the image.
    place.inventory.blob_used(&Digest::of(Algorithm::Sha256, &bytes("second", 1000)));
    pass(LONG).await;
    place.evict(1).await;
    assert!(place.has_manifest("app", &first).await && place.has_manifest("app", &second).await);
    assert!(!place.has_manifest("app", &third).await);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_use_of_a_shared_blob_renews_no_image() {
    let (place, _) = Place::in_memory().await;
    place.image("app", &[("base", 1000), ("one", 10)]).await;
    place.image("app", &[("base", 1000), ("two", 10)]).await;
    pass(LONG).await;
    place.inventory.blob_used(&Digest::of(Algorithm::Sha256, &bytes("base", 1000)));
    assert_eq!(place.evict(1).await.images, 1);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn the_base_layer_of_a_hundred_images_stays_until_the_last_one_goes() {
    let (place, _) = Place::in_memory().await;
    for number in 0..100 {
        let name = format!("app{number}");
        place.image(&name, &[("base", 10_000), (&format!("own {number}"), 10)]).await;
        pass(1).await;
    }
    let base = Digest::of(Algorithm::Sha256, &bytes("base", 10_000));
    pass(LONG).await;
    for left in (0..100).rev() {
        assert!(place.has_blob(&base).await);
        assert_eq!(place.evict(1).await.images, 1);
        assert_eq!(place.list().len(), left);
    }
    assert!(!place.has_blob(&base).await);
    assert_eq!((place.used(), place.evict(1).await), (0, Freed::default()));
    assert!(place.store.repositories(None, 10).await.unwrap().is_empty());
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn an_index_and_the_platforms_that_were_pulled_through_it_are_one_image() {
    let (place, _) = Place::in_memory().await;
    let text = image_text(&[("arm64", 500)]);
    let arm64 = Digest::of(Algorithm::Sha256, text.as_bytes());
    let amd64_digest = Digest::of(Algorithm::Sha256, image_text(&[("amd64", 500)]).as_bytes());
    let index = place.index("app", &[&amd64_digest, &arm64]).await;
    let amd64 = place.image("app", &[("amd64", 500)]).await;
    assert_eq!(amd64, amd64_digest);
    place.tag("app", "latest", &index).await;
    place.tag("app", "latest-amd64", &amd64).await;
    let (parts, listed): (Vec<_>, Vec<_>) = place.list().into_iter().partition(|entry| entry.is_part);
    assert_eq!((listed.len(), &listed[0].digest, &listed[0].tags), (1, &index, &vec![tag("latest")]));
    assert_eq!((parts.len(), &parts[0].digest, &parts[0].tags), (1, &amd64, &vec![tag("latest-amd64")]));
    pass(300).await;
    // A pull of the platform is a use of the image.
    place.inventory.manifest_used(&repository("app"), &amd64);
    pass(400).await;
    assert_eq!(place.evict(1).await, Freed::default());
    pass(400).await;
    assert_eq!(place.evict(1).await.images, 1);
    assert_eq!((place.used(), place.list().len()), (0, 0));
    assert!(!place.has_tag("app", "latest").await && !place.has_tag("app", "latest-amd64").await);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_two_indexes_name_goes_with_the_last_one() {
    let (place, _) = Place::in_memory().await;
    let amd64 = place.image("app", &[("amd64", 500)]).await;
    let arm64 = place.image("app", &[("arm64", 500)]).await;
    let old = place.index("app", &[&amd64]).await;
    place.tag("app", "latest", &old).await;
    pass(20).await;
    let new = place.index("app", &[&amd64, &arm64]).await;
    let outer = place.index("app", &[&new]).await;
    place.tag("app", "latest", &outer).await;
    assert_eq!(place.list().len(), 2);
    pass(LONG).await;
    assert_eq!(place.evict(1).await.images, 1);
    assert!(!place.has_manifest("app", &old).await && place.has_manifest("app", &amd64).await);
    assert!(place.has_tag("app", "latest").await);
    place.check().await;
    assert_eq!(place.evict(1).await.images, 1);
    assert_eq!(place.used(), 0);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_manifest_in_two_repositories_keeps_its_bytes() {
    let (place, _) = Place::in_memory().await;
    let digest = place.image("one", &[("layer", 100)]).await;
    pass(10).await;
    assert_eq!(place.image("two", &[("layer", 100)]).await, digest);
    pass(LONG).await;
    place.inventory.manifest_used(&repository("two"), &digest);
    assert_eq!(place.evict(1).await, Freed { images: 1, bytes: 0 });
    assert!(!place.has_manifest("one", &digest).await && place.has_manifest("two", &digest).await);
    place.check().await;
    place.check_no_holes(&BTreeSet::new()).await;
}

#[tokio::test(start_paused = true)]
async fn an_image_whose_tag_moved_is_an_image_of_its_own() {
    let (place, _) = Place::in_memory().await;
    let old = place.image("app", &[("old", 100)]).await;
    place.tag("app", "latest", &old).await;
    let new = place.image("app", &[("new", 100)]).await;
    place.tag("app", "latest", &new).await;
    assert_eq!(place.list().len(), 2);
    pass(LONG).await;
    place.inventory.manifest_used(&repository("app"), &new);
    place.evict(u64::MAX).await;
    assert!(!place.has_manifest("app", &old).await && place.has_tag("app", "latest").await);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_pinned_busy_or_kept_by_a_pattern_stays() {
    let (place, _) = Place::in_memory().await;
    let pinned = place.image("pinned", &[("a", 100)]).await;
    let busy = place.image("busy", &[("b", 100)]).await;
    let kept = place.image("kept", &[("c", 100)]).await;
    place.tag("kept", "v1.2", &kept).await;
    place.image("other", &[("d", 100)]).await;
    assert!(place.inventory.set_pinned(&repository("pinned"), &pinned, true).await.unwrap());
    let filling = Digest::of(Algorithm::Sha256, &bytes("b", 100));
    place.server.filling.lock().insert(filling.clone());
    place.keeper.set_limits(Limits { keep: vec!["k*:v1.*".parse().unwrap()], ..Limits::default() });
    pass(LONG).await;
    assert_eq!(place.evict(u64::MAX).await.images, 1);
    assert_eq!(place.list().len(), 3);
    // They are looked at again later.
    place.server.filling.lock().clear();
    place.inventory.set_pinned(&repository("pinned"), &pinned, false).await.unwrap();
    place.keeper.set_limits(Limits::default());
    pass(LONG).await;
    assert_eq!(place.evict(u64::MAX).await.images, 3);
    assert_eq!(place.used(), 0);
    assert!(!place.has_manifest("busy", &busy).await);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_no_manifest_names_is_an_image_of_its_own() {
    let (place, _) = Place::in_memory().await;
    let lonely = place.blob("lonely", 100).await;
    pass(20).await;
    let named_later = place.blob("later", 100).await;
    place.image("app", &[("later", 100)]).await;
    pass(LONG).await;
    assert_eq!(place.evict(1).await, Freed { images: 1, bytes: 100 });
    assert!(!place.has_blob(&lonely).await && place.has_blob(&named_later).await);
    place.check().await;
    place.evict(u64::MAX).await;
    assert_eq!(place.used(), 0);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_ends_after_its_image_was_evicted_leaves_an_orphan() {
    let (place, _) = Place::in_memory().await;
    let digest = place.manifest_of(&repository("app"), image_text(&[("late", 100)])).await;
    pass(LONG).await;
    assert_eq!(place.evict(1).await.images, 1);
    assert!(!place.has_manifest("app", &digest).await);
    let blob = place.blob("late", 100).await;
    place.check().await;
    pass(LONG).await;
    place.evict(1).await;
    assert!(!place.has_blob(&blob).await);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_tag_whose_manifest_is_not_held_goes_in_its_turn() {
    let (place, _) = Place::in_memory().await;
    place.tag("app", "latest", &Digest::of(Algorithm::Sha256, b"never pulled")).await;
    assert!(place.list().is_empty());
    pass(LONG).await;
    place.evict(1).await;
    assert!(!place.has_tag("app", "latest").await);
    assert!(place.store.repositories(None, 10).await.unwrap().is_empty());
    place.check().await;
}

/// The tag is put back between the decision and the removal of the manifest: whoever stores a tag keeps
/// images from being removed, so it comes before the image is looked at, or after it is gone.
#[tokio::test(start_paused = true)]
async fn a_tag_that_comes_back_while_its_image_goes_waits_for_the_end_of_it() {
    let (place, _) = Place::in_memory().await;
    let digest = place.image("app", &[("layer", 100)]).await;
    place.tag("app", "latest", &digest).await;
    pass(LONG).await;
    let storing = place.inventory.storing().await;
    let keeper = Arc::clone(&place.keeper);
    let eviction = tokio::spawn(async move { keeper.make_room(1, Reason::Cap).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(place.has_manifest("app", &digest).await, "the eviction waits");
    place.inventory.manifest_used(&repository("app"), &digest);
    place.inventory.tag_stored(&storing, &repository("app"), &tag("again"), &digest);
    drop(storing);
    assert_eq!(eviction.await.unwrap(), Freed::default(), "it was used meanwhile");
    assert!(place.has_tag("app", "latest").await);
}

/// Between the removal of an image's records and that of its blobs, both can be needed again.
#[tokio::test(start_paused = true)]
async fn a_blob_that_is_needed_again_while_its_image_goes_stays() {
    let (place, _) = Place::in_memory().await;
    let digest = place.image("app", &[("named", 100), ("filling", 100), ("alone", 100)]).await;
    place.tag("app", "latest", &digest).await;
    let blob = |name| Digest::of(Algorithm::Sha256, &bytes(name, 100));
    pass(LONG).await;
    let keeper = Arc::clone(&place.keeper);
    let eviction = tokio::spawn(async move { keeper.make_room(1, Reason::Cap).await });
    place.server.removing_tag.notified().await;
    // This waits for the end of the removal of the records.
    let storing = place.inventory.storing().await;
    assert!(!place.has_manifest("app", &digest).await && place.has_blob(&blob("named")).await);
    place.server.filling.lock().insert(blob("filling"));
    let text = image_text(&[("named", 100)]);
    let manifest = VerifiedManifest::check(text.into(), None).unwrap();
    let other = repository("other");
    place.store.put_manifest(&other, &MANIFEST_TYPE.parse().unwrap(), &manifest).await.unwrap();
    place.inventory.manifest_stored(&storing, &other, manifest.digest(), manifest.bytes());
    drop(storing);
    assert_eq!(eviction.await.unwrap().images, 1);
    assert!(place.has_blob(&blob("named")).await && place.has_blob(&blob("filling")).await);
    assert!(!place.has_blob(&blob("alone")).await);
    place.check().await;
    // Nothing forgets them.
    place.server.filling.lock().clear();
    pass(LONG).await;
    place.evict(u64::MAX).await;
    assert_eq!(place.used(), 0);
}

/// The manifest's bytes are the same in another repository, which gets them while they are being removed.
#[tokio::test(start_paused = true)]
async fn a_manifest_that_another_repository_gets_while_it_goes_keeps_its_bytes() {
    let (place, _) = Place::in_memory().await;
    let layers = [("layer", 100)];
    let digest = place.image("app", &layers).await;
    place.tag("app", "latest", &digest).await;
    pass(LONG).await;
    let keeper = Arc::clone(&place.keeper);
    let eviction = tokio::spawn(async move { keeper.make_room(1, Reason::Cap).await });
    place.server.removing_tag.notified().await;
    assert_eq!(place.manifest_of(&repository("other"), image_text(&layers)).await, digest);
    eviction.await.unwrap();
    assert!(!place.has_manifest("app", &digest).await && place.has_manifest("other", &digest).await);
    place.check().await;
    place.check_no_holes(&BTreeSet::new()).await;
}

/// A blob that was in the store when its image went is gone afterwards, grants and lists of the repository
/// too.
#[tokio::test(start_paused = true)]
async fn the_grants_of_blobs_that_are_gone_are_forgotten() {
    let (place, _) = Place::in_memory().await;
    place.image("app", &[("own", 100), ("shared", 100)]).await;
    pass(20).await;
    place.image("app", &[("shared", 100)]).await;
    let blob = |name| Digest::of(Algorithm::Sha256, &bytes(name, 100));
    for name in ["own", "shared"] {
        place.store.put_link(&repository("app"), &blob(name)).await.unwrap();
    }
    pass(LONG).await;
    place.evict(1).await;
    assert!(!place.store.has_link(&repository("app"), &blob("own")).await.unwrap());
    assert!(place.store.has_link(&repository("app"), &blob("shared")).await.unwrap());
}

/// Whatever a registry nests, the store keeps its limits.
#[tokio::test(start_paused = true)]
async fn an_image_of_many_nested_indexes_goes_too() {
    let (place, _) = Place::in_memory().await;
    let mut digest = place.image("app", &[("layer", 1000)]).await;
    for _ in 0..40 {
        digest = place.index("app", &[&digest]).await;
    }
    place.tag("app", "latest", &digest).await;
    pass(LONG).await;
    place.evict(u64::MAX).await;
    assert!(!place.has_tag("app", "latest").await);
    assert_eq!((place.used(), place.list().len()), (0, 0));
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn an_image_of_more_parts_than_are_looked_at_goes_from_its_top() {
    let (place, _) = Place::in_memory().await;
    let mut children = Vec::new();
    for image in 0..=PART_COUNT_MAX / 20_000 {
        let named = |number| Digest::of(Algorithm::Sha256, format!("{image} {number}").as_bytes());
        let layers: Vec<_> =
            (0..20_000).map(|number| format!(r#"{{"digest":"{}"}}"#, named(number))).collect();
        let text = format!(r#"{{"schemaVersion":2,"layers":[{}]}}"#, layers.join(","));
        children.push(place.manifest_of(&repository("app"), text).await);
    }
    let pinned = &children[3];
    place.inventory.set_pinned(&repository("app"), pinned, true).await.unwrap();
    let index = place.index("app", &children.iter().collect::<Vec<_>>()).await;
    pass(LONG).await;
    place.evict(1).await;
    assert!(!place.has_manifest("app", &index).await && place.has_manifest("app", pinned).await);
    place.check().await;
    place.evict(u64::MAX).await;
    assert_eq!(place.list().len(), 1, "the pinned one stays");
    place.check().await;
}
