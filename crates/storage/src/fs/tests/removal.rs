//! Removals on disk: their calls, the directories that stay, and what happens beside them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::future::join_all;
use oci::{Algorithm, Repository, Tag};
use rustix::io::Errno;

use super::script::{blob, manifest, media_type, record, repository, tag};
use super::usage::truth;
use super::{Place, metrics};
use crate::blob_store::BlobStore;
use crate::conformance::{Engine, whole};
use crate::error::StoreErrorKind;
use crate::fs::fault::{Call, Fault};
use crate::fs::removal::SYNC_COUNT;
use crate::fs::{FsStore, open};
use crate::maintain::Maintain;
use crate::note::NOTE_BYTES_MAX;
use crate::record_store::RecordStore;
use crate::space::Space;

fn named(name: &str) -> Repository {
    name.parse().unwrap()
}

/// What lies below `repositories`, directories with a slash behind.
fn tree(place: &Place) -> BTreeSet<String> {
    fn add(path: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                add(&entry.path(), &format!("{name}/"), found);
                found.insert(format!("{name}/"));
            } else {
                found.insert(name);
            }
        }
    }
    let mut found = BTreeSet::new();
    add(&place.root().join("repositories"), "", &mut found);
    found
}

/// Stores one of everything in a repository.
async fn fill(store: &FsStore, name: &Repository) {
    store.put_link(name, &blob(0).1).await.unwrap();
    store.put_link(name, &blob(1).1).await.unwrap();
    let list = crate::record_store::StoredList {
        bytes: Bytes::from_static(b"{}"),
        media_type: "application/json".to_owned(),
        next: None,
        filters_applied: None,
        seen_at: std::time::UNIX_EPOCH,
    };
    store.put_list(name, "tags", &list).await.unwrap();
    store.put_manifest(name, &media_type(), &manifest()).await.unwrap();
    store.put_tag(name, &tag(), &record()).await.unwrap();
}

/// Removes a repository in the order of an eviction.
async fn evict(store: &FsStore, name: &Repository) {
    store.remove_tag(name, &tag()).await.unwrap();
    store.remove_manifest(name, manifest().digest()).await.unwrap();
    store.remove_repository(name).await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_a_repository_that_is_removed() {
    let place = Place::fast();
    let store = place.open();
    for name in ["a", "team/app/web"] {
        fill(&store, &named(name)).await;
        evict(&store, &named(name)).await;
        assert_eq!((tree(&place), place.names_in("tmp").len()), (BTreeSet::new(), 0), "{name}");
    }
}

#[tokio::test]
async fn directories_of_other_repositories_and_foreign_files_stay() {
    let place = Place::fast();
    let store = place.open();
    for name in ["foo", "foo/bar", "foo/bar/baz"] {
        fill(&store, &named(name)).await;
    }
    let whole_tree = tree(&place);
    let of = |name: &str| -> BTreeSet<_> {
        whole_tree.iter().filter(|path| path.starts_with(&format!("{name}/_"))).cloned().collect()
    };
    evict(&store, &named("foo/bar")).await;
    assert_eq!(tree(&place), &whole_tree - &of("foo/bar"));
    evict(&store, &named("foo")).await;
    let expected = &(&whole_tree - &of("foo/bar")) - &of("foo");
    assert_eq!(tree(&place), expected);
    // The last one takes the empty directories above it along, unless there is something in them.
    let foreign = place.root().join("repositories/foo/letters.txt");
    fs::write(&foreign, "dear diary").unwrap();
    evict(&store, &named("foo/bar/baz")).await;
    assert_eq!(tree(&place), BTreeSet::from(["foo/".to_owned(), "foo/letters.txt".to_owned()]));
}

#[tokio::test]
async fn foreign_names_are_not_listed() {
    let place = Place::fast();
    let store = place.open();
    let name = repository();
    fill(&store, &name).await;
    let layout = place.layout();
    let records = layout.manifest_records(&name, Algorithm::Sha256);
    fs::write(records.join("letters.txt"), "x").unwrap();
    fs::write(records.join("A".repeat(64)), "x").unwrap();
    fs::create_dir(records.join("0".repeat(64))).unwrap();
    fs::write(layout.tags(&name).join("-no-tag"), "x").unwrap();
    fs::write(layout.tags(&name).join(".nfs0001"), "x").unwrap();
    let listed = store.manifests(&name, None, 1).await.unwrap();
    assert_eq!(listed.len(), 1, "what is no record must not end a page early");
    assert_eq!(listed[0].digest, *manifest().digest());
    assert_eq!(store.manifests(&name, None, 100).await.unwrap(), listed);
    assert_eq!(store.tags(&name, None, 100).await.unwrap(), [tag()]);
}

/// The directories that were synced since the record was last forgotten.
fn synced(place: &Place) -> Vec<PathBuf> {
    let steps = place.faults.steps();
    steps.into_iter().filter(|step| step.call == Call::Sync).map(|step| step.path).collect()
}

#[tokio::test]
async fn removals_of_many_repositories_are_made_durable_with_one_sync_of_each_directory() {
    let place = Place::fast();
    let store = place.open();
    let names = ["a", "b/c", "b/d"].map(named);
    let extra: Tag = "extra".parse().unwrap();
    for name in &names {
        fill(&store, name).await;
        store.put_tag(name, &extra, &record()).await.unwrap();
    }
    for name in &names {
        store.remove_tag(name, &tag()).await.unwrap();
        store.remove_tag(name, &extra).await.unwrap();
        store.remove_manifest(name, manifest().digest()).await.unwrap();
    }
    place.faults.reset();
    store.sync_removals(&[names.to_vec(), names.to_vec()].concat()).await.unwrap();
    let all = synced(&place);
    let distinct: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    for name in &names {
        assert!(distinct.contains(&place.layout().tags(name)));
        assert!(distinct.contains(&place.layout().manifest_records(name, Algorithm::Sha256)));
    }
    // Of directories that are gone, the one above is synced.
    for name in &names {
        store.remove_repository(name).await.unwrap();
    }
    place.faults.reset();
    store.sync_removals(&names).await.unwrap();
    assert_eq!(synced(&place), [place.root().join("repositories")]);
}

#[tokio::test]
async fn removals_of_very_many_repositories_are_made_durable_with_one_sync() {
    let place = Place::fast();
    let store = place.open();
    let names: Vec<_> = (0..=SYNC_COUNT).map(|number| named(&format!("r{number}"))).collect();
    store.put_tag(&names[0], &tag(), &record()).await.unwrap();
    store.remove_tag(&names[0], &tag()).await.unwrap();
    place.faults.reset();
    store.sync_removals(&names).await.unwrap();
    assert_eq!(synced(&place), [place.root()]);
    // Where that is not possible, each directory is synced.
    for errno in [Errno::NOSYS, Errno::PERM] {
        place.faults.reset();
        place.faults.inject(Some(Call::Sync), 0, Fault::Errno(errno.raw_os_error()));
        store.sync_removals(&names).await.unwrap();
        assert_eq!(synced(&place)[..2], [place.root().to_owned(), place.layout().tags(&names[0])]);
    }
    place.faults.inject(Some(Call::Sync), 0, Fault::Errno(Errno::IO.raw_os_error()));
    let error = store.sync_removals(&names).await.unwrap_err();
    assert_eq!((error.call().as_str(), error.errno()), ("syncfs", Some(Errno::IO.raw_os_error())));
}

#[tokio::test]
async fn a_failed_sync_of_removals_is_an_error() {
    let place = Place::fast();
    let store = place.open();
    fill(&store, &repository()).await;
    store.remove_tag(&repository(), &tag()).await.unwrap();
    for skip in 0..2 {
        place.faults.inject(Some(Call::Sync), skip, Fault::Errno(Errno::IO.raw_os_error()));
        let error = store.sync_removals(&[repository()]).await.unwrap_err();
        assert_eq!((error.call().as_str(), error.errno()), ("fsync", Some(Errno::IO.raw_os_error())));
    }
    store.sync_removals(&[repository()]).await.unwrap();
}

/// Waits until a call is held, which happens on another thread.
async fn until_held(hold: &crate::fs::fault::Hold) {
    while hold.held_count() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_put_that_makes_its_directories_is_not_disturbed_by_the_removal_of_those_above() {
    let place = Place::fast();
    let store = place.open();
    let (above, below) = (named("foo"), named("foo/bar"));
    fill(&store, &above).await;
    store.remove_tag(&above, &tag()).await.unwrap();
    store.remove_manifest(&above, manifest().digest()).await.unwrap();
    // `foo` is there, and `foo/bar` is about to be made.
    let hold = place.faults.hold(Call::MakeDirectory);
    let spawn_put = |store: FsStore, name: Repository| {
        tokio::spawn(async move { store.put_tag(&name, &tag(), &record()).await })
    };
    let put = spawn_put(store.clone(), below.clone());
    until_held(&hold).await;
    let removal = tokio::spawn({
        let (store, above) = (store.clone(), above.clone());
        async move { store.remove_repository(&above).await }
    });
    // It would be done by then if it did not wait.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!removal.is_finished(), "it waits for the put");
    drop(hold);
    put.await.unwrap().unwrap();
    removal.await.unwrap().unwrap();
    assert_eq!(store.tag(&below, &tag()).await.unwrap(), Some(record()));
    assert_eq!(place.open_again(store).tag(&below, &tag()).await.unwrap(), Some(record()));
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_beside_the_removal_of_their_repository_succeed_and_stay() {
    let place = Place::fast();
    let store = place.open();
    let names = ["foo", "foo/bar", "foo/bar/baz"].map(named);
    for round in 0..60 {
        let removals = (0..2).flat_map(|_| &names).map(|name| {
            let (store, name) = (store.clone(), name.clone());
            tokio::spawn(async move { store.remove_repository(&name).await })
        });
        let removals: Vec<_> = removals.collect();
        let puts = names.iter().map(|name| {
            let (store, name) = (store.clone(), name.clone());
            tokio::spawn(async move { fill(&store, &name).await })
        });
        join_all(puts).await.into_iter().for_each(|put| put.unwrap());
        for removed in join_all(removals).await {
            removed.unwrap().unwrap();
        }
        for name in &names {
            assert_eq!(store.tag(name, &tag()).await.unwrap(), Some(record()), "{name}, round {round}");
            assert!(whole(store.manifest(name, manifest().digest()).await.unwrap()).is_some());
            assert!(place.layout().tag(name, &tag()).exists());
        }
        for name in &names {
            evict(&store, name).await;
        }
        assert_eq!((tree(&place), place.names_in("tmp").len()), (BTreeSet::new(), 0), "round {round}");
    }
}

#[tokio::test]
async fn the_next_start_completes_a_removal_that_a_kill_broke_off() {
    let place = Place::fast();
    let store = place.open();
    fill(&store, &repository()).await;
    store.remove_tag(&repository(), &tag()).await.unwrap();
    store.remove_manifest(&repository(), manifest().digest()).await.unwrap();
    place.faults.reset();
    // Grants and lists were moved out, and nothing of them is removed.
    place.faults.inject(Some(Call::Unlink), 0, Fault::Stop);
    let _ = store.remove_repository(&repository()).await;
    assert_eq!(place.names_in("tmp").len(), 2);
    place.faults.reset();
    let store = place.open_again(store);
    assert_eq!(place.names_in("tmp"), [""; 0]);
    assert!(store.repositories(None, 10).await.unwrap().is_empty());
    store.remove_repository(&repository()).await.unwrap();
    assert_eq!(tree(&place), BTreeSet::new());
}

#[tokio::test]
async fn the_bytes_of_a_manifest_do_not_stay_in_memory() {
    let place = Place::fast();
    let store = open(&place.root(), metrics()).unwrap();
    let names: Vec<_> = (0..40).map(|number| named(&format!("r{number}"))).collect();
    for name in &names {
        store.put_manifest(name, &media_type(), &manifest()).await.unwrap();
        assert!(store.manifest(name, manifest().digest()).await.unwrap().is_some());
    }
    assert!(store.manifest_bytes().taken() > 0);
    assert_eq!(store.remove_manifest_bytes(manifest().digest()).await.unwrap(), 19);
    assert_eq!(store.manifest_bytes().taken(), 0);
    for name in &names {
        assert!(store.manifest(name, manifest().digest()).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_removed_beside_its_commit_is_counted_right() {
    for (round, collects) in [true, false].into_iter().cycle().take(40).enumerate() {
        let place = if collects { Place::fast().collecting() } else { Place::fast() };
        let store = open(&place.root(), metrics()).unwrap();
        store.take_stock().await;
        let (bytes, digest) = blob(0);
        let spool = store.spool(&digest).await.unwrap();
        spool.write(0, vec![bytes.clone()]).await.unwrap();
        assert_eq!(store.remove(&digest).await.unwrap(), 0, "a spool is no blob");
        let verified = spool.finish(bytes.len() as u64).await.unwrap();
        assert_eq!(store.remove(&digest).await.unwrap(), 0, "nor is a verified one");
        let remover = store.clone();
        let of = digest.clone();
        let removal = tokio::spawn(async move { remover.remove(&of).await });
        store.admit(verified).await.unwrap();
        let freed = removal.await.unwrap().unwrap();
        let found = BlobStore::open(&store, &digest).await.unwrap();
        assert_eq!(found.is_none(), freed > 0, "round {round}");
        assert_eq!(store.usage(), truth(&place.root()));
        let rest = store.remove(&digest).await.unwrap();
        assert_eq!(freed + rest, bytes.len() as u64);
        assert!(BlobStore::open(&store, &digest).await.unwrap().is_none());
        assert_eq!(store.usage(), truth(&place.root()));
    }
}

#[tokio::test]
async fn a_removal_that_fails_changes_nothing() {
    let place = Place::fast();
    let store = place.open();
    store.take_stock().await;
    let (bytes, digest) = blob(0);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.clone()]).await.unwrap();
    store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
    fill(&store, &repository()).await;
    for call in [Call::Stat, Call::Unlink] {
        let failing = Fault::Errno(Errno::IO.raw_os_error());
        place.faults.inject(Some(call), 0, failing);
        store.remove(&digest).await.unwrap_err();
        place.faults.inject(Some(call), 0, failing);
        store.remove_manifest_bytes(manifest().digest()).await.unwrap_err();
        assert_eq!(store.usage(), truth(&place.root()));
        assert!(BlobStore::open(&store, &digest).await.unwrap().is_some());
        assert!(store.manifest(&repository(), manifest().digest()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_note_is_replaced_as_a_whole_and_garbage_in_its_place_is_set_aside() {
    let place = Place::fast();
    let store = place.open();
    store.put_note("uses", &Bytes::from_static(b"old")).await.unwrap();
    assert_eq!(place.names_in("notes"), ["uses"]);
    for (call, skip) in [(Call::Write, 0), (Call::Rename, 0), (Call::Open, 0)] {
        place.faults.inject(Some(call), skip, Fault::Errno(Errno::NOSPC.raw_os_error()));
        let error = store.put_note("uses", &Bytes::from_static(b"new")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        assert_eq!(store.note("uses").await.unwrap(), Some(Bytes::from_static(b"old")));
        assert_eq!(place.names_in("tmp"), [""; 0]);
    }
    fs::create_dir(place.root().join("notes/pins")).unwrap();
    let sparse = fs::File::create(place.root().join("notes/large")).unwrap();
    sparse.set_len(NOTE_BYTES_MAX + 1).unwrap();
    for name in ["pins", "large"] {
        assert_eq!(store.note(name).await.unwrap(), None);
        store.put_note(name, &Bytes::from_static(b"new")).await.unwrap();
        assert_eq!(store.note(name).await.unwrap(), Some(Bytes::from_static(b"new")));
    }
    assert_eq!(place.names_in("quarantine").len(), 2);
}

#[tokio::test]
#[should_panic(expected = "lower-case letters")]
async fn a_note_cannot_lead_out_of_the_store() {
    let place = Place::fast();
    let _ = place.open().note("../VERSION").await;
}

#[tokio::test]
async fn the_space_is_that_of_the_file_system_below_the_root() {
    let place = Place::fast();
    let store = place.open();
    let space = store.space().await.unwrap().unwrap();
    let stat = rustix::fs::statvfs(place.root()).unwrap();
    assert_eq!(space.total, stat.f_blocks * stat.f_frsize);
    assert!(0 < space.free && space.free <= space.unused && space.unused <= space.total, "{space:?}");
    if let Some(id) = space.file_system {
        assert_eq!(id, stat.f_fsid);
    }
    place.faults.inject(Some(Call::Stat), 0, Fault::Errno(Errno::IO.raw_os_error()));
    assert_eq!(store.space().await.unwrap_err().call().as_str(), "statvfs");
    let memory = crate::MemoryStore::new();
    assert_eq!(memory.space().await.unwrap(), None);
    memory.set_space(Some(Space::new(100, 40)));
    assert_eq!(memory.space().await.unwrap(), Some(Space::new(100, 40)));
}
