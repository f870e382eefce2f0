//! Maintenance: a store knows its usage, and a removal does not disturb readers.

use futures_util::StreamExt;
use oci::Algorithm;

use super::blobs::put;
use super::records::{manifest, media_type, repository};
use super::{Engine, content, pieces, read};
use crate::blob_store::BlobStore;
use crate::inspect::{Inspect, Part};
use crate::maintain::Maintain;
use crate::record_store::RecordStore;
use crate::usage::{Held, Usage};

pub(super) async fn run<E: Engine>(new_place: &impl Fn() -> E) {
    usage_follows_every_change(new_place()).await;
    usage_outlives_the_store(new_place()).await;
    removal_disturbs_nobody(new_place()).await;
    sizes_are_those_of_stored_blobs(new_place()).await;
    entries_go_on_while_blobs_are_removed(new_place()).await;
    digests_come_in_pages_and_in_order(new_place()).await;
    content_is_hashed_past_the_caches(new_place()).await;
    a_trial_write_leaves_nothing(new_place()).await;
}

fn held(bytes: u64, count: u64) -> Held {
    Held { bytes, count }
}

async fn usage_follows_every_change<E: Engine>(place: E) {
    let store = place.open();
    store.take_stock().await;
    assert_eq!(store.usage(), Usage::default());
    let (large, small) = (content(1_000_000, Algorithm::Sha256), content(5_000, Algorithm::Sha512));
    for _ in 0..2 {
        for (bytes, digest) in [&large, &small] {
            put(&store, bytes, digest).await;
        }
        assert_eq!(store.usage().blobs, held(1_005_000, 2), "a second put adds nothing");
    }
    let manifest = manifest(r#"{"schemaVersion":2}"#);
    for name in ["library/mine", "library/other"] {
        store.put_manifest(&repository(name), &media_type("a/b"), &manifest).await.unwrap();
        assert_eq!(store.usage().manifests, held(19, 1), "repositories share it");
    }
    for _ in 0..2 {
        store.remove(&small.1).await.unwrap();
        assert_eq!(store.usage().blobs, held(1_000_000, 1), "a second removal changes nothing");
    }
    store.set_aside(&large.1).await.unwrap();
    store.set_aside_manifest(manifest.digest()).await.unwrap();
    let usage = store.usage();
    assert_eq!((usage.blobs, usage.manifests, usage.partial), (held(0, 0), held(0, 0), held(0, 0)));
    let unfinished = store.spool(&large.1).await.unwrap();
    unfinished.write(0, pieces(&large.0.slice(..600_000), 50_000)).await.unwrap();
    assert_eq!((store.usage().blobs, store.usage().partial), (held(0, 0), held(600_000, 1)));
    unfinished.write(600_000, pieces(&large.0.slice(600_000..), 50_000)).await.unwrap();
    store.admit(unfinished.finish(1_000_000).await.unwrap()).await.unwrap();
    assert_eq!((store.usage().blobs, store.usage().partial), (held(1_000_000, 1), held(0, 0)));
    let given_up = store.spool(&small.1).await.unwrap();
    given_up.write(0, vec![small.0.slice(..10)]).await.unwrap();
    given_up.discard().await;
    assert_eq!(store.usage().partial, held(0, 0));
    store.sweep().await;
    assert_eq!(store.usage().blobs, held(1_000_000, 1), "a stored blob is not swept");
}

async fn usage_outlives_the_store<E: Engine>(place: E) {
    let (bytes, digest) = content(300_000, Algorithm::Sha256);
    {
        let store = place.open();
        put(&store, &bytes, &digest).await;
        let manifest = manifest(r#"{"schemaVersion":2}"#);
        store.put_manifest(&repository("a"), &media_type("a/b"), &manifest).await.unwrap();
        let (bytes, digest) = content(1_000_000, Algorithm::Sha256);
        let left = store.spool(&digest).await.unwrap();
        left.write(0, vec![bytes.slice(..700_000)]).await.unwrap();
        left.park().await;
    }
    let store = place.open();
    let usage = Usage {
        blobs: held(300_000, 1),
        manifests: held(19, 1),
        partial: held(700_000, 1),
        ..Usage::default()
    };
    assert!(store.usage().is_counting || store.usage() == usage);
    store.take_stock().await;
    assert_eq!(store.usage(), usage);
    store.take_stock().await;
    assert_eq!(store.usage(), usage, "counted twice, it is the same");
    store.remove(&digest).await.unwrap();
    assert_eq!(store.usage().blobs, held(0, 0));
}

async fn removal_disturbs_nobody<E: Engine>(place: E) {
    let store = place.open();
    for len in [1_000, 500_000] {
        let (bytes, digest) = content(len, Algorithm::Sha256);
        let size = len as u64;
        put(&store, &bytes, &digest).await;
        let open = BlobStore::open(&store, &digest).await.unwrap().unwrap();
        let spool = store.spool(&digest).await.unwrap();
        spool.write(0, vec![bytes.slice(..len / 2)]).await.unwrap();
        let reader = spool.content();
        store.remove(&digest).await.unwrap();
        assert!(BlobStore::open(&store, &digest).await.unwrap().is_none());
        assert_eq!(read(&open, 0, size).await, bytes, "an answer under way goes on");
        spool.write(size / 2, vec![bytes.slice(len / 2..)]).await.unwrap();
        let verified = spool.finish(size).await.unwrap();
        store.remove(&digest).await.unwrap();
        store.admit(verified).await.unwrap();
        assert_eq!(read(&reader, 0, size).await, bytes, "a fill under way goes on");
        let again = BlobStore::open(&store, &digest).await.unwrap().expect("it was admitted after that");
        assert_eq!(read(&again, 0, size).await, bytes);
    }
}

async fn entries_go_on_while_blobs_are_removed<E: Engine>(place: E) {
    let store = place.open();
    let blobs: Vec<_> = (1..40).map(|len| content(len, Algorithm::Sha256)).collect();
    for (bytes, digest) in &blobs {
        put(&store, bytes, digest).await;
    }
    let mut entries = store.entries();
    let mut seen_count = 0;
    while let Some(entry) = entries.next().await {
        let entry = entry.unwrap();
        assert!(entry.used_at >= entry.modified_at, "writing is using");
        store.remove(&entry.digest).await.unwrap();
        seen_count += 1;
    }
    assert_eq!(seen_count, blobs.len());
    assert_eq!(store.entries().count().await, 0);
}

async fn digests_come_in_pages_and_in_order<E: Engine>(place: E) {
    let store = place.open();
    assert!(store.digests(Part::Blobs, None, 10).await.unwrap().is_empty());
    let mut blobs: Vec<_> = (1..40)
        .map(|len| content(len, if len % 3 == 0 { Algorithm::Sha512 } else { Algorithm::Sha256 }))
        .collect();
    for (bytes, digest) in &blobs {
        put(&store, bytes, digest).await;
    }
    let manifest = manifest(r#"{"schemaVersion":2}"#);
    store.put_manifest(&repository("a"), &media_type("a/b"), &manifest).await.unwrap();
    blobs.sort_by(|one, other| one.1.cmp(&other.1));
    let expected: Vec<_> = blobs.iter().map(|(_, digest)| digest.clone()).collect();
    for page_count in [1, 7, 39, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.digests(Part::Blobs, after.as_ref(), page_count).await.unwrap();
            found.extend(page.iter().cloned());
            match page.last() {
                Some(last) if page.len() == page_count => after = Some(last.clone()),
                _ => break,
            }
        }
        assert_eq!(found, expected, "{page_count} at a time");
    }
    let manifests = store.digests(Part::Manifests, None, 10).await.unwrap();
    assert_eq!(manifests, [manifest.digest().clone()]);
}

async fn content_is_hashed_past_the_caches<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(3_000_000, Algorithm::Sha256);
    assert!(store.open_to_hash(Part::Blobs, &digest).await.unwrap().is_none());
    put(&store, &bytes, &digest).await;
    let blob = store.open_to_hash(Part::Blobs, &digest).await.unwrap().expect("it is stored");
    assert_eq!((blob.size(), blob.digest(digest.algorithm()).await.unwrap()), (3_000_000, digest.clone()));
    let manifest = manifest(r#"{"schemaVersion":2}"#);
    store.put_manifest(&repository("a"), &media_type("a/b"), &manifest).await.unwrap();
    let file = store.open_to_hash(Part::Manifests, manifest.digest()).await.unwrap().expect("it is stored");
    assert_eq!(file.digest(Algorithm::Sha256).await.unwrap(), *manifest.digest());
    assert!(store.open_to_hash(Part::Blobs, manifest.digest()).await.unwrap().is_none(), "it is no blob");
    store.set_aside(&digest).await.unwrap();
    assert!(store.open_to_hash(Part::Blobs, &digest).await.unwrap().is_none());
}

async fn a_trial_write_leaves_nothing<E: Engine>(place: E) {
    let store = place.open();
    store.take_stock().await;
    store.try_write().await.unwrap();
    assert_eq!(store.usage(), Usage::default());
}

async fn sizes_are_those_of_stored_blobs<E: Engine>(place: E) {
    let store = place.open();
    let (large, small) = (content(300_000, Algorithm::Sha256), content(10, Algorithm::Sha512));
    let (absent, empty) = (content(20, Algorithm::Sha256), content(0, Algorithm::Sha256));
    for (bytes, digest) in [&large, &small, &empty] {
        put(&store, bytes, digest).await;
    }
    let asked = [absent.1, small.1.clone(), large.1, empty.1];
    assert_eq!(store.sizes(&asked).await.unwrap(), [None, Some(10), Some(300_000), Some(0)]);
    store.remove(&small.1).await.unwrap();
    assert_eq!(store.sizes(&asked[1..2]).await.unwrap(), [None]);
    assert_eq!(store.sizes(&[]).await.unwrap(), [None; 0]);
}
