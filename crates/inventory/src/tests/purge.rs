//! The removal of images that an operator names.

use std::time::Duration;

use super::*;
use crate::purge::PurgeError;

impl Place {
    pub(crate) async fn purge(&self, name: &str, digest: &Digest) -> Result<Freed, PurgeError> {
        let purged = self.keeper.purge(&repository(name), digest, Duration::ZERO).await;
        purged.map(|purged| purged.freed)
    }

    fn listed_parts(&self) -> Vec<(Digest, Vec<Tag>)> {
        let parts = self.list().into_iter().filter(|entry| entry.is_part);
        parts.map(|entry| (entry.digest, entry.tags)).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_purged_image_goes_although_it_was_just_used() {
    let (place, _) = Place::in_memory().await;
    let digest = place.image("app", &[("layer", 100)]).await;
    let freed = place.purge("app", &digest).await.unwrap();
    assert_eq!((freed.images, place.used()), (1, 0));
    assert!(matches!(place.purge("app", &digest).await, Err(PurgeError::NotHeld)));
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_pinned_image_and_one_with_a_pinned_part_are_not_purged() {
    let (place, _) = Place::in_memory().await;
    let app = repository("app");
    let child = place.image("app", &[("layer", 100)]).await;
    let index = place.index("app", &[&child]).await;
    for pinned in [&index, &child] {
        place.inventory.set_pinned(&app, pinned, true).await.unwrap();
        let kept = place.purge("app", &index).await.unwrap_err();
        let PurgeError::Pinned(pins) = &kept else { panic!("{kept}") };
        assert_eq!(pins.digests.iter().collect::<Vec<_>>(), [pinned]);
        let what =
            if pinned == &index { "it is pinned" } else { &format!("its part test/app@{child} is pinned") };
        assert_eq!(kept.to_string(), format!("{what}; run `wharf unpin test/app@{pinned}` first"));
        place.inventory.set_pinned(&app, pinned, false).await.unwrap();
    }
    place.tag("app", "1.0", &index).await;
    let kept = place.purge("app", &child).await.unwrap_err().to_string();
    assert_eq!(kept, "it is a part of test/app:1.0; purge that one");
    place.check_no_holes(&BTreeSet::new()).await;
    assert_eq!(place.purge("app", &index).await.unwrap().images, 1);
    assert_eq!(place.used(), 0);
}

/// The pin is written between the first look at the image and its removal.
#[tokio::test(start_paused = true)]
async fn a_pin_that_is_set_during_a_purge_is_respected_or_comes_after_it() {
    for delay in 0..12 {
        let (place, _) = Place::in_memory().await;
        let (app, digest) = (repository("app"), place.image("app", &[("layer", 100)]).await);
        let (keeper, inventory) = (Arc::clone(&place.keeper), Arc::clone(&place.inventory));
        let (of, named) = (app.clone(), digest.clone());
        let purge = tokio::spawn(async move { keeper.purge(&of, &named, Duration::ZERO).await });
        for _ in 0..delay {
            tokio::task::yield_now().await;
        }
        assert!(inventory.set_pinned(&app, &digest, true).await.unwrap());
        // What the operator is told after the pin stays true.
        let was_held = inventory.is_held(&app, &digest);
        let purged = purge.await.unwrap();
        assert_eq!(place.has_manifest("app", &digest).await, was_held, "{delay}");
        assert_eq!(purged.is_ok(), !was_held, "{delay}: {purged:?}");
        place.check().await;
        place.check_no_holes(&BTreeSet::new()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_waits_for_a_removal_says_that_the_image_is_gone() {
    let (place, _) = Place::in_memory().await;
    let app = repository("app");
    let digest = place.image("app", &[("layer", 100)]).await;
    place.tag("app", "latest", &digest).await;
    let (keeper, of, named) = (Arc::clone(&place.keeper), app.clone(), digest.clone());
    let purge = tokio::spawn(async move { keeper.purge(&of, &named, Duration::ZERO).await });
    place.server.removing_tag.notified().await;
    assert!(place.inventory.set_pinned(&app, &digest, true).await.unwrap());
    assert!(!place.inventory.is_held(&app, &digest));
    assert_eq!(purge.await.unwrap().unwrap().freed.images, 1);
}

#[tokio::test(start_paused = true)]
async fn an_image_with_a_blob_on_its_way_or_a_recent_use_is_named_and_stays() {
    let (place, _) = Place::in_memory().await;
    let app = repository("app");
    let digest = place.image("app", &[("layer", 100)]).await;
    let layer = Digest::of(Algorithm::Sha256, &bytes("layer", 100));
    place.server.filling.lock().insert(layer.clone());
    assert!(matches!(place.purge("app", &digest).await, Err(PurgeError::Busy)));
    place.server.filling.lock().clear();
    let hour = Duration::from_secs(3600);
    assert!(matches!(place.keeper.purge(&app, &digest, hour).await, Err(PurgeError::Used)));
    pass(3600).await;
    assert_eq!(place.keeper.purge(&app, &digest, hour).await.unwrap().freed.images, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_not_walked_is_not_purged() {
    let place = Place::unwalked(Arc::new(MemoryStore::new()), Limits::default());
    let digest = Digest::of(Algorithm::Sha256, b"");
    assert!(matches!(place.purge("app", &digest).await, Err(PurgeError::NotReady)));
    assert!(matches!(place.keeper.prune(false).await, Err(PurgeError::NotReady)));
}

#[tokio::test(start_paused = true)]
async fn every_tag_that_goes_with_an_image_is_named_before_and_after() {
    let (place, _) = Place::in_memory().await;
    let app = repository("app");
    let own = place.image("app", &[("own", 10)]).await;
    let shared = place.image("app", &[("shared", 10)]).await;
    let index = place.index("app", &[&own, &shared]).await;
    let other = place.index("app", &[&shared]).await;
    for (name, digest) in
        [("latest", &index), ("1.0", &index), ("1.0-own", &own), ("1.0-shared", &shared), ("other", &other)]
    {
        place.tag("app", name, digest).await;
    }
    let standing = place.inventory.anatomy(&app, &index).await.unwrap().unwrap().standing;
    let purged = place.keeper.purge(&app, &index, Duration::ZERO).await.unwrap();
    assert_eq!(purged.tags, ["1.0", "1.0-own", "latest"].map(tag));
    assert_eq!(standing.tags, purged.tags);
    assert!(place.has_tag("app", "1.0-shared").await && place.has_tag("app", "other").await);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_of_an_image_with_a_tag_is_listed_and_its_tag_goes_alone() {
    let (place, _) = Place::in_memory().await;
    let (app, v1) = (repository("app"), tag("1.0-amd64"));
    let child = place.image("app", &[("layer", 100)]).await;
    place.tag("app", "1.0-amd64", &child).await;
    assert_eq!(place.listed_parts(), []);
    // Not yet a part.
    let purged = place.keeper.purge_tag(&app, &v1, &child).await;
    assert!(matches!(purged, Err(PurgeError::NotHeld)));
    let index = place.index("app", &[&child]).await;
    place.tag("app", "1.0", &index).await;
    assert_eq!(place.listed_parts(), [(child.clone(), vec![v1.clone()])]);
    assert_eq!((place.list().len(), place.inventory.image_figures().count), (2, 1));
    place.inventory.set_pinned(&app, &child, true).await.unwrap();
    assert!(matches!(place.keeper.purge_tag(&app, &v1, &child).await, Err(PurgeError::Pinned(_))));
    place.inventory.set_pinned(&app, &child, false).await.unwrap();
    // The tag moved meanwhile.
    assert!(matches!(place.keeper.purge_tag(&app, &v1, &index).await, Err(PurgeError::NotHeld)));
    place.keeper.purge_tag(&app, &v1, &child).await.unwrap();
    assert_eq!(place.listed_parts(), []);
    assert!(!place.has_tag("app", "1.0-amd64").await && place.has_tag("app", "1.0").await);
    assert!(place.has_manifest("app", &child).await && place.has_manifest("app", &index).await);
    place.check().await;
}
