//! An image is stored and removed again, in the order of an eviction. Every system call of that fails once,
//! and at every one of them the process dies once: no tag without its manifest, and nothing comes back that
//! was removed.

use bytes::Bytes;
use oci::Repository;
use policy::freshness::TagRecord;

use super::Place;
use super::faults::fitting;
use super::script::{blob, media_type, record, repository, tag};
use super::usage::truth;
use crate::error::StoreError;
use crate::fs::FsStore;
use crate::fs::fault::{Call, Fault, Step};
use crate::maintain::Maintain;
use crate::record_store::RecordStore;
use crate::verified_manifest::VerifiedManifest;

/// The outcome of a run as its caller knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    is_stored: bool,
    is_removed: bool,
    is_noted: bool,
}

fn manifest() -> VerifiedManifest {
    VerifiedManifest::check(Bytes::from_static(br#"{"schemaVersion":2,"evicted":true}"#), None).unwrap()
}

fn below() -> Repository {
    format!("{}/below", repository()).parse().unwrap()
}

async fn play(store: &FsStore) -> Done {
    store.take_stock().await;
    let is_stored = fill(store).await.is_ok();
    // A neighbour that shares its directory.
    let _ = store.put_link(&below(), &blob(0).1).await;
    let is_noted = store.put_note("uses", &Bytes::from_static(b"used")).await.is_ok();
    let is_removed = evict(store).await.is_ok();
    let _ = store.note("uses").await;
    let _ = store.space().await;
    Done { is_stored, is_removed, is_noted }
}

async fn fill(store: &FsStore) -> Result<(), StoreError> {
    let manifest = manifest();
    let record = TagRecord { digest: manifest.digest().clone(), ..record() };
    store.put_manifest(&repository(), &media_type(), &manifest).await?;
    store.put_link(&repository(), &blob(0).1).await?;
    store.put_tag(&repository(), &tag(), &record).await
}

/// An error: not all records are known to be gone for good.
async fn evict(store: &FsStore) -> Result<(), StoreError> {
    let (name, all) = (repository(), 10);
    let (manifests, tags) = (store.manifests(&name, None, all).await?, store.tags(&name, None, all).await?);
    for tag in &tags {
        store.remove_tag(&name, tag).await?;
    }
    for entry in &manifests {
        store.remove_manifest(&name, &entry.digest).await?;
    }
    store.sync_removals(std::slice::from_ref(&name)).await?;
    for entry in &manifests {
        let _ = store.remove_manifest_bytes(&entry.digest).await;
    }
    let _ = store.remove_repository(&name).await;
    Ok(())
}

/// Opens the store anew, and expects what was promised and nothing wrong.
async fn inspect(place: &Place, done: Done) {
    place.faults.reset();
    let store = place.try_open().unwrap();
    assert_eq!(place.names_in("tmp"), [""; 0], "leftovers");
    let name = repository();
    let tagged = store.tag(&name, &tag()).await.unwrap();
    if let Some(record) = &tagged {
        assert!(!done.is_removed, "a tag that was removed is back");
        assert!(store.manifest(&name, &record.digest).await.unwrap().is_some(), "a tag without its manifest");
    }
    let listed = store.manifests(&name, None, 10).await.unwrap();
    assert!(listed.is_empty() || !done.is_removed, "a manifest that was removed is back");
    let note = store.note("uses").await.unwrap();
    assert!(note.as_deref().is_none_or(|note| note == b"used") && (note.is_some() || !done.is_noted));
    // However far it came, the next eviction completes it.
    evict(&store).await.unwrap();
    store.remove_manifest_bytes(manifest().digest()).await.unwrap();
    assert_eq!(store.tags(&name, None, 10).await.unwrap(), []);
    assert!(!place.layout().tags(&name).exists() && !place.layout().all_links(&name).exists());
    store.take_stock().await;
    assert_eq!(store.usage(), truth(&place.root()));
    assert_eq!(store.usage().manifests.count, 0);
}

async fn run_with(skip: usize, fault: Fault) {
    let place = Place::fast();
    drop(place.try_open().unwrap());
    place.faults.reset();
    place.faults.inject(None, skip, fault);
    let done = match place.try_open() {
        Ok(store) => {
            let done = play(&store).await;
            let (told, is_killed) = (store.usage(), matches!(fault, Fault::Stop | Fault::Tear));
            let is_right = told.is_counting || is_killed || told == truth(&place.root());
            assert!(is_right, "{skip}, {fault:?}: {told:?}, {:?}", truth(&place.root()));
            done
        }
        Err(_) => Done::default(),
    };
    assert!(!place.faults.is_pending(), "the run has fewer than {skip} calls");
    inspect(&place, done).await;
}

async fn steps_of_a_good_run() -> Vec<Step> {
    let place = Place::fast();
    drop(place.try_open().unwrap());
    place.faults.reset();
    let done = play(&place.try_open().unwrap()).await;
    assert_eq!(done, Done { is_stored: true, is_removed: true, is_noted: true });
    let steps = place.faults.steps();
    inspect(&place, done).await;
    steps
}

#[tokio::test]
async fn every_call_of_an_eviction_fails_once() {
    for (skip, step) in steps_of_a_good_run().await.iter().enumerate() {
        for errno in fitting(step.call) {
            run_with(skip, Fault::Errno(errno.raw_os_error())).await;
        }
    }
}

#[tokio::test]
async fn the_process_is_killed_at_every_call_of_an_eviction() {
    for (skip, step) in steps_of_a_good_run().await.iter().enumerate() {
        run_with(skip, Fault::Stop).await;
        if step.call == Call::Write {
            run_with(skip, Fault::Tear).await;
        }
    }
}
