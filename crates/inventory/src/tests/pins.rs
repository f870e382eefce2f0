use storage::{Operation, StoreErrorKind};

use super::*;
use crate::inventory::{PIN_COUNT_MAX, PinError};

#[tokio::test(start_paused = true)]
async fn pins_outlive_the_process() {
    let (place, _) = Place::in_memory().await;
    let app = repository("app");
    let one = place.image("app", &[("one", 100)]).await;
    let two = place.image("app", &[("two", 100)]).await;
    assert!(place.inventory.set_pinned(&app, &one, true).await.unwrap());
    assert!(!place.inventory.set_pinned(&app, &one, true).await.unwrap());
    assert!(place.inventory.set_pinned(&app, &two, true).await.unwrap());
    assert!(place.inventory.set_pinned(&app, &two, false).await.unwrap());
    let place = place.restarted().await;
    let pinned: Vec<_> = place.list().into_iter().filter(|image| image.is_pinned).collect();
    assert_eq!(pinned.iter().map(|image| &image.digest).collect::<Vec<_>>(), [&one]);
    pass(700).await;
    place.evict(u64::MAX).await;
    assert!(place.has_manifest("app", &one).await && !place.has_manifest("app", &two).await);
}

#[tokio::test(start_paused = true)]
async fn a_pin_counts_as_soon_as_its_image_comes() {
    let (place, _) = Place::in_memory().await;
    let digest = Digest::of(Algorithm::Sha256, image_text(&[("layer", 10)]).as_bytes());
    place.inventory.set_pinned(&repository("app"), &digest, true).await.unwrap();
    place.image("app", &[("layer", 10)]).await;
    assert!(place.list()[0].is_pinned);
}

#[tokio::test(start_paused = true)]
async fn several_pins_are_changed_in_one_note_or_not_at_all() {
    let (place, store) = Place::in_memory().await;
    let app = repository("app");
    let held = place.image("app", &[("layer", 10)]).await;
    let later = Digest::of(Algorithm::Sha256, b"later");
    let changes = [(app.clone(), held.clone(), true), (app.clone(), later.clone(), true)];
    store.fail(Operation::PutNote, 0, StoreErrorKind::Full);
    assert!(place.inventory.change_pins(&changes).await.is_err());
    assert_eq!(place.inventory.pinned_images(), Some(Vec::new()));
    store.fail(Operation::PutNote, 1, StoreErrorKind::Full);
    assert_eq!(place.inventory.change_pins(&changes).await.unwrap(), [true, true]);
    assert_eq!(place.inventory.change_pins(&changes).await.unwrap(), [false, false], "no note is written");
    let place = place.restarted().await;
    let mut pinned = vec![(app.clone(), held), (app, later)];
    pinned.sort();
    assert_eq!(place.inventory.pinned_images(), Some(pinned));
    assert!(place.list()[0].is_pinned);
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_cannot_be_written_is_none() {
    let (place, store) = Place::in_memory().await;
    let digest = place.image("app", &[("layer", 10)]).await;
    store.fail(Operation::PutNote, 0, StoreErrorKind::Full);
    let failed = place.inventory.set_pinned(&repository("app"), &digest, true).await;
    assert!(matches!(failed, Err(PinError::Store(_))));
    assert!(!place.list()[0].is_pinned);
}

#[tokio::test(start_paused = true)]
async fn a_store_has_so_many_pins_and_no_more() {
    let (place, _) = Place::in_memory().await;
    let app = repository("app");
    let pin = |number: usize| (app.clone(), Digest::of(Algorithm::Sha256, &number.to_le_bytes()), true);
    let all: Vec<_> = (0..PIN_COUNT_MAX).map(pin).collect();
    place.inventory.change_pins(&all).await.unwrap();
    let (_, further, _) = pin(PIN_COUNT_MAX);
    let refused = place.inventory.set_pinned(&app, &further, true).await;
    assert!(matches!(refused, Err(PinError::TooMany)));
    let count = || place.inventory.pinned_images().unwrap().len();
    assert_eq!(count(), PIN_COUNT_MAX);
    // One that is pinned stays so, one goes, and then there is room for another.
    assert!(!place.inventory.set_pinned(&app, &all[0].1, true).await.unwrap());
    assert!(place.inventory.set_pinned(&app, &all[0].1, false).await.unwrap());
    assert!(place.inventory.set_pinned(&app, &further, true).await.unwrap());
    assert_eq!(count(), PIN_COUNT_MAX);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_it_is_not_known_what_is_pinned() {
    let (place, _) = Place::in_memory().await;
    let digest = place.image("app", &[("layer", 10)]).await;
    place.store.put_note("pins", &Bytes::from_static(b"\0\0\0\0")).await.unwrap();
    let place = place.restarted().await;
    pass(700).await;
    assert_eq!(place.evict(u64::MAX).await, Freed::default());
    let failed = place.inventory.set_pinned(&repository("app"), &digest, true).await;
    assert!(matches!(failed, Err(PinError::Damaged)));
    // The note before it counts, if there is one.
    place.store.put_note("pinsodd", &Bytes::from_static(b"wharf-pins 1 1\nend\n")).await.unwrap();
    let place = place.restarted().await;
    pass(700).await;
    assert_eq!(place.evict(u64::MAX).await.images, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_not_walked_takes_no_pins() {
    let place = Place::unwalked(Arc::new(MemoryStore::new()), Limits::default());
    let digest = Digest::of(Algorithm::Sha256, b"");
    let failed = place.inventory.set_pinned(&repository("app"), &digest, true).await;
    assert!(matches!(failed, Err(PinError::NotReady)));
}
