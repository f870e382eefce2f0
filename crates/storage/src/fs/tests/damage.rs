//! Files that another program or the disk has changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use rustix::fs::{FileType, Mode};

use super::Place;
use super::script::{blob, manifest, media_type, record, repository, tag};
use crate::blob_store::BlobStore;
use crate::conformance::{Engine, read, whole};
use crate::fs::FsStore;
use crate::record_store::RecordStore;

async fn put(store: &FsStore, number: u64) {
    let (bytes, digest) = blob(number);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.clone()]).await.unwrap();
    store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
}

/// Puts something that is no regular file under a name.
fn plant(path: &Path, what: &str, canary: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match what {
        "nothing in it" => fs::write(path, "").unwrap(),
        "a directory" => fs::create_dir_all(path.join("inner")).unwrap(),
        "a link" => symlink(canary, path).unwrap(),
        "a dangling link" => symlink("nowhere", path).unwrap(),
        "a pipe" => {
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        }
        _ => unreachable!("{what}"),
    }
}

const STRANGERS: [&str; 5] = ["nothing in it", "a directory", "a link", "a dangling link", "a pipe"];

#[tokio::test]
async fn a_blob_that_is_no_file_is_quarantined_and_can_be_fetched_again() {
    for what in STRANGERS {
        let place = Place::new();
        let store = place.open();
        let (bytes, digest) = blob(0);
        let canary = place.directory.path().join("canary");
        fs::write(&canary, &bytes).unwrap();
        plant(&place.layout().blob(&digest), what, &canary);
        assert!(BlobStore::open(&store, &digest).await.unwrap().is_none(), "{what}");
        assert_eq!(place.names_in("quarantine").len(), 1, "{what}");
        put(&store, 0).await;
        let found = BlobStore::open(&store, &digest).await.unwrap().unwrap();
        assert_eq!(read(&found, 0, found.size()).await, bytes);
        assert_eq!(fs::read(&canary).unwrap(), bytes, "{what} was followed");
    }
}

#[tokio::test]
async fn a_partial_that_is_no_file_is_quarantined() {
    for what in STRANGERS {
        for place_of in [super::Layout::partial, super::Layout::sidecar] {
            let place = Place::new();
            let store = place.open();
            let (bytes, digest) = blob(0);
            let canary = place.directory.path().join("canary");
            fs::write(&canary, &bytes).unwrap();
            plant(&place_of(&place.layout(), &digest), what, &canary);
            put(&store, 0).await;
            assert!(BlobStore::open(&store, &digest).await.unwrap().is_some(), "{what}");
            assert_eq!(fs::read(&canary).unwrap(), bytes, "{what} was followed");
        }
    }
}

#[tokio::test]
async fn a_record_that_is_no_file_is_quarantined() {
    for what in STRANGERS {
        let place = Place::new();
        let store = place.open();
        let canary = place.directory.path().join("canary");
        fs::write(&canary, "{}").unwrap();
        for path in [
            place.layout().tag(&repository(), &tag()),
            place.layout().manifest_record(&repository(), manifest().digest()),
        ] {
            plant(&path, what, &canary);
        }
        assert_eq!(store.tag(&repository(), &tag()).await.unwrap(), None, "{what}");
        assert_eq!(whole(store.manifest(&repository(), manifest().digest()).await.unwrap()), None, "{what}");
        assert_eq!(place.names_in("quarantine").len(), 2, "{what}");
        store.put_tag(&repository(), &tag(), &record()).await.unwrap();
        assert_eq!(store.tag(&repository(), &tag()).await.unwrap(), Some(record()), "{what}");
    }
}

#[tokio::test]
async fn a_meaningless_record_is_quarantined() {
    let good = serde_json::json!({
        "tag": "3.20", "digest": record().digest.to_string(), "media_type": "a/b", "size": 1,
        "checked_at": "2026-11-21T10:26:59Z",
    });
    let with = |key: &str, value: serde_json::Value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed.to_string()
    };
    for (text, is_set_aside) in [
        ("{".to_owned(), true),
        ("null".to_owned(), true),
        (good.to_string()[..40].to_owned(), true),
        (with("digest", "sha256:abc".into()), true),
        (with("media_type", "".into()), true),
        (with("size", (-1).into()), true),
        (with("checked_at", "yesterday".into()), true),
        ("x".repeat(100_000), true),
        // On a file system that ignores case, another tag's record is found.
        (with("tag", "Other".into()), false),
    ] {
        let place = Place::new();
        let store = place.open();
        store.put_tag(&repository(), &tag(), &record()).await.unwrap();
        let path = place.layout().tag(&repository(), &tag());
        fs::write(&path, &text).unwrap();
        assert_eq!(store.tag(&repository(), &tag()).await.unwrap(), Some(record()), "the copy in memory");
        drop(store);
        let store = place.open();
        assert_eq!(store.tag(&repository(), &tag()).await.unwrap(), None, "{text}");
        assert_eq!(!path.exists(), is_set_aside, "{text}");
        assert_eq!(place.names_in("quarantine").len(), usize::from(is_set_aside), "{text}");
        fs::write(&path, good.to_string()).unwrap();
        assert!(store.tag(&repository(), &tag()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_manifest_with_a_flipped_bit_is_never_served() {
    let place = Place::new();
    let path = place.layout().manifest(manifest().digest());
    let put = async || {
        let store = place.open();
        store.put_manifest(&repository(), &media_type(), &manifest()).await.unwrap();
    };
    // A store that is opened again has no copy in memory.
    let find = async || whole(place.open().manifest(&repository(), manifest().digest()).await.unwrap());
    for byte in 0..manifest().bytes().len() {
        put().await;
        let mut bytes = fs::read(&path).unwrap();
        bytes[byte] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(find().await, None);
        assert!(!path.exists());
    }
    for cut in [0, 5] {
        put().await;
        fs::write(&path, &manifest().bytes()[..cut]).unwrap();
        assert_eq!(find().await, None);
    }
    put().await;
    fs::remove_file(&path).unwrap();
    assert_eq!(find().await, None);
}

#[tokio::test]
async fn a_manifest_in_memory_is_served_whatever_happens_to_its_file() {
    let place = Place::new();
    let store = place.open();
    store.put_manifest(&repository(), &media_type(), &manifest()).await.unwrap();
    fs::write(place.layout().manifest(manifest().digest()), "damaged").unwrap();
    let found = whole(store.manifest(&repository(), manifest().digest()).await.unwrap()).unwrap();
    assert_eq!(found.bytes, *manifest().bytes());
    assert_eq!(found.media_type, media_type());
    store.remove_manifest(&repository(), manifest().digest()).await.unwrap();
    assert_eq!(whole(store.manifest(&repository(), manifest().digest()).await.unwrap()), None);
}

#[tokio::test]
async fn a_blob_truncated_while_it_is_read_ends_early() {
    let place = Place::new();
    let store = place.open();
    put(&store, 0).await;
    let (_, digest) = blob(0);
    let found = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    let file = fs::OpenOptions::new().write(true).open(place.layout().blob(&digest)).unwrap();
    file.set_len(10_000).unwrap();
    assert_eq!(found.read(9_990, 100).await.unwrap().len(), 10);
    assert!(found.read(10_000, 100).await.unwrap().is_empty());
    // A non-blocking read that finds an unexpected end does not trust it.
    assert_eq!(found.try_read(10_000, 100).unwrap(), None);
    assert!(found.size() > 10_000);
}

#[tokio::test]
async fn the_quarantine_is_bounded_and_keeps_the_newest() {
    let place = Place::new();
    let store = place.open();
    let quarantine = place.root().join("quarantine");
    fs::write(quarantine.join("notes-of-an-operator"), "keep").unwrap();
    for number in 0..70 {
        fs::write(quarantine.join(format!("{number:010}-old")), "").unwrap();
    }
    put(&store, 0).await;
    store.set_aside(&blob(0).1).await.unwrap();
    let names = place.names_in("quarantine");
    assert_eq!(names.len(), 64 + 1);
    assert!(names.iter().any(|name| name.ends_with(blob(0).1.hex())));
    assert!(names.contains(&"notes-of-an-operator".to_owned()));
    assert!(!names.contains(&"0000000006-old".to_owned()) && names.contains(&"0000000007-old".to_owned()));
}

#[tokio::test]
async fn garbage_in_every_directory_does_not_stop_the_store() {
    let place = Place::new();
    drop(place.open());
    put(&place.open(), 0).await;
    let directories = [
        "blobs",
        "blobs/sha256",
        "blobs/sha256/00",
        "blobs/sha512",
        "manifests",
        "repositories",
        "repositories/Foo",
        "repositories/a/_tags",
        "partial",
        "tmp",
        "quarantine",
        "what/is/this",
    ];
    for directory in directories {
        let directory = place.root().join(directory);
        fs::create_dir_all(directory.join("a directory")).unwrap();
        for name in
            ["garbage", "_", "sha256", "..hidden", "x.json", "sha256-00", "\u{1F980}", &"0".repeat(64)]
        {
            let path = directory.join(name);
            if !path.exists() {
                fs::write(&path, "garbage").unwrap();
            }
            let future = SystemTime::now() + Duration::from_secs(400 * 86_400);
            let _ = fs::File::open(&path).unwrap().set_modified(future);
        }
    }
    let store = place.open();
    let (_, digest) = blob(0);
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_some());
    put(&store, 1).await;
    let entries: Vec<_> = store.entries().map(|entry| entry.unwrap().digest).collect().await;
    assert!(entries.contains(&digest) && entries.contains(&blob(1).1));
    let names = store.repositories(None, 100).await.unwrap();
    assert_eq!(names.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["a"]);
    store.put_manifest(&repository(), &media_type(), &manifest()).await.unwrap();
    assert!(store.manifest(&repository(), manifest().digest()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_record_can_be_read_by_people() {
    let place = Place::new();
    let store = place.open();
    store.put_tag(&repository(), &tag(), &record()).await.unwrap();
    store.put_manifest(&repository(), &media_type(), &manifest()).await.unwrap();
    let root = place.root();
    let text = fs::read_to_string(root.join("repositories/library/alpine/_tags/3.20")).unwrap();
    let expected = format!(
        r#"{{
  "tag": "3.20",
  "digest": "{}",
  "media_type": "application/vnd.oci.image.manifest.v1+json",
  "size": 19,
  "checked_at": "2026-11-21T10:26:59Z"
}}
"#,
        manifest().digest()
    );
    assert_eq!(text, expected);
    let hex = manifest().digest().hex().to_owned();
    let stored = fs::read(root.join("manifests/sha256").join(&hex[..2]).join(&hex)).unwrap();
    assert_eq!(stored, **manifest().bytes());
    let kind =
        fs::read_to_string(root.join("repositories/library/alpine/_manifests/sha256").join(&hex)).unwrap();
    assert!(kind.contains("\"media_type\": \"application/vnd.oci.image.manifest.v1+json\""));
}
