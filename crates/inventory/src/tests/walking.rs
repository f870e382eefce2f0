use storage::{Operation, StoreErrorKind};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_walk_learns_what_a_store_holds() {
    let (place, _) = Place::in_memory().await;
    for number in 0..600 {
        let digest = place.image("app", &[("base", 50), (&format!("layer {number}"), 10)]).await;
        place.tag("app", &format!("v{number}"), &digest).await;
    }
    let amd64 = place.image("other", &[("amd64", 10)]).await;
    place.index("other", &[&amd64]).await;
    place.blob("lonely", 10).await;
    let again = place.restarted().await;
    again.check().await;
    assert_eq!(again.list().len(), 601);
    pass(700).await;
    again.evict(u64::MAX).await;
    assert_eq!(again.used(), 0);
    again.check().await;
}

#[tokio::test(start_paused = true)]
async fn last_uses_come_from_the_note_or_else_from_the_files() {
    let (place, store) = Place::in_memory().await;
    let at = |days: u64| start() + Duration::from_secs(days * 86_400) - Duration::from_secs(40 * 86_400);
    store.set_time(at(10));
    let noted = place.image("app", &[("noted", 10)]).await;
    store.set_time(at(20));
    place.image("app", &[("first", 10)]).await;
    walk::write_uses(&place.inventory, false).await;
    store.set_time(at(5));
    let later = place.image("app", &[("later", 10)]).await;
    let place = place.restarted().await;
    let last_use = |digest: &Digest| {
        let image = place.list().into_iter().find(|image| image.digest == *digest).unwrap();
        image.last_use
    };
    assert_eq!((last_use(&noted), last_use(&later)), (start(), at(5)));
    place.evict(1).await;
    assert!(!place.has_manifest("app", &later).await && place.has_manifest("app", &noted).await);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_note_of_uses_is_no_loss() {
    let (place, _) = Place::in_memory().await;
    let digest = place.image("app", &[("layer", 10)]).await;
    for note in [&b""[..], b"uses", &[0; 100]] {
        place.store.put_note("uses", &Bytes::from_static(note)).await.unwrap();
        let place = place.restarted().await;
        assert_eq!((place.list().len(), place.list()[0].last_use), (1, start()));
        assert_eq!(place.list()[0].digest, digest);
    }
}

/// The clock was a year ahead when the store was used, and is right again.
#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_makes_nothing_stay_for_ever() {
    let (place, store) = Place::in_memory().await;
    store.set_time(start() + Duration::from_secs(365 * 86_400));
    place.image("app", &[("layer", 10)]).await;
    place.blob("lonely", 10).await;
    let place = place.restarted().await;
    assert_eq!(place.evict(u64::MAX).await, Freed::default());
    pass(700).await;
    place.evict(u64::MAX).await;
    assert_eq!(place.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_walk_that_fails_is_repeated_and_nothing_goes_before() {
    let (place, store) = Place::in_memory().await;
    place.image("app", &[("layer", 10)]).await;
    place.image("app", &[("other", 10)]).await;
    store.set_time(start() - Duration::from_secs(86_400));
    for operation in [
        Operation::Repositories,
        Operation::Manifests,
        Operation::Manifest,
        Operation::Tags,
        Operation::Entries,
        Operation::Note,
    ] {
        let again = Place::unwalked(Arc::clone(&place.store), Limits::default());
        store.fail(operation, 0, StoreErrorKind::Io);
        walk::walk(&again.inventory).await.unwrap_err();
        assert!(!again.inventory.is_complete());
        assert_eq!(again.evict(u64::MAX).await, Freed::default());
        walk::walk(&again.inventory).await.unwrap();
        again.check().await;
    }
    // Without last uses, the files tell.
    store.fail(Operation::Note, 2, StoreErrorKind::Io);
    place.restarted().await.check().await;
    assert!(!store.has_failures_left());
}

/// Everything that happens while the store is walked is known afterwards.
#[tokio::test(start_paused = true)]
async fn what_happens_during_a_walk_is_right_afterwards() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (before, _) = Place::in_memory().await;
        for number in 0..6 {
            let digest = before.image("app", &[("base", 10), (&number.to_string(), 10)]).await;
            before.tag("app", &format!("v{number}"), &digest).await;
        }
        before.blob("orphan", 10).await;
        let place = Place::unwalked(Arc::clone(&before.store), Limits::default());
        let inventory = Arc::clone(&place.inventory);
        // The store's futures complete at once, so the walk stops only where it is told to.
        let gate = inventory.gate().write().await;
        let walking = tokio::spawn({
            let inventory = Arc::clone(&inventory);
            async move { walk::walk(&inventory).await.unwrap() }
        });
        for _ in 0..random.usize(0..4) {
            tokio::task::yield_now().await;
        }
        let remove = random.u8(0..6).to_string();
        let (app, moved) = (repository("app"), tag(&format!("v{remove}")));
        place.store.remove_tag(&app, &moved).await.unwrap();
        inventory.tag_removed(&app, &moved);
        let blob = Digest::of(Algorithm::Sha256, &bytes(&remove, 10));
        place.store.remove(&blob).await.unwrap();
        inventory.blob_removed(&blob);
        drop(gate);
        let digest = place.image("app", &[("base", 10), ("new", 10)]).await;
        place.tag("app", "v9", &digest).await;
        place.blob("second orphan", 10).await;
        if random.bool() {
            place.blob(&remove, 10).await;
        }
        walking.await.unwrap();
        place.check().await;
        pass(700).await;
        place.evict(u64::MAX).await;
        assert_eq!(place.used(), 0, "seed {seed}");
        place.check().await;
    }
}

#[tokio::test(start_paused = true)]
async fn more_orphans_than_are_known_by_name_go_as_well() {
    let (place, _) = Place::in_memory().await;
    for number in 0..17_000 {
        place.put_blob(&format!("{number:08}"), 8).await;
    }
    let place = place.restarted().await;
    pass(700).await;
    assert_eq!(place.evict(u64::MAX).await.images, 17_000);
    assert_eq!(place.used(), 0);
}
