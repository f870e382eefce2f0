//! The removal of blobs that no manifest names.

use storage::Held;

use super::*;
use crate::prune::Pruned;

#[tokio::test(start_paused = true)]
async fn orphans_go_and_what_an_image_needs_stays() {
    let (place, _) = Place::in_memory().await;
    place.image("app", &[("needed", 100)]).await;
    let orphan = place.blob("orphan", 70).await;
    let filling = place.blob("filling", 50).await;
    place.server.filling.lock().insert(filling.clone());
    assert_eq!(place.keeper.prune(false).await.unwrap(), Pruned::default(), "they are new");
    pass(700).await;
    let young = place.blob("young", 30).await;
    let orphans = Pruned { orphans: Held { bytes: 70, count: 1 }, ..Pruned::default() };
    assert_eq!(place.keeper.prune(true).await.unwrap(), orphans);
    assert!(place.has_blob(&orphan).await, "a dry run removes nothing");
    assert_eq!(place.keeper.prune(false).await.unwrap(), orphans);
    assert!(!place.has_blob(&orphan).await);
    assert!(place.has_blob(&filling).await && place.has_blob(&young).await);
    place.check().await;
    place.check_no_holes(&BTreeSet::new()).await;
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_cannot_be_removed_is_counted_and_goes_later() {
    let (place, store) = Place::in_memory().await;
    place.blob("one", 70).await;
    place.blob("two", 70).await;
    pass(700).await;
    store.fail(storage::Operation::Remove, 0, storage::StoreErrorKind::Io);
    let pruned = place.keeper.prune(false).await.unwrap();
    assert_eq!((pruned.orphans, pruned.failure_count), (Held { bytes: 70, count: 1 }, 1));
    place.check().await;
    // A failure counts as a use.
    pass(700).await;
    assert_eq!(place.keeper.prune(false).await.unwrap().orphans, Held { bytes: 70, count: 1 });
    assert_eq!(place.used(), 0);
}
