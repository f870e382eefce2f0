//! Sweeps remove files that were not resumed.

use std::fs;
use std::time::{Duration, SystemTime};

use oci::{Algorithm, Digest};

use super::Place;
use super::resume::leave;
use super::script::blob;
use super::usage::truth;
use crate::blob_store::BlobStore;
use crate::conformance::Engine;
use crate::fs::fault::{Call, Fault};
use crate::fs::leftovers::LEFTOVER_COUNT_MAX;
use crate::maintain::Maintain;
use crate::usage::{Held, Usage};

#[tokio::test]
async fn untouched_partial_files_are_removed_after_a_day() {
    let day = Duration::from_secs(24 * 60 * 60);
    let minute = Duration::from_secs(60);
    let now = SystemTime::now();
    for (modified, is_kept) in [
        (now, true),
        (now - day + minute, true),
        (now - day - minute, false),
        (now + day - minute, true),
        (now + day + minute, false),
    ] {
        let place = Place::new();
        leave(&place, &[(0, 25_000)]).await;
        let age = |modified| {
            let file = fs::File::open(place.layout().partial(&blob(0).1)).unwrap();
            file.set_modified(modified).unwrap();
        };
        age(modified);
        let store = place.open();
        assert_eq!(place.names_in("partial").len(), if is_kept { 2 } else { 0 }, "{modified:?}");
        // A partial file in use is not swept, whatever its age.
        let spool = store.spool(&blob(0).1).await.unwrap();
        age(now - 3 * day);
        store.sweep().await;
        assert!(place.layout().partial(&blob(0).1).exists());
        drop(spool);
        store.sweep().await;
        assert_eq!(place.names_in("partial"), [""; 0]);
    }
}

#[tokio::test]
async fn temporary_files_are_removed_at_the_start() {
    let place = Place::new();
    drop(place.open());
    for number in 0..100 {
        fs::write(place.root().join(format!("tmp/{number}")), "left over").unwrap();
    }
    drop(place.open());
    assert_eq!(place.names_in("tmp"), [""; 0]);
}

/// Files in `partial` that no sidecar describes, of a byte each.
fn leave_behind(place: &Place, count: u32) -> Vec<Digest> {
    let digests = (0..count).map(|number| Digest::of(Algorithm::Sha256, &number.to_le_bytes()));
    digests.inspect(|digest| fs::write(place.layout().partial(digest), "x").unwrap()).collect()
}

#[tokio::test]
async fn leftovers_are_counted_before_the_store_is_used() {
    let place = Place::fast();
    drop(place.open());
    let digests = leave_behind(&place, 3);
    let store = place.open();
    assert_eq!(store.usage().partial, Held { bytes: 3, count: 3 });
    store.spool(&digests[0]).await.unwrap().discard().await;
    assert_eq!(store.usage().partial, Held { bytes: 2, count: 2 });
    assert!(store.usage().is_counting, "its other directories are not counted yet");
    store.take_stock().await;
    assert_eq!(store.usage(), truth(&place.root()));
}

#[tokio::test]
async fn a_start_counts_a_bounded_number_of_leftovers() {
    let place = Place::fast();
    drop(place.open());
    let digests = leave_behind(&place, LEFTOVER_COUNT_MAX as u32 + 10);
    let store = place.open();
    store.take_stock().await;
    let counted = LEFTOVER_COUNT_MAX as u64;
    let partial = Held { bytes: counted, count: counted };
    assert_eq!(store.usage(), Usage { partial, ..Usage::default() });
    for digest in &digests {
        store.spool(digest).await.unwrap().discard().await;
    }
    assert_eq!(place.names_in("partial"), [""; 0]);
    assert_eq!(store.usage(), Usage::default(), "it never becomes negative");
}

/// A listing that fails leaves the figure unknown, and the store says so.
#[tokio::test]
async fn leftovers_that_cannot_be_listed_stay_uncounted() {
    let place = Place::fast();
    drop(place.open());
    leave_behind(&place, 1);
    // The first listing is that of `tmp`, the second one the sweep's.
    place.faults.inject(Some(Call::ReadDirectory), 2, Fault::Errno(5));
    let store = place.open();
    assert!(!place.faults.is_pending());
    store.take_stock().await;
    assert!(store.usage().is_counting);
}

#[tokio::test]
async fn partial_files_go_on_demand_unless_they_are_new_or_in_use() {
    let hour = Duration::from_secs(3600);
    let place = Place::new();
    leave(&place, &[(0, 25_000)]).await;
    let age = |age: Duration| {
        let file = fs::File::open(place.layout().partial(&blob(0).1)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    };
    let store = place.open();
    store.take_stock().await;
    let held = store.usage().partial;
    assert_eq!(held.count, 1);
    age(hour / 2);
    assert_eq!(store.remove_partial(hour, false).await.unwrap(), Held::default());
    age(2 * hour);
    assert_eq!(store.remove_partial(hour, true).await.unwrap(), held);
    assert_eq!(place.names_in("partial").len(), 2, "a dry run removes nothing");
    let spool = store.spool(&blob(0).1).await.unwrap();
    age(2 * hour);
    assert_eq!(store.remove_partial(hour, false).await.unwrap(), Held::default());
    spool.park().await;
    age(2 * hour);
    assert_eq!(store.remove_partial(hour, false).await.unwrap(), held);
    assert_eq!(place.names_in("partial"), [""; 0]);
    assert_eq!(store.usage(), truth(&place.root()));
}

#[tokio::test]
async fn quarantined_files_go_on_demand_and_other_files_stay() {
    let place = Place::new();
    let store = place.open();
    store.take_stock().await;
    assert_eq!(store.remove_quarantined(false).await.unwrap(), Held::default());
    for number in 0..3 {
        fs::create_dir_all(place.root().join("quarantine")).unwrap();
        let path = place.root().join(format!("damaged-{number}"));
        fs::write(&path, "damaged").unwrap();
        store.root().set_aside(&path).unwrap();
    }
    fs::write(place.root().join("quarantine/notes.txt"), "an operator's").unwrap();
    let held = store.usage().quarantine;
    assert_eq!(held, Held { bytes: 21, count: 3 });
    assert_eq!(store.remove_quarantined(true).await.unwrap(), held);
    assert_eq!(place.names_in("quarantine").len(), 4, "a dry run removes nothing");
    assert_eq!(store.remove_quarantined(false).await.unwrap(), held);
    assert_eq!(place.names_in("quarantine"), ["notes.txt"]);
    assert_eq!(store.usage().quarantine, Held::default());
}

#[tokio::test]
async fn the_oldest_quarantined_files_go_first_and_the_newest_stay() {
    let place = Place::new();
    drop(place.open());
    for number in 1..=5 {
        fs::write(place.root().join(format!("quarantine/{number:010}-damaged")), "damaged").unwrap();
    }
    fs::write(place.root().join("quarantine/notes.txt"), "an operator's").unwrap();
    let store = place.open();
    store.take_stock().await;
    let (none, one) = (Held::default(), Held { bytes: 7, count: 1 });
    assert_eq!(store.remove_oldest_quarantined(0, 0).await.unwrap(), none);
    assert_eq!(store.remove_oldest_quarantined(1, 2).await.unwrap(), one);
    assert!(!place.names_in("quarantine").contains(&"0000000001-damaged".to_owned()));
    assert_eq!(store.remove_oldest_quarantined(u64::MAX, 2).await.unwrap(), Held { bytes: 14, count: 2 });
    assert_eq!(place.names_in("quarantine"), ["0000000004-damaged", "0000000005-damaged", "notes.txt"]);
    assert_eq!(store.remove_oldest_quarantined(u64::MAX, 2).await.unwrap(), none);
    assert_eq!(store.remove_oldest_quarantined(u64::MAX, 0).await.unwrap(), Held { bytes: 14, count: 2 });
    assert_eq!(place.names_in("quarantine"), ["notes.txt"]);
}
