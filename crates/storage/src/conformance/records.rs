//! Manifests, tags and grants: each repository has its own, and their names never collide.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use oci::{Algorithm, Digest, MediaType, Repository, Tag};
use policy::freshness::TagRecord;

use super::{Engine, whole};
use crate::blob_store::BlobStore;
use crate::record_store::{HeldLists, LIST_COUNT_MAX, RecordStore, StoredList, StoredManifest};
use crate::usage::Held;
use crate::verified_manifest::VerifiedManifest;

pub(super) async fn run<E: Engine>(new_place: &impl Fn() -> E) {
    manifests(new_place()).await;
    tags(new_place()).await;
    links(new_place()).await;
    lists(new_place()).await;
    lists_are_bounded(new_place()).await;
    lists_are_measured_by_repository(new_place()).await;
    names_that_could_be_taken_for_each_other(new_place()).await;
    long_names(new_place()).await;
    everything_outlives_the_store(new_place()).await;
    repositories_in_the_order_of_their_names(new_place()).await;
}

pub(super) fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

pub(super) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

pub(super) fn media_type(name: &str) -> MediaType {
    name.parse().unwrap()
}

pub(super) fn manifest(text: &'static str) -> VerifiedManifest {
    VerifiedManifest::check(Bytes::from_static(text.as_bytes()), None).unwrap()
}

pub(super) fn record(text: &str, seconds: u64) -> TagRecord {
    TagRecord {
        digest: Digest::of(Algorithm::Sha256, text.as_bytes()),
        media_type: media_type("application/vnd.oci.image.index.v1+json"),
        size: text.len() as u64,
        checked_at: UNIX_EPOCH + Duration::from_secs(seconds),
    }
}

async fn manifests<E: Engine>(place: E) {
    let store = place.open();
    let (mine, other) = (repository("library/mine"), repository("library/other"));
    let plain = manifest(r#"{"schemaVersion":2}"#);
    let with_sha512 = Digest::of(Algorithm::Sha512, plain.bytes());
    let long = VerifiedManifest::check(plain.bytes().clone(), Some(&with_sha512)).unwrap();
    let oci = media_type("application/vnd.oci.image.manifest.v1+json; charset=utf-8");
    for manifest in [&plain, &long] {
        assert_eq!(whole(store.manifest(&mine, manifest.digest()).await.unwrap()), None);
        store.put_manifest(&mine, &oci, manifest).await.unwrap();
        let stored = StoredManifest { media_type: oci.clone(), bytes: manifest.bytes().clone() };
        assert_eq!(whole(store.manifest(&mine, manifest.digest()).await.unwrap()), Some(stored));
        assert_eq!(
            whole(store.manifest(&other, manifest.digest()).await.unwrap()),
            None,
            "not granted there"
        );
        assert!(BlobStore::open(&store, manifest.digest()).await.unwrap().is_none(), "a manifest is no blob");
    }
    let docker = media_type("application/vnd.docker.distribution.manifest.v2+json");
    store.put_manifest(&other, &docker, &plain).await.unwrap();
    let types = |stored| whole(stored).unwrap().media_type;
    assert_eq!(types(store.manifest(&other, plain.digest()).await.unwrap()), docker);
    assert_eq!(types(store.manifest(&mine, plain.digest()).await.unwrap()), oci);
    store.remove_manifest(&repository("nobody"), plain.digest()).await.unwrap();
    store.remove_manifest(&other, plain.digest()).await.unwrap();
    assert_eq!(whole(store.manifest(&other, plain.digest()).await.unwrap()), None);
    assert_eq!(types(store.manifest(&mine, plain.digest()).await.unwrap()), oci);
}

async fn tags<E: Engine>(place: E) {
    let store = place.open();
    let (name, latest) = (repository("a/b"), tag("latest"));
    assert_eq!(store.tag(&name, &latest).await.unwrap(), None);
    store.remove_tag(&name, &latest).await.unwrap();
    for (text, seconds) in [("one", 1_795_256_819), ("two", 0), ("two", 1_795_256_820)] {
        store.put_tag(&name, &latest, &record(text, seconds)).await.unwrap();
        assert_eq!(store.tag(&name, &latest).await.unwrap(), Some(record(text, seconds)));
    }
    let mut precise = record("two", 5);
    precise.checked_at += Duration::from_millis(999);
    store.put_tag(&name, &latest, &precise).await.unwrap();
    assert_eq!(store.tag(&name, &latest).await.unwrap(), Some(record("two", 5)), "older, never newer");
    store.put_tag(&name, &tag("Latest"), &record("three", 7)).await.unwrap();
    assert_eq!(store.tag(&name, &tag("Latest")).await.unwrap(), Some(record("three", 7)));
    store.remove_tag(&name, &latest).await.unwrap();
    assert_eq!(store.tag(&name, &latest).await.unwrap(), None);
}

async fn links<E: Engine>(place: E) {
    let store = place.open();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, b"layer");
        assert!(!store.has_link(&repository("a"), &digest).await.unwrap());
        store.put_link(&repository("a"), &digest).await.unwrap();
        store.put_link(&repository("a"), &digest).await.unwrap();
        assert!(store.has_link(&repository("a"), &digest).await.unwrap());
        assert!(!store.has_link(&repository("a/b"), &digest).await.unwrap());
        store.remove_link(&repository("a/b"), &digest).await.unwrap();
        assert!(store.has_link(&repository("a"), &digest).await.unwrap());
        store.remove_link(&repository("a"), &digest).await.unwrap();
        assert!(!store.has_link(&repository("a"), &digest).await.unwrap());
    }
}

pub(super) fn list(text: &'static str, seconds: u64) -> StoredList {
    StoredList {
        bytes: Bytes::from_static(text.as_bytes()),
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        next: Some("n=2&last=b".to_owned()),
        filters_applied: None,
        seen_at: UNIX_EPOCH + Duration::from_secs(seconds),
    }
}

async fn lists<E: Engine>(place: E) {
    let (name, other) = (repository("a/b"), repository("a"));
    let key = "tags ../../\n?n=2";
    {
        let store = place.open();
        assert_eq!(store.list(&name, key).await.unwrap(), None);
        store.remove_list(&name, key).await.unwrap();
        store.put_list(&name, key, &list("{}\n[\n", 3)).await.unwrap();
        store.put_list(&name, key, &list("{\"tags\":[\n]}", 4)).await.unwrap();
    }
    let store = place.open();
    assert_eq!(store.list(&name, key).await.unwrap(), Some(list("{\"tags\":[\n]}", 4)));
    assert_eq!(store.list(&other, key).await.unwrap(), None);
    assert_eq!(store.list(&name, "tags").await.unwrap(), None);
    assert!(store.repositories(None, 10).await.unwrap().is_empty(), "a list is nothing that can be pulled");
    store.remove_list(&name, key).await.unwrap();
    assert_eq!(store.list(&name, key).await.unwrap(), None);
}

async fn lists_are_measured_by_repository<E: Engine>(place: E) {
    let (name, below, tagged) = (repository("a"), repository("a/b"), repository("tagged"));
    let since = SystemTime::now() - Duration::from_secs(2);
    {
        let store = place.open();
        assert_eq!(store.lists(&name).await.unwrap(), HeldLists::default());
        store.put_tag(&tagged, &tag("t"), &record("x", 1)).await.unwrap();
        store.put_list(&name, "tags", &list("{}", 1)).await.unwrap();
        store.put_list(&below, "tags", &list("{\"tags\":[]}", 2)).await.unwrap();
        store.put_list(&below, "referrers", &list("{\"tags\":[]}", 2)).await.unwrap();
    }
    let store = place.open();
    let (one, two) = (store.lists(&name).await.unwrap(), store.lists(&below).await.unwrap());
    assert_eq!((one.held.count, two.held.count), (1, 2));
    assert!(one.held.bytes >= 2 && two.held.bytes >= 22 && two.held.bytes > one.held.bytes);
    let stored_at = one.stored_at.unwrap();
    assert!((since..=SystemTime::now()).contains(&stored_at), "{stored_at:?}");
    let listed = store.repositories_with_lists(None, 10).await.unwrap();
    assert_eq!(listed, [name.clone(), below.clone()], "a tag is no list");
    assert_eq!(store.repositories_with_lists(None, 1).await.unwrap(), std::slice::from_ref(&name));
    assert_eq!(store.repositories_with_lists(Some("a"), 1).await.unwrap(), std::slice::from_ref(&below));
    // Another page adds to them, the same page replaces itself, and a removal takes it out.
    store.put_list(&name, "referrers", &list("{}", 3)).await.unwrap();
    assert_eq!(store.lists(&name).await.unwrap().held.count, 2);
    store.put_list(&name, "referrers", &list("{}", 3)).await.unwrap();
    store.remove_list(&name, "tags").await.unwrap();
    assert_eq!(store.lists(&name).await.unwrap().held.count, 1);
    store.remove_list(&name, "referrers").await.unwrap();
    assert_eq!(store.lists(&name).await.unwrap(), HeldLists::default());
    assert_eq!(store.repositories_with_lists(None, 10).await.unwrap(), std::slice::from_ref(&below));
    assert_eq!(store.remove_repository(&below).await.unwrap(), Some(two.held));
    assert_eq!(store.remove_repository(&below).await.unwrap(), Some(Held::default()));
    assert_eq!(store.remove_repository(&tagged).await.unwrap(), None);
    assert!(store.repositories_with_lists(None, 10).await.unwrap().is_empty());
}

async fn lists_are_bounded<E: Engine>(place: E) {
    let (store, name) = (place.open(), repository("a"));
    for number in 0..LIST_COUNT_MAX + 6 {
        store.put_list(&name, &format!("last={number}"), &list("{}", 1)).await.unwrap();
    }
    let mut held = 0;
    for number in 0..LIST_COUNT_MAX + 6 {
        held += usize::from(store.list(&name, &format!("last={number}")).await.unwrap().is_some());
    }
    assert_eq!(held, LIST_COUNT_MAX);
    // Writing a page again removes no other page.
    let last = format!("last={}", LIST_COUNT_MAX + 5);
    store.put_list(&name, &last, &list("[]", 2)).await.unwrap();
    assert_eq!(store.list(&name, &last).await.unwrap(), Some(list("[]", 2)));
}

async fn names_that_could_be_taken_for_each_other<E: Engine>(place: E) {
    let store = place.open();
    let pairs = [
        ("foo", "tags"),
        ("foo/tags", "latest"),
        ("foo", "manifests"),
        ("foo/manifests", "sha256"),
        ("foo", "_tags"),
        ("foo/blobs", "_blobs"),
        ("blobs/sha256/aa", "aa"),
        ("foo", "foo.json"),
    ];
    for (index, (name, of)) in pairs.into_iter().enumerate() {
        store.put_tag(&repository(name), &tag(of), &record(name, index as u64)).await.unwrap();
    }
    for (index, (name, of)) in pairs.into_iter().enumerate() {
        let found = store.tag(&repository(name), &tag(of)).await.unwrap();
        assert_eq!(found, Some(record(name, index as u64)), "{name}:{of}");
    }
    assert_eq!(store.tag(&repository("foo/tags"), &tag("tags")).await.unwrap(), None);
}

async fn long_names<E: Engine>(place: E) {
    let store = place.open();
    let long_tag = tag(&"t".repeat(128));
    let deep = vec!["a"; 128].join("/");
    for name in ["x".repeat(255), deep, format!("{}/y", "x".repeat(253))] {
        let (name, digest) = (repository(&name), Digest::of(Algorithm::Sha512, b"long"));
        store.put_tag(&name, &long_tag, &record("long", 1)).await.unwrap();
        assert_eq!(store.tag(&name, &long_tag).await.unwrap(), Some(record("long", 1)));
        store.put_link(&name, &digest).await.unwrap();
        assert!(store.has_link(&name, &digest).await.unwrap());
        assert!(store.repositories(None, 1000).await.unwrap().contains(&name));
    }
}

async fn everything_outlives_the_store<E: Engine>(place: E) {
    let (name, latest) = (repository("keep/me"), tag("1.0"));
    let (kept, kind) = (manifest("{}"), media_type("application/json"));
    {
        let store = place.open();
        store.put_manifest(&name, &kind, &kept).await.unwrap();
        store.put_tag(&name, &latest, &record("{}", 3)).await.unwrap();
        store.put_link(&name, kept.digest()).await.unwrap();
    }
    let store = place.open();
    let stored = StoredManifest { media_type: kind, bytes: kept.bytes().clone() };
    assert_eq!(whole(store.manifest(&name, kept.digest()).await.unwrap()), Some(stored));
    assert_eq!(store.tag(&name, &latest).await.unwrap(), Some(record("{}", 3)));
    assert!(store.has_link(&name, kept.digest()).await.unwrap());
}

async fn repositories_in_the_order_of_their_names<E: Engine>(place: E) {
    let store = place.open();
    assert!(store.repositories(None, 10).await.unwrap().is_empty());
    let mut names = vec![
        "foo",
        "foo-bar",
        "foo.bar",
        "foo/bar",
        "foo/bar/baz",
        "foo0",
        "fo",
        "a/b/c",
        "a-b",
        "z",
        "foo_bar",
        "foo__bar/x",
        "foo/bar-baz",
    ];
    for (index, name) in names.iter().enumerate() {
        match index % 3 {
            0 => store.put_tag(&repository(name), &tag("t"), &record("t", 1)).await.unwrap(),
            1 => store.put_manifest(&repository(name), &media_type("a/b"), &manifest("{}")).await.unwrap(),
            _ => store.put_link(&repository(name), &Digest::of(Algorithm::Sha256, b"l")).await.unwrap(),
        }
    }
    names.sort_unstable();
    let listed = |found: Vec<Repository>| -> Vec<String> {
        found.iter().map(|name| name.as_str().to_owned()).collect()
    };
    assert_eq!(listed(store.repositories(None, 100).await.unwrap()), names);
    assert!(store.repositories(None, 0).await.unwrap().is_empty());
    for page_len in 1..names.len() {
        let mut paged: Vec<String> = Vec::new();
        loop {
            let page = listed(store.repositories(paged.last().map(String::as_str), page_len).await.unwrap());
            assert!(page.len() <= page_len);
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, names, "in pages of {page_len}");
    }
    // `last` need not be an existing name, nor a valid one.
    assert_eq!(listed(store.repositories(Some("foo/"), 2).await.unwrap()), ["foo/bar", "foo/bar-baz"]);
    assert_eq!(listed(store.repositories(Some("foo/bar/"), 1).await.unwrap()), ["foo/bar/baz"]);
    assert!(store.repositories(Some("~"), 5).await.unwrap().is_empty());
}
