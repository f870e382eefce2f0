//! Sweeps remove files that were not resumed.

use std::fs;
use std::time::{Duration, SystemTime};

use super::Place;
use super::resume::leave;
use super::script::blob;
use crate::blob_store::BlobStore;
use crate::conformance::Engine;
use crate::maintain::Maintain;

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
