//! Roots: which are opened, which are refused, and errors when one vanishes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use bytes::Bytes;
use oci::{Algorithm, Digest};
use rustix::io::Errno;

use super::script::{blob, manifest, media_type, record, repository, tag};
use super::{FsStore, Place, metrics, unlocked};
use crate::blob_store::BlobStore;
use crate::conformance::Engine;
use crate::error::{StoreError, StoreErrorKind};
use crate::fs::fault::{Call, Fault};
use crate::fs::{Settings, open};
use crate::inspect::Inspect;
use crate::maintain::Maintain;
use crate::record_store::RecordStore;

/// Expects that opening `root` fails with this kind and a text that contains these words.
fn refused(root: &Path, kind: StoreErrorKind, says: &[&str]) {
    let error = open(root, metrics()).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in says {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}

#[test]
fn a_missing_root_is_created_with_its_parents() {
    let place = Place::new();
    let root = place.root().join("a/b/docker.io");
    drop(open(&root, metrics()).unwrap());
    assert_eq!(fs::read_to_string(root.join("VERSION")).unwrap(), "1\n");
    assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o750);
    drop(open(&root, metrics()).unwrap());
}

#[test]
fn an_empty_root_is_accepted() {
    for leftovers in [&["lost+found"][..], &["lock", "tmp"], &[]] {
        let place = Place::new();
        for name in leftovers {
            fs::create_dir_all(place.root()).unwrap();
            match *name {
                "lock" => fs::write(place.root().join(name), "").unwrap(),
                _ => fs::create_dir(place.root().join(name)).unwrap(),
            }
        }
        drop(place.try_open().unwrap());
    }
}

#[test]
fn a_root_that_is_a_link_is_followed() {
    let place = Place::new();
    let (real, link) = (place.directory.path().join("real"), place.root());
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    drop(place.try_open().unwrap());
    assert!(real.join("VERSION").is_file());
}

#[test]
fn a_second_process_is_refused() {
    let place = Place::new();
    let first = place.open();
    let root = place.root();
    refused(&root, StoreErrorKind::Locked, &["another process uses the root", root.to_str().unwrap()]);
    drop(first);
    drop(place.open());
}

#[test]
fn other_versions_are_refused() {
    for (text, says) in [
        ("2\n", &["layout 2 is newer", "understands (1)", "VERSION"][..]),
        ("0", &["layout is 0", "knows 1"]),
        ("", &["holds \"\" instead of 1", "VERSION"]),
        ("\u{0}\u{0}garbage", &["instead of 1"]),
    ] {
        let place = Place::new();
        drop(place.open());
        fs::write(place.root().join("VERSION"), text).unwrap();
        refused(&place.root(), StoreErrorKind::Version, says);
        assert_eq!(fs::read_to_string(place.root().join("VERSION")).unwrap(), text);
    }
}

#[test]
fn a_directory_that_is_no_store_is_not_changed() {
    let place = Place::new();
    fs::create_dir(place.root()).unwrap();
    fs::write(place.root().join("letters.txt"), "dear diary").unwrap();
    refused(&place.root(), StoreErrorKind::Unfit, &["not a wharf store", "letters.txt", "empty directory"]);
    assert_eq!(place.names_in("."), ["letters.txt"]);
    let file = place.root().join("letters.txt");
    refused(&file, StoreErrorKind::Unfit, &["not a directory"]);
    // A store without its marker looks like a volume that is not mounted.
    let place = Place::new();
    drop(place.open());
    fs::remove_file(place.root().join("VERSION")).unwrap();
    refused(&place.root(), StoreErrorKind::Unfit, &["not a wharf store"]);
}

#[test]
fn a_root_that_everyone_can_write_to_is_refused() {
    let place = Place::new();
    fs::create_dir(place.root()).unwrap();
    for (mode, is_fit) in [(0o777, false), (0o1777, false), (0o702, false), (0o770, true), (0o2775, true)] {
        fs::set_permissions(place.root(), fs::Permissions::from_mode(mode)).unwrap();
        match is_fit {
            true => drop(place.open()),
            false => refused(&place.root(), StoreErrorKind::Unfit, &["everyone may write", "chmod o-w"]),
        }
    }
}

#[test]
fn files_are_private_to_their_owner() {
    let place = Place::new();
    drop(place.open());
    for name in ["VERSION", "lock"] {
        assert_eq!(fs::metadata(place.root().join(name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn the_time_to_open_does_not_depend_on_what_is_stored() {
    let place = Place::new();
    drop(place.open());
    let step_count = || {
        place.faults.reset();
        drop(place.open());
        place.faults.steps().len()
    };
    let empty = step_count();
    for number in 0..500_u32 {
        let path = place.layout().blob(&Digest::of(Algorithm::Sha256, &number.to_le_bytes()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
        let repository = place.root().join(format!("repositories/r{number}/_tags"));
        fs::create_dir_all(&repository).unwrap();
        fs::write(repository.join("latest"), "x").unwrap();
    }
    assert_eq!(step_count(), empty);
}

/// A store that an older program made has no `notes`, and a later one's directories are no reason to refuse a
/// store.
#[tokio::test]
async fn a_store_with_fewer_or_more_directories_can_be_opened() {
    let place = Place::new();
    drop(place.open());
    assert!(!place.root().join("notes").exists(), "nothing is made that an older store lacks");
    fs::create_dir(place.root().join("later")).unwrap();
    let store = place.open();
    assert_eq!(store.note("uses").await.unwrap(), None);
    store.put_note("uses", manifest().bytes()).await.unwrap();
    assert!(place.root().join("later").exists() && place.root().join("notes/uses").exists());
}

#[test]
fn a_read_only_file_system_can_be_opened() {
    let place = Place::new();
    drop(place.open());
    place.faults.inject(Some(Call::Open), 1, Fault::Errno(Errno::ROFS.raw_os_error()));
    drop(place.open());
    assert!(!place.faults.is_pending());
}

/// The result of each operation of a store.
async fn all_answers(store: &crate::fs::FsStore) -> Vec<(&'static str, Option<StoreError>)> {
    let (_, digest) = blob(0);
    vec![
        ("open", BlobStore::open(store, &digest).await.err()),
        ("spool", store.spool(&digest).await.err()),
        ("set_aside", store.set_aside(&digest).await.err()),
        ("manifest", store.manifest(&repository(), manifest().digest()).await.err()),
        ("put_manifest", store.put_manifest(&repository(), &media_type(), &manifest()).await.err()),
        ("manifests", store.manifests(&repository(), None, 10).await.err()),
        ("tags", store.tags(&repository(), None, 10).await.err()),
        ("sync_removals", store.sync_removals(&[repository()]).await.err()),
        ("note", store.note("uses").await.err()),
        ("put_note", store.put_note("uses", manifest().bytes()).await.err()),
        ("put_durable_note", store.put_durable_note("uses", manifest().bytes()).await.err()),
        ("space", store.space().await.err()),
        ("tag", store.tag(&repository(), &tag()).await.err()),
        ("put_tag", store.put_tag(&repository(), &tag(), &record()).await.err()),
        ("has_link", store.has_link(&repository(), &digest).await.err()),
        ("put_link", store.put_link(&repository(), &digest).await.err()),
        ("repositories", store.repositories(None, 10).await.err()),
    ]
}

#[tokio::test]
async fn a_vanished_root_is_reported_and_never_created_again() {
    for is_mount_point in [false, true] {
        let place = Place::new();
        let store = place.open();
        let (bytes, digest) = blob(0);
        let spool = store.spool(&digest).await.unwrap();
        spool.write(0, vec![bytes.clone()]).await.unwrap();
        // An unmounted volume leaves its empty mount point.
        fs::rename(place.root(), place.directory.path().join("elsewhere")).unwrap();
        if is_mount_point {
            fs::create_dir(place.root()).unwrap();
        }
        let verified = spool.finish(bytes.len() as u64).await.unwrap();
        assert_eq!(verified.content().read(0, 10).await.unwrap(), bytes[..10], "readers can finish");
        store.admit(verified).await.unwrap_err();
        for (what, answer) in all_answers(&store).await {
            let error = answer.unwrap_or_else(|| panic!("{what} did not notice"));
            assert_eq!(error.kind(), StoreErrorKind::MissingRoot, "{what}: {error}");
            assert!(error.to_string().contains("is its volume mounted?"), "{error}");
        }
        let store_is_absent =
            if is_mount_point { place.names_in(".").is_empty() } else { !place.root().exists() };
        assert!(store_is_absent);
        // Once the root is back, all operations succeed.
        if is_mount_point {
            fs::remove_dir(place.root()).unwrap();
        }
        fs::rename(place.directory.path().join("elsewhere"), place.root()).unwrap();
        for (what, answer) in all_answers(&store).await {
            assert!(answer.is_none(), "{what}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn directories_removed_by_hand_are_created_again() {
    let place = Place::new();
    let store = place.open();
    for _ in 0..2 {
        let (bytes, digest) = blob(0);
        let spool = store.spool(&digest).await.unwrap();
        spool.write(0, vec![bytes.clone()]).await.unwrap();
        store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
        store.put_tag(&repository(), &tag(), &record()).await.unwrap();
        store.put_link(&repository(), &digest).await.unwrap();
        for name in ["blobs", "partial", "tmp", "quarantine", "repositories", "manifests"] {
            // Not all directories are needed again, so some stay removed.
            let _ = fs::remove_dir_all(place.root().join(name));
        }
        assert!(BlobStore::open(&store, &digest).await.unwrap().is_none());
        assert!(store.repositories(None, 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn files_are_not_sent_if_the_file_system_cannot_do_that() {
    for (errno, can_send) in [(None, true), (Some(Errno::INVAL), false), (Some(Errno::OPNOTSUPP), false)] {
        let place = Place::fast();
        if let Some(errno) = errno {
            // The first read of a new root tries to send a byte of its marker.
            place.faults.inject(Some(Call::Read), 0, Fault::Errno(errno.raw_os_error()));
        }
        let store = place.open();
        let spool = BlobStore::spool(&store, &Digest::of(Algorithm::Sha256, b"content")).await.unwrap();
        assert_eq!(spool.content().as_file().is_some(), can_send, "{errno:?}");
        assert!(!place.faults.is_pending());
    }
}

fn open_unmade(root: &Path) -> FsStore {
    Settings { is_made: false, is_swept: false, ..Settings::default() }.open(root, metrics()).unwrap()
}

#[tokio::test]
async fn a_store_that_is_not_made_is_empty_and_changes_nothing() {
    let place = Place::new();
    let (root, name) = (place.root().join("a/b"), repository());
    let store = open_unmade(&root);
    let digest = Digest::of(Algorithm::Sha256, b"blob");
    store.take_stock().await;
    assert!(store.open(&digest).await.unwrap().is_none());
    assert!(store.manifest(&name, &digest).await.unwrap().is_none());
    assert!(store.repositories(None, 10).await.unwrap().is_empty());
    assert!(store.note("pins").await.unwrap().is_none() && store.space().await.unwrap().is_none());
    assert_eq!((store.usage().blobs.count, store.usage().is_counting), (0, false));
    let refusals = [
        store.put_note("pins", &Bytes::from_static(b"x")).await.unwrap_err(),
        store.put_tag(&name, &tag(), &record()).await.unwrap_err(),
        store.put_link(&name, &digest).await.unwrap_err(),
        store.try_write().await.unwrap_err(),
    ];
    for error in refusals {
        assert_eq!(error.kind(), StoreErrorKind::MissingRoot, "{error}");
    }
    assert!(!place.root().exists());
}

/// A server begins while a command looks.
#[tokio::test]
async fn a_store_that_is_made_after_it_was_looked_for_keeps_its_files() {
    let place = Place::new();
    let looked = open_unmade(&place.root());
    let store = place.open();
    let (bytes, digest) = blob(0);
    let (spool, size) = (store.spool(&digest).await.unwrap(), bytes.len() as u64);
    spool.write(0, vec![bytes]).await.unwrap();
    store.admit(spool.finish(size).await.unwrap()).await.unwrap();
    store.put_note("pins", &Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(looked.remove(&digest).await.unwrap(), 0);
    assert!(looked.put_note("pins", &Bytes::from_static(b"y")).await.is_err());
    looked.remove_repository(&repository()).await.unwrap();
    assert!(store.open(&digest).await.unwrap().is_some());
    assert_eq!(store.note("pins").await.unwrap().as_deref(), Some(&b"x"[..]));
    // One that is there is opened as any other.
    drop((store, looked));
    let settings = Settings { is_made: false, ..Settings::default() };
    let again = unlocked(|| settings.open(&place.root(), metrics())).unwrap();
    assert!(again.open(&digest).await.unwrap().is_some());
    again.put_note("pins", &Bytes::from_static(b"y")).await.unwrap();
}

#[test]
fn a_store_that_cannot_be_looked_at_is_an_error_and_not_empty() {
    let place = Place::new();
    fs::write(place.root(), "").unwrap();
    let settings = Settings { is_made: false, ..Settings::default() };
    assert!(settings.open(&place.root().join("a.example"), metrics()).is_err());
}
