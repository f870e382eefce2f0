//! The usage that a store reports is the content of its directories.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use oci::{Algorithm, Digest, Repository};

use super::script::media_type;
use super::{Place, metrics, unlocked};
use crate::blob_store::{BlobEntry, BlobStore};
use crate::conformance::{Engine, content, pieces};
use crate::fs::counted::Counted;
use crate::fs::fault::{Call, Fault};
use crate::fs::{FsStore, open};
use crate::maintain::Maintain;
use crate::record_store::RecordStore;
use crate::usage::{Held, Usage};
use crate::verified_manifest::VerifiedManifest;

/// The total of the regular files below a directory, as `du --apparent-size` counts it.
fn measured(path: &Path, counts: &dyn Fn(&str) -> bool) -> Held {
    let mut held = Held::default();
    for entry in fs::read_dir(path).into_iter().flatten() {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        if found.is_dir() {
            let below = measured(&entry.path(), counts);
            held = Held { bytes: held.bytes + below.bytes, count: held.count + below.count };
        } else if found.is_file() && counts(&entry.file_name().to_string_lossy()) {
            held = Held { bytes: held.bytes + found.len(), count: held.count + 1 };
        }
    }
    held
}

pub(super) fn truth(root: &Path) -> Usage {
    Usage {
        blobs: measured(&root.join("blobs"), &|_| true),
        manifests: measured(&root.join("manifests"), &|_| true),
        partial: measured(&root.join("partial"), &|name| !name.ends_with(".json")),
        quarantine: measured(&root.join("quarantine"), &|_| true),
        is_counting: false,
    }
}

/// A blob of one of the sizes at which the behaviour changes.
fn blob(number: u64) -> (Bytes, Digest) {
    content(1 + (number as usize * 7_919) % 400_000, Algorithm::Sha256)
}

/// One change, chosen by `seed`; it may have no effect.
async fn change(store: &FsStore, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (bytes, digest) = blob(random.u64(..12));
    let size = bytes.len() as u64;
    match random.u8(..12) {
        0 | 1 => {
            let spool = store.spool(&digest).await.unwrap();
            for gap in spool.gaps(size) {
                let missing = bytes.slice(gap.start as usize..gap.end as usize);
                let _ = spool.write(gap.start, pieces(&missing, 10_000)).await;
            }
            if let Ok(verified) = spool.finish(size).await {
                let _ = store.admit(verified).await;
            }
        }
        2 | 3 => {
            let spool = store.spool(&digest).await.unwrap();
            let start = random.u64(..size);
            let end = random.u64(start..=size);
            let _ = spool.write(start, vec![bytes.slice(start as usize..end as usize)]).await;
            match random.u8(..4) {
                0 => spool.leave().await,
                1 => spool.park().await,
                2 => spool.discard().await,
                _ => {}
            }
        }
        4 => assert!([0, size].contains(&store.remove(&digest).await.unwrap())),
        5 => store.set_aside(&digest).await.unwrap(),
        6 => {
            let spool = store.spool(&digest).await.unwrap();
            let _ = spool.write(0, vec![vec![0; bytes.len()].into()]).await;
            let _ = spool.finish(size).await;
        }
        7 => {
            let name: Repository = format!("r{}/x", random.u8(..3)).parse().unwrap();
            store.remove_repository(&name).await.unwrap();
        }
        number => {
            let name: Repository = format!("r{}/x", random.u8(..3)).parse().unwrap();
            let text = format!("{{\"number\":{}}}", random.u8(..4));
            let manifest = VerifiedManifest::check(text.into(), None).unwrap();
            let size = manifest.bytes().len() as u64;
            match number {
                8 => store.put_manifest(&name, &media_type(), &manifest).await.unwrap(),
                9 => store.set_aside_manifest(manifest.digest()).await.unwrap(),
                10 => store.remove_manifest(&name, manifest.digest()).await.unwrap(),
                _ => {
                    let freed = store.remove_manifest_bytes(manifest.digest()).await.unwrap();
                    assert!([0, size].contains(&freed));
                }
            }
        }
    }
}

/// Makes changes, reopens the store without notice, counts during changes, and compares the usage each time.
async fn live(place: &Place, seed: u64, opened: impl Fn() -> FsStore) {
    for life in 0..4 {
        let store = opened();
        assert!(store.usage().is_counting);
        for number in 0..5 {
            change(&store, seed * 1_000 + life * 100 + number).await;
        }
        let changes = join_all((0..10).map(|number| change(&store, seed * 1_000 + life * 100 + 10 + number)));
        tokio::join!(store.take_stock(), changes);
        assert_eq!(store.usage(), truth(&place.root()), "seed {seed}, life {life}");
        for number in 0..15 {
            change(&store, seed * 1_000 + life * 100 + 50 + number).await;
            assert_eq!(store.usage(), truth(&place.root()), "seed {seed}, life {life}, change {number}");
        }
        join_all((0..10).map(|number| change(&store, seed * 1_000 + life * 100 + 80 + number))).await;
        assert_eq!(store.usage(), truth(&place.root()), "seed {seed}, life {life}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_the_content_of_the_directories() {
    for seed in 0..12 {
        let place = Place::fast();
        live(&place, seed, || place.open()).await;
        let place = Place::fast().collecting();
        live(&place, seed, || place.open()).await;
        let place = Place::fast();
        live(&place, seed, || unlocked(|| open(&place.root(), metrics())).unwrap()).await;
    }
}

#[tokio::test]
async fn the_first_answer_does_not_wait_for_the_count() {
    let place = Place::fast();
    for number in 0..200_u32 {
        let path = place.layout().blob(&Digest::of(Algorithm::Sha256, &number.to_le_bytes()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let (bytes, digest) = content(1_000, Algorithm::Sha256);
    fs::create_dir_all(place.layout().blob(&digest).parent().unwrap()).unwrap();
    fs::write(place.layout().blob(&digest), &bytes).unwrap();
    fs::write(place.root().join("VERSION"), "1\n").unwrap();
    let store = place.open();
    let hold = place.faults.hold(Call::ReadDirectory);
    let counting = tokio::spawn({
        let store = store.clone();
        async move { store.take_stock().await }
    });
    let found = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(found.read(0, 1_000).await.unwrap(), bytes);
    assert!(store.usage().is_counting && store.usage().blobs.count < 201);
    drop(hold);
    counting.await.unwrap();
    let blobs = Held { bytes: 1_200, count: 201 };
    assert_eq!(store.usage(), Usage { blobs, ..Usage::default() });
}

#[tokio::test]
async fn a_directory_that_cannot_be_counted_is_counted_by_a_later_sweep() {
    let place = Place::fast();
    let (bytes, digest) = content(1_000, Algorithm::Sha256);
    fs::create_dir_all(place.layout().blob(&digest).parent().unwrap()).unwrap();
    fs::write(place.layout().blob(&digest), &bytes).unwrap();
    fs::write(place.root().join("VERSION"), "1\n").unwrap();
    let store = place.open();
    // The first four list parents, then this directory is read.
    place.faults.inject(Some(Call::ReadDirectory), 4, Fault::Errno(5));
    store.take_stock().await;
    assert!(!place.faults.is_pending() && store.usage().is_counting);
    for _ in 0..24 {
        store.sweep().await;
    }
    assert_eq!(store.usage(), truth(&place.root()));
}

#[tokio::test]
async fn files_removed_by_hand_are_noticed_within_a_day_of_sweeps() {
    let place = Place::fast();
    let store = place.open();
    store.take_stock().await;
    for number in 0..12 {
        let (bytes, digest) = blob(number);
        let spool = store.spool(&digest).await.unwrap();
        spool.write(0, vec![bytes.clone()]).await.unwrap();
        store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
    }
    for number in 0..5 {
        fs::remove_file(place.layout().blob(&blob(number).1)).unwrap();
    }
    assert_eq!(store.usage().blobs.count, 12);
    for number in 0..3 {
        store.remove(&blob(number).1).await.unwrap();
    }
    for _ in 0..24 {
        store.sweep().await;
    }
    assert_eq!(store.usage(), truth(&place.root()));
    assert_eq!(store.usage().blobs.count, 7);
}

#[tokio::test]
async fn entries_are_read_in_batches_of_a_thousand() {
    let place = Place::fast();
    drop(place.open());
    let directory = place.root().join("blobs/sha256/ab");
    fs::create_dir_all(&directory).unwrap();
    for number in 0..3_000 {
        fs::write(directory.join(format!("ab{number:062x}")), "").unwrap();
    }
    fs::write(directory.join("0".repeat(64)), "in another's place").unwrap();
    let store = place.open();
    place.faults.reset();
    let mut entries = store.entries();
    entries.next().await.unwrap().unwrap();
    let look_count = place.faults.steps().iter().filter(|step| step.call == Call::Stat).count();
    assert!((1..=1_024).contains(&look_count), "{look_count}");
    assert_eq!(entries.count().await, 2_999);
}

#[tokio::test]
async fn an_entry_has_the_time_of_the_last_read() {
    let place = Place::fast();
    let store = place.open();
    let (bytes, digest) = content(1_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes]).await.unwrap();
    store.admit(spool.finish(1_000).await.unwrap()).await.unwrap();
    let day = Duration::from_secs(86_400);
    let written = UNIX_EPOCH + 20_000 * day;
    for (read, used) in [(written + day, written + day), (written - day, written)] {
        let file = fs::File::open(place.layout().blob(&digest)).unwrap();
        file.set_times(fs::FileTimes::new().set_modified(written).set_accessed(read)).unwrap();
        let entry = store.entries().next().await.unwrap().unwrap();
        let expected = BlobEntry { digest: digest.clone(), size: 1_000, modified_at: written, used_at: used };
        assert_eq!(entry, expected);
    }
}

/// A disk that becomes full during a write has written some of it.
#[tokio::test]
async fn bytes_of_a_failed_write_are_counted_and_cut_off() {
    let place = Place::fast();
    let store = place.open();
    store.take_stock().await;
    let (bytes, digest) = content(100, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.clone()]).await.unwrap();
    // There are more pieces than one call takes, and the second call fails.
    place.faults.inject(Some(Call::Write), 1, Fault::Errno(28));
    let pieces = vec![Bytes::from_static(&[1; 1_000]); 1_500];
    spool.write(100, pieces).await.unwrap_err();
    assert_eq!(store.usage().partial, Held { bytes: 100 + 1_024_000, count: 1 });
    assert_eq!(store.usage(), truth(&place.root()));
    store.admit(spool.finish(100).await.unwrap()).await.unwrap();
    assert_eq!(fs::read(place.layout().blob(&digest)).unwrap(), bytes);
    assert_eq!(store.usage(), truth(&place.root()));
}

#[tokio::test]
async fn a_directory_created_while_others_are_counted_is_counted_too() {
    let place = Place::fast();
    let store = place.open();
    let survey = store.survey();
    let (bytes, digest) = content(1_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes]).await.unwrap();
    store.admit(spool.finish(1_000).await.unwrap()).await.unwrap();
    assert_eq!(store.count_turn(&survey, 0, Counted::COUNT), Counted::COUNT);
    assert_eq!(store.usage().blobs, truth(&place.root()).blobs);
}
