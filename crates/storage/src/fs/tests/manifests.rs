//! Manifests in memory have a budget; others are read as files.

use std::fs;

use bytes::Bytes;
use oci::Digest;

use super::Place;
use super::script::{media_type, repository};
use crate::conformance::{Engine, read};
use crate::fs::FsStore;
use crate::fs::file_cache::CONTENT_BYTES_MAX;
use crate::fs::store::MANIFEST_BYTES_MAX;
use crate::record_store::{HeldManifest, MANIFEST_IN_MEMORY_BYTES_MAX, RecordStore};
use crate::verified_manifest::VerifiedManifest;

/// A unique manifest of this size.
fn manifest(number: usize, size: u64) -> VerifiedManifest {
    let text = format!("{{\"schemaVersion\":2,\"number\":{number}");
    let padding = " ".repeat(usize::try_from(size).unwrap() - text.len() - 1);
    VerifiedManifest::check(Bytes::from(format!("{text}{padding}}}")), None).unwrap()
}

async fn put(store: &FsStore, manifest: &VerifiedManifest) {
    store.put_manifest(&repository(), &media_type(), manifest).await.unwrap();
}

async fn find(store: &FsStore, digest: &Digest) -> HeldManifest {
    store.manifest(&repository(), digest).await.unwrap().unwrap()
}

#[tokio::test]
async fn t05_a_large_manifest_is_a_file_and_takes_no_memory() {
    let place = Place::new();
    let largest = manifest(1, MANIFEST_IN_MEMORY_BYTES_MAX);
    let larger = manifest(2, MANIFEST_IN_MEMORY_BYTES_MAX + 1);
    let check = async |store: &FsStore| {
        let in_memory = find(store, largest.digest()).await;
        assert!(matches!(&in_memory, HeldManifest::Whole(found) if found.bytes == *largest.bytes()));
        assert_eq!(in_memory.size(), MANIFEST_IN_MEMORY_BYTES_MAX);
        let held = find(store, larger.digest()).await;
        assert_eq!((held.size(), held.media_type()), (larger.bytes().len() as u64, &media_type()));
        let HeldManifest::File { file, .. } = held else { panic!("it is in memory") };
        assert_eq!(read(&file, 0, file.size()).await, *larger.bytes());
        assert_eq!(store.manifest_bytes().taken(), MANIFEST_IN_MEMORY_BYTES_MAX, "the small one alone");
    };
    let store = place.open();
    put(&store, &largest).await;
    put(&store, &larger).await;
    check(&store).await;
    drop(store);
    check(&place.open()).await;
}

#[tokio::test]
async fn t05_manifests_for_clients_that_do_not_read_stay_within_their_budget() {
    let place = Place::new();
    let store = place.open();
    let manifests: Vec<_> = (0..100).map(|number| manifest(number, 200_000)).collect();
    for manifest in &manifests {
        put(&store, manifest).await;
    }
    let (mut unread, mut file_count) = (Vec::new(), 0);
    for _ in 0..2 {
        for manifest in &manifests {
            let held = find(&store, manifest.digest()).await;
            let bytes = match &held {
                HeldManifest::Whole(found) => found.bytes.to_vec(),
                HeldManifest::File { file, .. } => {
                    file_count += 1;
                    read(file, 0, file.size()).await
                }
            };
            assert_eq!(bytes, *manifest.bytes());
            unread.push(held);
            assert!(store.manifest_bytes().taken() <= MANIFEST_BYTES_MAX);
        }
    }
    assert!(file_count > 100, "{file_count}: there is room for some 40 in memory");
    drop(unread);
    assert!(store.manifest_bytes().taken() <= CONTENT_BYTES_MAX, "only the cache");
    assert!(matches!(find(&store, manifests[0].digest()).await, HeldManifest::Whole(_)));
}

#[tokio::test]
async fn t05_concurrent_reads_of_a_manifest_share_one_copy() {
    let place = Place::new();
    let large = manifest(1, 200_000);
    put(&place.open(), &large).await;
    let store = place.open();
    let looks = (0..300).map(|_| find(&store, large.digest()));
    let found = futures_util::future::join_all(looks).await;
    assert_eq!(found.len(), 300);
    let copy_count = store.manifest_bytes().taken() / 200_000;
    assert!(copy_count <= 24, "{copy_count}: as many as there are jobs at the most");
}

#[tokio::test]
async fn t05_a_damaged_large_manifest_is_quarantined() {
    let place = Place::new();
    let store = place.open();
    let large = manifest(1, 1 << 20);
    put(&store, &large).await;
    store.set_aside_manifest(large.digest()).await.unwrap();
    assert!(!place.layout().manifest(large.digest()).exists());
    assert_eq!(place.names_in("quarantine").len(), 1);
    assert!(store.manifest(&repository(), large.digest()).await.unwrap().is_none());
    store.set_aside_manifest(large.digest()).await.unwrap();
    put(&store, &large).await;
    assert_eq!(fs::read(place.layout().manifest(large.digest())).unwrap(), *large.bytes());
    assert_eq!(find(&store, large.digest()).await.size(), 1 << 20);
}
