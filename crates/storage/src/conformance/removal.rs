//! Lists of records, and removals: each takes exactly its target and returns the bytes.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use oci::{Algorithm, Digest, Tag};

use super::blobs::put;
use super::records::{list, manifest, media_type, record, repository, tag};
use super::{Engine, content, read, whole};
use crate::blob_store::BlobStore;
use crate::maintain::Maintain;
use crate::record_store::RecordStore;
use crate::usage::Held;
use crate::verified_manifest::VerifiedManifest;

pub(super) async fn run<E: Engine>(new_place: &impl Fn() -> E) {
    manifests_in_the_order_of_their_digests(new_place()).await;
    a_record_tells_when_it_was_stored(new_place()).await;
    tags_in_the_order_of_their_bytes(new_place()).await;
    a_removed_blob_tells_its_size_once(new_place()).await;
    the_bytes_of_a_manifest_are_gone_from_every_repository(new_place()).await;
    removals_of_what_is_unknown_are_durable_too(new_place()).await;
    an_empty_repository_is_removed_with_its_grants_and_lists(new_place()).await;
    a_repository_with_a_manifest_or_a_tag_stays(new_place()).await;
    a_repository_goes_without_those_above_and_below_it(new_place()).await;
    a_removed_repository_can_be_stored_again(new_place()).await;
    notes(new_place()).await;
}

/// Manifests with digests of both algorithms.
fn many_manifests(count: usize) -> Vec<VerifiedManifest> {
    let one = |number: usize| {
        let bytes = Bytes::from(format!("{{\"number\":{number}}}"));
        let long = Digest::of(Algorithm::Sha512, &bytes);
        VerifiedManifest::check(bytes, number.is_multiple_of(3).then_some(&long)).unwrap()
    };
    (0..count).map(one).collect()
}

async fn manifests_in_the_order_of_their_digests<E: Engine>(place: E) {
    let store = place.open();
    let (mine, other) = (repository("library/mine"), repository("library"));
    assert!(store.manifests(&mine, None, 10).await.unwrap().is_empty());
    let all = many_manifests(23);
    for manifest in &all {
        store.put_manifest(&mine, &media_type("a/b"), manifest).await.unwrap();
    }
    store.put_manifest(&other, &media_type("a/b"), &all[0]).await.unwrap();
    let expected: Vec<_> =
        all.iter().map(|manifest| manifest.digest().clone()).collect::<BTreeSet<_>>().into_iter().collect();
    for page_len in [1, 2, 7, 8, 22, 23, 24, usize::MAX] {
        let mut paged: Vec<Digest> = Vec::new();
        loop {
            let page = store.manifests(&mine, paged.last(), page_len).await.unwrap();
            let is_last = page.len() < page_len;
            paged.extend(page.into_iter().map(|entry| entry.digest));
            if is_last {
                break;
            }
        }
        assert_eq!(paged, expected, "in pages of {page_len}");
    }
    assert!(store.manifests(&mine, None, 0).await.unwrap().is_empty());
    assert_eq!(store.manifests(&other, None, 10).await.unwrap().len(), 1);
    // `after` need not be one that is there. A record counts, whatever became of the bytes.
    store.remove_manifest(&mine, &expected[3]).await.unwrap();
    store.remove_manifest_bytes(&expected[4]).await.unwrap();
    let next = store.manifests(&mine, Some(&expected[3]), 1).await.unwrap();
    assert_eq!(next[0].digest, expected[4]);
}

async fn a_record_tells_when_it_was_stored<E: Engine>(place: E) {
    let (store, name) = (place.open(), repository("a"));
    let before = SystemTime::now();
    store.put_manifest(&name, &media_type("a/b"), &manifest("{}")).await.unwrap();
    let entry = store.manifests(&name, None, 1).await.unwrap().remove(0);
    // File systems take the time from a clock that ticks some hundred times a second, and fractions are lost.
    assert!(entry.stored_at + Duration::from_secs(2) > before && entry.stored_at <= SystemTime::now());
}

async fn tags_in_the_order_of_their_bytes<E: Engine>(place: E) {
    let (store, name) = (place.open(), repository("a/b"));
    assert!(store.tags(&name, None, 10).await.unwrap().is_empty());
    let mut expected = Vec::new();
    for text in ["latest", "Latest", "1.10", "1.9", "_x", "a", "a-b", "a.b", "b", "0"] {
        store.put_tag(&name, &tag(text), &record("x", 1)).await.unwrap();
        expected.push(tag(text));
    }
    store.put_tag(&repository("a"), &tag("other"), &record("x", 1)).await.unwrap();
    expected.sort_by(|one, other| one.as_str().as_bytes().cmp(other.as_str().as_bytes()));
    for page_len in 1..=expected.len() + 1 {
        let mut paged: Vec<Tag> = Vec::new();
        loop {
            let page = store.tags(&name, paged.last(), page_len).await.unwrap();
            let is_last = page.len() < page_len;
            paged.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(paged, expected, "in pages of {page_len}");
    }
    assert!(store.tags(&name, None, 0).await.unwrap().is_empty());
    assert_eq!(store.tags(&name, Some(&tag("1.91")), 1).await.unwrap(), [tag("Latest")]);
    store.remove_tag(&name, &tag("Latest")).await.unwrap();
    assert_eq!(store.tags(&name, Some(&tag("1.91")), 1).await.unwrap(), [tag("_x")]);
}

async fn a_removed_blob_tells_its_size_once<E: Engine>(place: E) {
    let store = place.open();
    store.take_stock().await;
    let blobs = [
        (1, Algorithm::Sha512),
        (5_000, Algorithm::Sha256),
        (70_000, Algorithm::Sha256),
        (600_000, Algorithm::Sha256),
    ];
    for (len, algorithm) in blobs {
        let ((bytes, digest), size) = (content(len, algorithm), len as u64);
        assert_eq!(store.remove(&digest).await.unwrap(), 0, "before it is put");
        for _ in 0..2 {
            put(&store, &bytes, &digest).await;
            let open = BlobStore::open(&store, &digest).await.unwrap().unwrap();
            let again = BlobStore::open(&store, &digest).await.unwrap().unwrap();
            assert_eq!(store.usage().blobs, Held { bytes: size, count: 1 });
            assert_eq!(store.remove(&digest).await.unwrap(), size);
            assert_eq!(store.remove(&digest).await.unwrap(), 0, "it is gone already");
            assert!(BlobStore::open(&store, &digest).await.unwrap().is_none());
            assert_eq!(store.usage().blobs, Held::default());
            assert_eq!(
                (read(&open, 0, size).await, read(&again, 0, size).await),
                (bytes.to_vec(), bytes.to_vec())
            );
        }
        store.spool(&digest).await.unwrap().discard().await;
    }
}

async fn the_bytes_of_a_manifest_are_gone_from_every_repository<E: Engine>(place: E) {
    let store = place.open();
    store.take_stock().await;
    let (one, other) = (manifest(r#"{"schemaVersion":2}"#), manifest(r#"{"schemaVersion":1}"#));
    let names = [repository("a"), repository("b/c")];
    assert_eq!(store.remove_manifest_bytes(one.digest()).await.unwrap(), 0);
    for _ in 0..2 {
        for name in &names {
            for manifest in [&one, &other] {
                store.put_manifest(name, &media_type("a/b"), manifest).await.unwrap();
                assert!(store.manifest(name, manifest.digest()).await.unwrap().is_some());
            }
        }
        assert_eq!(store.remove_manifest_bytes(one.digest()).await.unwrap(), 19);
        assert_eq!(store.remove_manifest_bytes(one.digest()).await.unwrap(), 0);
        assert_eq!(store.usage().manifests, Held { bytes: 19, count: 1 });
        for name in &names {
            assert_eq!(whole(store.manifest(name, one.digest()).await.unwrap()), None, "{name}");
            assert!(store.manifest(name, other.digest()).await.unwrap().is_some());
        }
    }
}

async fn removals_of_what_is_unknown_are_durable_too<E: Engine>(place: E) {
    let store = place.open();
    let names = [repository("nobody"), repository("a/b"), repository("a/b")];
    store.sync_removals(&[]).await.unwrap();
    store.sync_removals(&names).await.unwrap();
    store.put_tag(&names[1], &tag("t"), &record("x", 1)).await.unwrap();
    store.remove_tag(&names[1], &tag("t")).await.unwrap();
    store.sync_removals(&names).await.unwrap();
    store.remove_repository(&names[1]).await.unwrap();
    store.sync_removals(&names).await.unwrap();
    assert_eq!(store.tag(&names[1], &tag("t")).await.unwrap(), None);
}

async fn an_empty_repository_is_removed_with_its_grants_and_lists<E: Engine>(place: E) {
    let (store, name) = (place.open(), repository("team/app"));
    store.remove_repository(&name).await.unwrap();
    let layer = Digest::of(Algorithm::Sha256, b"layer");
    store.put_link(&name, &layer).await.unwrap();
    store.put_link(&name, &Digest::of(Algorithm::Sha512, b"layer")).await.unwrap();
    store.put_list(&name, "tags", &list("{}", 1)).await.unwrap();
    store.put_manifest(&name, &media_type("a/b"), &manifest("{}")).await.unwrap();
    store.put_tag(&name, &tag("t"), &record("{}", 1)).await.unwrap();
    store.remove_tag(&name, &tag("t")).await.unwrap();
    store.remove_manifest(&name, manifest("{}").digest()).await.unwrap();
    assert_eq!(store.repositories(None, 10).await.unwrap(), std::slice::from_ref(&name));
    for _ in 0..2 {
        store.remove_repository(&name).await.unwrap();
        assert!(store.repositories(None, 10).await.unwrap().is_empty());
        assert!(!store.has_link(&name, &layer).await.unwrap());
        assert_eq!(store.list(&name, "tags").await.unwrap(), None);
    }
}

async fn a_repository_with_a_manifest_or_a_tag_stays<E: Engine>(place: E) {
    let store = place.open();
    let (tagged, by_digest) = (repository("tagged"), repository("by/digest"));
    let (layer, kept) = (Digest::of(Algorithm::Sha256, b"layer"), many_manifests(1).remove(0));
    store.put_tag(&tagged, &tag("t"), &record("x", 1)).await.unwrap();
    store.put_manifest(&by_digest, &media_type("a/b"), &kept).await.unwrap();
    for name in [&tagged, &by_digest] {
        store.put_link(name, &layer).await.unwrap();
        store.put_list(name, "tags", &list("{}", 1)).await.unwrap();
        store.remove_repository(name).await.unwrap();
        assert!(store.has_link(name, &layer).await.unwrap());
        assert!(store.list(name, "tags").await.unwrap().is_some());
    }
    assert_eq!(store.tag(&tagged, &tag("t")).await.unwrap(), Some(record("x", 1)));
    assert!(store.manifest(&by_digest, kept.digest()).await.unwrap().is_some());
}

async fn a_repository_goes_without_those_above_and_below_it<E: Engine>(place: E) {
    let store = place.open();
    let names = ["foo", "foo/bar", "foo/bar/baz", "foo-bar", "foo/tags"].map(repository);
    for (at, removed) in names.iter().enumerate() {
        for name in &names {
            store.put_link(name, &Digest::of(Algorithm::Sha256, b"l")).await.unwrap();
            store.put_tag(name, &tag("tags"), &record("x", 1)).await.unwrap();
        }
        store.remove_tag(removed, &tag("tags")).await.unwrap();
        store.remove_repository(removed).await.unwrap();
        for (number, name) in names.iter().enumerate() {
            let found = store.tag(name, &tag("tags")).await.unwrap();
            assert_eq!(found.is_some(), number != at, "{name} after {removed} was removed");
            let is_granted = store.has_link(name, &Digest::of(Algorithm::Sha256, b"l")).await.unwrap();
            assert_eq!(is_granted, number != at);
        }
        assert_eq!(store.repositories(None, 10).await.unwrap().len(), names.len() - 1);
    }
}

async fn a_removed_repository_can_be_stored_again<E: Engine>(place: E) {
    let (name, layer) = (repository("a/b/c"), Digest::of(Algorithm::Sha256, b"layer"));
    let store = place.open();
    for _ in 0..3 {
        store.put_link(&name, &layer).await.unwrap();
        store.put_list(&name, "tags", &list("{}", 1)).await.unwrap();
        store.put_manifest(&name, &media_type("a/b"), &manifest("{}")).await.unwrap();
        store.put_tag(&name, &tag("t"), &record("{}", 1)).await.unwrap();
        assert!(store.manifest(&name, manifest("{}").digest()).await.unwrap().is_some());
        assert!(store.has_link(&name, &layer).await.unwrap());
        assert_eq!(store.tags(&name, None, 9).await.unwrap(), [tag("t")]);
        store.remove_tag(&name, &tag("t")).await.unwrap();
        store.remove_manifest(&name, manifest("{}").digest()).await.unwrap();
        store.remove_repository(&name).await.unwrap();
    }
    store.put_tag(&name, &tag("t"), &record("{}", 1)).await.unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(store.tag(&name, &tag("t")).await.unwrap(), Some(record("{}", 1)));
    assert!(!store.has_link(&name, &layer).await.unwrap());
}

async fn notes<E: Engine>(place: E) {
    let (bytes, _) = content(3_000_000, Algorithm::Sha256);
    {
        let store = place.open();
        store.take_stock().await;
        assert_eq!(store.note("uses").await.unwrap(), None);
        for len in [10, 0, 3_000_000] {
            store.put_note("uses", &bytes.slice(..len)).await.unwrap();
            assert_eq!(store.note("uses").await.unwrap(), Some(bytes.slice(..len)));
        }
        store.put_note("pins", &Bytes::from_static(b"p")).await.unwrap();
        for text in ["first", "second"] {
            store.put_durable_note("offline", &Bytes::from(text)).await.unwrap();
        }
        assert_eq!(store.usage(), crate::Usage::default(), "a note does not count");
    }
    let store = place.open();
    assert_eq!(store.note("uses").await.unwrap(), Some(bytes));
    assert_eq!(store.note("pins").await.unwrap(), Some(Bytes::from_static(b"p")));
    assert_eq!(store.note("offline").await.unwrap(), Some(Bytes::from_static(b"second")));
    assert_eq!(store.note("other").await.unwrap(), None);
}
