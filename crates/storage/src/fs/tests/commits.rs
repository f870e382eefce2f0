//! Small blobs that are committed at the same time.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use oci::{Algorithm, Digest};
use rustix::io::Errno;

use super::Place;
use super::collected::{calls, finished, place};
use super::script::blob;
use crate::blob_store::BlobStore;
use crate::conformance::{Engine, read};
use crate::error::StoreError;
use crate::fs::FsStore;
use crate::fs::fault::{Call, Fault, Step};

/// The files made durable since the record was last cleared.
fn synced(place: &Place) -> Vec<Step> {
    place.faults.steps().into_iter().filter(|step| step.call == Call::Sync).collect()
}

/// Blobs whose digests begin alike, so that they share a directory.
fn neighbours(count: usize) -> Vec<(Bytes, Digest)> {
    let blob = |number: u64| {
        let bytes = Bytes::from(number.to_le_bytes().to_vec());
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        (bytes, digest)
    };
    (0..).map(blob).filter(|(_, digest)| digest.hex().starts_with("00")).take(count).collect()
}

/// Commits these blobs at the same time, after `before` has run. Returns the result of each.
async fn commit_together(
    store: &FsStore,
    blobs: &[(Bytes, Digest)],
    before: impl FnOnce(),
) -> Vec<Result<(), StoreError>> {
    let turn = store.commits().waiting.hold_the_lead().await;
    let mut commits = Vec::new();
    for (bytes, digest) in blobs {
        let (store, verified) = (store.clone(), finished(store, bytes, digest).await);
        commits.push(tokio::spawn(async move { store.admit(verified).await }));
    }
    while store.commits().waiting.waiting_count() < blobs.len() {
        tokio::task::yield_now().await;
    }
    assert!(commits.iter().all(|commit| !commit.is_finished()));
    before();
    drop(turn);
    join_all(commits).await.into_iter().map(|commit| commit.unwrap().map(drop)).collect()
}

/// A place in memory whose store has the directory of all [`neighbours`].
async fn place_of_neighbours() -> (Place, FsStore) {
    let place = place();
    let store = place.open();
    let (bytes, digest) = &neighbours(1)[0];
    store.admit(finished(&store, bytes, digest).await).await.unwrap();
    store.remove(digest).await.unwrap();
    (place, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_commits_that_wait_at_the_same_time_share_the_sync_of_their_directory() {
    let (place, store) = place_of_neighbours().await;
    let done = commit_together(&store, &neighbours(7), || place.faults.reset()).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let (directories, files): (Vec<_>, Vec<_>) =
        synced(&place).into_iter().partition(|step| step.path.starts_with(place.root().join("blobs")));
    assert_eq!((directories.len(), files.len()), (1, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commits_that_wait_at_the_same_time_share_each_sync() {
    let (place, store) = place_of_neighbours().await;
    let blobs = neighbours(12);
    let done = commit_together(&store, &blobs, || place.faults.reset()).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let steps = place.faults.steps();
    let expected = [vec![Call::Sync], vec![Call::Rename; 12], vec![Call::Sync]].concat();
    assert_eq!(steps.iter().map(|step| step.call).collect::<Vec<_>>(), expected);
    assert!(synced(&place).iter().all(|step| step.path == place.root()), "the file system as a whole");
    for (bytes, digest) in &blobs {
        let found = BlobStore::open(&store, digest).await.unwrap().unwrap();
        assert_eq!(read(&found, 0, bytes.len() as u64).await, *bytes);
    }
    assert_eq!(place.names_in("partial"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_directories_of_commits_that_wait_at_the_same_time_share_the_sync_of_their_parent() {
    let place = place();
    let store = place.open();
    store.admit(finished(&store, &blob(0).0, &blob(0).1).await).await.unwrap();
    let blobs: Vec<_> = (0..10_u8)
        .map(|number| {
            let bytes = Bytes::from(vec![number; 10]);
            (bytes.clone(), Digest::of(Algorithm::Sha256, &bytes))
        })
        .collect();
    let done = commit_together(&store, &blobs, || place.faults.reset()).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert!(calls(&place).iter().filter(|call| **call == Call::MakeDirectory).count() > 1);
    let parent = place.root().join("blobs/sha256");
    assert_eq!(synced(&place).iter().filter(|step| step.path == parent).count(), 1);
    let first_name = calls(&place).iter().position(|call| *call == Call::Rename).unwrap();
    let parent_synced =
        place.faults.steps().iter().position(|step| step.path == parent && step.call == Call::Sync);
    assert!(parent_synced.unwrap() < first_name, "no name hangs on one that is not durable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_fails_all_commits_that_waited_for_it() {
    let failing = Fault::Errno(Errno::IO.raw_os_error());
    // The sync of the directory, of all bytes, and of all names.
    for (count, skip, call, left) in [(5, 5, "fsync", 5), (12, 0, "syncfs", 0), (12, 1, "syncfs", 12)] {
        let (place, store) = place_of_neighbours().await;
        let blobs = neighbours(count);
        let inject = || place.faults.inject(Some(Call::Sync), skip, failing);
        for done in commit_together(&store, &blobs, inject).await {
            let error = done.unwrap_err();
            assert_eq!((error.call().as_str(), error.errno()), (call, Some(Errno::IO.raw_os_error())));
        }
        assert!(!place.faults.is_pending());
        assert_eq!((place.names_in("partial").len(), place.names_in("blobs/sha256/00").len()), (0, left));
        let (bytes, digest) = blob(0);
        store.admit(finished(&store, &bytes, &digest).await).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sync_of_the_whole_file_system_many_commits_are_synced_one_by_one() {
    for errno in [Errno::NOSYS, Errno::PERM] {
        let (place, store) = place_of_neighbours().await;
        let refuse = || {
            place.faults.reset();
            place.faults.inject(Some(Call::Sync), 0, Fault::Errno(errno.raw_os_error()));
        };
        let done = commit_together(&store, &neighbours(12), refuse).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        let files =
            synced(&place).iter().filter(|step| step.path.starts_with(place.root().join("partial"))).count();
        assert_eq!(files, 12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_commit_delays_no_other() {
    let (_place, store) = place_of_neighbours().await;
    let blobs = neighbours(3);
    let turn = store.commits().waiting.hold_the_lead().await;
    let verified = finished(&store, &blobs[0].0, &blobs[0].1).await;
    let mut left = Box::pin(store.admit(verified));
    assert!((&mut left).now_or_never().is_none(), "it waits for the lead");
    drop((left, turn));
    store.admit(finished(&store, &blobs[1].0, &blobs[1].1).await).await.unwrap();
    assert!(
        BlobStore::open(&store, &blobs[0].1).await.unwrap().is_some(),
        "the next commit stores it as well"
    );
}
