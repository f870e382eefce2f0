//! Small blobs stay open between two requests. The tests remove their names behind the store's back: a blob
//! that is still found was kept open.

use std::fs;

use bytes::Bytes;
use oci::{Algorithm, Digest};

use super::{Place, metrics};
use crate::blob_store::BlobStore;
use crate::conformance::read;
use crate::fs::{FsStore, Settings, open};
use crate::maintain::Maintain;

const SMALL: usize = 64 * 1024;

async fn put(store: &FsStore, len: usize, filler: u8) -> Digest {
    let bytes = Bytes::from(vec![filler; len]);
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes]).await.unwrap();
    store.admit(spool.finish(len as u64).await.unwrap()).await.unwrap();
    digest
}

async fn is_found(store: &FsStore, digest: &Digest) -> bool {
    BlobStore::open(store, digest).await.unwrap().is_some()
}

#[tokio::test]
async fn a_small_blob_stays_open_and_a_larger_one_does_not() {
    let place = Place::fast();
    let store = open(&place.root(), metrics()).unwrap();
    for (len, is_kept) in [(1, true), (SMALL, true), (SMALL + 1, false)] {
        let digest = put(&store, len, 1).await;
        assert!(is_found(&store, &digest).await);
        fs::remove_file(place.layout().blob(&digest)).unwrap();
        let found = BlobStore::open(&store, &digest).await.unwrap();
        assert_eq!(found.is_some(), is_kept, "{len} bytes");
        if let Some(blob) = found {
            assert_eq!(read(&blob, 0, blob.size()).await, vec![1; len]);
        }
    }
}

#[tokio::test]
async fn a_removed_or_quarantined_blob_does_not_stay_open() {
    let place = Place::fast();
    let store = open(&place.root(), metrics()).unwrap();
    let digest = put(&store, SMALL, 1).await;
    assert!(is_found(&store, &digest).await);
    store.set_aside(&digest).await.unwrap();
    assert!(!is_found(&store, &digest).await, "it was quarantined");
    put(&store, SMALL, 1).await;
    assert!(is_found(&store, &digest).await);
    store.remove(&digest).await.unwrap();
    assert!(!is_found(&store, &digest).await, "it was removed");
}

#[tokio::test]
async fn a_blob_that_is_stored_again_replaces_the_open_one() {
    let place = Place::fast();
    let store = open(&place.root(), metrics()).unwrap();
    let digest = put(&store, SMALL, 1).await;
    let first = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    put(&store, SMALL, 1).await;
    let second = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_ne!(first.validator().unwrap(), second.validator().unwrap());
}

#[tokio::test]
async fn f41_a_lowered_bound_closes_the_excess() {
    let place = Place::fast();
    let settings = Settings { kept_open_count_max: 100, ..Settings::default() };
    let store = settings.open(&place.root(), metrics()).unwrap();
    let mut digests = Vec::new();
    for number in 0..100 {
        digests.push(put(&store, 1000, number).await);
        assert!(is_found(&store, &digests[usize::from(number)]).await);
    }
    store.set_bounds(8, 0, 1);
    for digest in &digests {
        fs::remove_file(place.layout().blob(digest)).unwrap();
    }
    let mut kept_count = 0;
    for digest in &digests {
        kept_count += u64::from(is_found(&store, digest).await);
    }
    assert!(kept_count <= 8, "{kept_count}");
}

#[tokio::test]
async fn open_blobs_are_bounded() {
    let place = Place::fast();
    for (kept_max, blob_count) in [(0, 3), (3, 10), (8, 100), (11, 100)] {
        let settings = Settings { kept_open_count_max: kept_max, ..Settings::default() };
        let store = settings.open(&place.root(), metrics()).unwrap();
        let mut kept_count = 0;
        let mut digests = Vec::new();
        for number in 0..blob_count {
            digests.push(put(&store, 1000, number).await);
            assert!(is_found(&store, &digests[usize::from(number)]).await);
        }
        for digest in &digests {
            fs::remove_file(place.layout().blob(digest)).unwrap();
        }
        for digest in &digests {
            kept_count += u64::from(is_found(&store, digest).await);
        }
        assert!(kept_count <= kept_max && (kept_max < 8 || kept_count > 0), "{kept_count} of {kept_max}");
    }
}
