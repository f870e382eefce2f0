//! The removal of images that an operator names.

use std::time::Duration;

use super::*;
use crate::purge::PurgeError;

impl Place {
    pub(crate) async fn purge(&self, name: &str, digest: &Digest) -> Result<Freed, PurgeError> {
        self.keeper.purge(&repository(name), digest, Duration::ZERO).await
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
        assert!(matches!(place.purge("app", &index).await, Err(PurgeError::Pinned)));
        place.inventory.set_pinned(&app, pinned, false).await.unwrap();
    }
    assert!(matches!(place.purge("app", &child).await, Err(PurgeError::Part)));
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
    assert_eq!(purge.await.unwrap().unwrap().images, 1);
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
    assert_eq!(place.keeper.purge(&app, &digest, hour).await.unwrap().images, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_not_walked_is_not_purged() {
    let place = Place::unwalked(Arc::new(MemoryStore::new()), Limits::default());
    let digest = Digest::of(Algorithm::Sha256, b"");
    assert!(matches!(place.purge("app", &digest).await, Err(PurgeError::NotReady)));
    assert!(matches!(place.keeper.prune(false).await, Err(PurgeError::NotReady)));
}
