//! Manifests and blobs whose bytes were damaged and set aside.

use std::collections::HashSet;

use super::*;

impl Place {
    /// Sets the bytes of a manifest aside, as the cache does with damaged ones.
    async fn lose(&self, digest: &Digest) {
        let removing = self.inventory.removing().await;
        self.store.set_aside_manifest(digest).await.unwrap();
        self.inventory.manifest_removed(&removing, digest);
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_was_set_aside_leaves_the_list_and_comes_back_with_its_bytes() {
    let (place, _) = Place::in_memory().await;
    let text = image_text(&[("layer", 100)]);
    let digest = place.image("app", &[("layer", 100)]).await;
    place.manifest_of(&repository("other"), text.clone()).await;
    place.tag("app", "latest", &digest).await;
    place.lose(&digest).await;
    assert!(place.list().is_empty() && place.inventory.manifest_count() == 0);
    assert!(!place.inventory.has_manifest(&repository("app"), &digest));
    assert_eq!(place.inventory.repository_with(&digest), Some(repository("app")));
    place.manifest_of(&repository("app"), text).await;
    let listed: Vec<_> = place.list().into_iter().map(|image| image.repository).collect();
    assert_eq!(listed, [repository("app"), repository("other")], "both share the bytes");
    assert_eq!(place.inventory.manifest_count(), 2);
    place.check().await;
    pass(700).await;
    assert_eq!(place.evict(u64::MAX).await.images, 2);
    assert_eq!(place.used(), 0);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn the_blobs_of_a_manifest_that_was_set_aside_stay_and_go_with_it_after_the_next_start() {
    let (place, _) = Place::in_memory().await;
    let digest = place.image("app", &[("layer", 100)]).await;
    let layer = Digest::of(Algorithm::Sha256, &bytes("layer", 100));
    place.lose(&digest).await;
    let newer = place.image("app", &[("newer", 100)]).await;
    pass(300).await;
    assert_eq!(place.evict(u64::MAX).await.images, 0, "both were used lately");
    assert!(place.has_blob(&layer).await);
    pass(700).await;
    place.evict(u64::MAX).await;
    assert!(!place.has_manifest("app", &newer).await);
    assert!(
        place.store.manifests(&repository("app"), None, 10).await.unwrap().is_empty(),
        "no record is left"
    );
    let place = place.restarted().await;
    pass(700).await;
    place.evict(u64::MAX).await;
    assert!(!place.has_blob(&layer).await);
    place.check().await;
}

#[tokio::test(start_paused = true)]
async fn an_index_with_a_child_that_was_set_aside_goes_as_a_whole() {
    let (place, _) = Place::in_memory().await;
    let child = place.image("app", &[("layer", 100)]).await;
    let index = place.index("app", &[&child]).await;
    place.lose(&child).await;
    assert_eq!(place.list().iter().map(|image| &image.digest).collect::<Vec<_>>(), [&index]);
    pass(700).await;
    assert_eq!(place.evict(u64::MAX).await.images, 1);
    assert!(place.store.manifests(&repository("app"), None, 10).await.unwrap().is_empty());
    assert!(!place.inventory.model.images.read().has_any(&repository("app")));
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_needs_a_blob_is_found() {
    let (place, _) = Place::in_memory().await;
    for number in 0..3 {
        place.image(&format!("app{number}"), &[(&format!("layer{number}"), 100), ("shared", 10)]).await;
    }
    let digest = |name: &str, size| Digest::of(Algorithm::Sha256, &bytes(name, size));
    let orphan = place.blob("orphan", 10).await;
    let wanted: HashSet<_> = [digest("layer1", 100), digest("shared", 10), orphan.clone()].into();
    let found = place.inventory.repositories_needing(&wanted).await;
    assert_eq!(found.get(&digest("layer1", 100)), Some(&repository("app1")));
    assert!(found.contains_key(&digest("shared", 10)) && !found.contains_key(&orphan));
    assert!(place.inventory.has_blob(&orphan));
    place.inventory.blob_removed(&orphan);
    assert!(!place.inventory.has_blob(&orphan));
}

#[tokio::test(start_paused = true)]
async fn a_manifest_whose_grant_was_taken_away_leaves_orphans_and_no_image() {
    let (place, _) = Place::in_memory().await;
    let digest = place.image("app", &[("layer", 100), ("shared", 10)]).await;
    place.image("other", &[("shared", 10)]).await;
    let leaving = place.inventory.leaving(&repository("app"), &digest).await;
    place.store.remove_manifest(&repository("app"), &digest).await.unwrap();
    place.inventory.manifest_forgotten(leaving);
    assert_eq!(place.list().iter().map(|image| image.repository.as_str()).collect::<Vec<_>>(), ["other"]);
    place.check().await;
    pass(700).await;
    place.inventory.manifest_used(&repository("other"), &place.list()[0].digest);
    place.evict(u64::MAX).await;
    assert!(!place.has_blob(&Digest::of(Algorithm::Sha256, &bytes("layer", 100))).await);
    assert!(place.has_blob(&Digest::of(Algorithm::Sha256, &bytes("shared", 10))).await);
    place.check().await;
}
