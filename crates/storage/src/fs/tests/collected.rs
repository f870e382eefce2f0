//! Small blobs on their way: in memory, then at once in a file and under their names.

use std::fs;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use oci::{Algorithm, Digest};
use rustix::io::Errno;

use super::Place;
use super::script::{SIZE, blob};
use crate::blob_store::BlobStore;
use crate::conformance::{Engine, content, pieces, read};
use crate::error::VerifyError;
use crate::fs::FsStore;
use crate::fs::collected::COLLECTED_BYTES_MAX;
use crate::fs::fault::{Call, Fault, Step};

const LIMIT: usize = COLLECTED_BYTES_MAX as usize;

fn place() -> Place {
    Place::fast().collecting()
}

fn taken(store: &FsStore) -> u64 {
    store.collected_bytes.as_ref().unwrap().taken()
}

fn calls(place: &Place) -> Vec<Call> {
    place.faults.steps().iter().map(|step| step.call).collect()
}

/// Writes a blob and finishes it.
async fn finished(store: &FsStore, bytes: &Bytes, digest: &Digest) -> crate::VerifiedSpool {
    let spool = store.spool(digest).await.unwrap();
    spool.set_size(bytes.len() as u64).unwrap();
    spool.write(0, pieces(bytes, 7_000)).await.unwrap();
    spool.finish(bytes.len() as u64).await.unwrap()
}

#[tokio::test]
async fn a_small_blob_costs_no_more_calls_than_its_commit_takes() {
    let place = place();
    let store = place.open();
    // The first one makes the directories.
    let (bytes, digest) = blob(0);
    store.admit(finished(&store, &bytes, &digest).await).await.unwrap();
    store.remove(&digest).await.unwrap();
    place.faults.reset();
    let spool = store.spool(&digest).now_or_never().expect("it takes no waiting").unwrap();
    spool.set_size(SIZE).unwrap();
    spool.write(0, pieces(&bytes, 7_000)).now_or_never().expect("it takes no waiting").unwrap();
    assert_eq!((calls(&place), taken(&store)), (vec![], SIZE));
    let verified = spool.finish(SIZE).await.unwrap();
    assert_eq!((calls(&place), taken(&store)), (vec![Call::Open, Call::Write], 0));
    let signature = store.admit(verified).await.unwrap();
    // The contents are durable, then the name is there, then it is durable.
    let expected = [Call::Open, Call::Write, Call::Sync, Call::Rename, Call::Open, Call::Sync];
    assert_eq!(calls(&place), expected);
    let found = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&found, 0, SIZE), bytes);
    assert!(signature.is_some() && found.signature() == signature, "it need not be hashed again");
}

#[tokio::test]
async fn what_is_finished_outlives_a_kill_before_its_commit() {
    for boot_id in ["this start", "next start"] {
        let place = place();
        let (bytes, digest) = blob(0);
        let store = place.open();
        drop(finished(&store, &bytes, &digest).await);
        drop(store);
        assert_eq!(place.names_in("partial").len(), 1, "no note: the digest vouches for it");
        let store = place.try_open_after(boot_id).unwrap();
        let spool = store.spool(&digest).await.unwrap();
        assert_eq!((spool.watermark(), spool.size()), (SIZE, Some(SIZE)), "{boot_id}");
        store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
        assert_eq!(place.names_in("partial"), [""; 0]);
    }
}

#[tokio::test]
async fn a_file_that_nothing_vouches_for_is_believed_only_if_it_is_the_whole_blob() {
    let (bytes, digest) = blob(0);
    let mut torn = bytes.to_vec();
    torn[20_000..].fill(0);
    for left in [&bytes[..SIZE as usize - 1], &torn, b"", &[0; 300_000]] {
        let place = place();
        drop(place.open());
        fs::write(place.layout().partial(&digest), left).unwrap();
        let store = place.open();
        let spool = store.spool(&digest).await.unwrap();
        assert!(spool.is_empty(), "{} bytes", left.len());
        spool.write(0, vec![bytes.clone()]).await.unwrap();
        store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
        assert_eq!(fs::read(place.layout().blob(&digest)).unwrap(), bytes);
        assert_eq!(place.names_in("partial"), [""; 0]);
    }
}

#[tokio::test]
async fn what_turns_out_large_goes_into_a_file_and_readers_follow() {
    for told in [false, true] {
        for len in [LIMIT, LIMIT + 1, 3 * LIMIT] {
            let place = place();
            let store = place.open();
            let (bytes, digest) = content(len, Algorithm::Sha256);
            let spool = store.spool(&digest).await.unwrap();
            if told {
                spool.set_size(len as u64).unwrap();
            }
            spool.write(0, vec![bytes.slice(..1_000)]).await.unwrap();
            let reader = spool.content();
            assert_eq!(read(&reader, 0, 1_000), bytes[..1_000]);
            let is_small = len <= LIMIT;
            assert_eq!(taken(&store), if told && !is_small { 0 } else { 1_000 }, "{len}, told: {told}");
            spool.write(1_000, pieces(&bytes.slice(1_000..), 100_000)).await.unwrap();
            assert_eq!(place.names_in("partial").is_empty(), is_small, "{len}");
            assert_eq!(read(&reader, 0, len as u64), bytes);
            let verified = spool.finish(len as u64).await.unwrap();
            assert_eq!((read(&reader, 0, len as u64), taken(&store)), (bytes.to_vec(), 0));
            assert!(reader.can_send(), "whatever began in memory ends in the file");
            store.admit(verified).await.unwrap();
            assert_eq!(fs::read(place.layout().blob(&digest)).unwrap(), bytes);
            assert_eq!(place.names_in("partial"), [""; 0]);
        }
    }
}

#[tokio::test]
async fn what_all_blobs_on_their_way_take_of_memory_is_bounded() {
    let place = Place { collected_bytes: 100_000, ..place() };
    let store = place.open();
    let mut spools = Vec::new();
    for number in 0..5 {
        let (bytes, digest) = blob(number);
        let spool = store.spool(&digest).await.unwrap();
        spool.write(0, vec![bytes.slice(..30_000)]).await.unwrap();
        spools.push((spool, bytes));
        assert!(taken(&store) <= 100_000);
    }
    assert_eq!((taken(&store), place.names_in("partial").len()), (90_000, 4), "two files and their notes");
    for (spool, bytes) in spools {
        spool.write(30_000, vec![bytes.slice(30_000..)]).await.unwrap();
        store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
    }
    assert_eq!((taken(&store), place.names_in("partial").len()), (0, 0));
    drop(store.spool(&blob(5).1).await.unwrap().write(0, vec![blob(5).0]).await);
    assert_eq!(taken(&store), 0, "what is dropped gives back what it took");
}

#[tokio::test]
async fn what_the_disk_does_not_take_stays_in_memory_and_is_right() {
    for call in [Call::Open, Call::Write] {
        let place = place();
        let store = place.open();
        let (bytes, digest) = blob(0);
        place.faults.inject(Some(call), 0, Fault::Errno(Errno::NOSPC.raw_os_error()));
        let verified = finished(&store, &bytes, &digest).await;
        assert!(!place.faults.is_pending(), "{call:?}");
        let reader = verified.content();
        assert_eq!((read(&reader, 0, SIZE), taken(&store)), (bytes.to_vec(), SIZE));
        assert_eq!(place.names_in("partial"), [""; 0]);
        place.faults.inject(None, 0, Fault::Stop);
        store.admit(verified).await.unwrap_err();
        assert_eq!(read(&reader, 0, SIZE), bytes, "readers can finish");
        drop(reader);
        assert_eq!(taken(&store), 0);
    }
}

#[tokio::test]
async fn a_small_blob_with_wrong_bytes_never_reaches_the_disk() {
    let place = place();
    let store = place.open();
    let (bytes, digest) = blob(0);
    place.faults.reset();
    let spool = store.spool(&digest).await.unwrap();
    let mut forged = bytes.to_vec();
    forged[7] ^= 1;
    spool.write(0, vec![forged.into()]).await.unwrap();
    assert!(matches!(spool.finish(SIZE).await, Err(VerifyError::Mismatch { .. })));
    assert_eq!((calls(&place), taken(&store)), (vec![], 0));
    store.admit(finished(&store, &bytes, &digest).await).await.unwrap();
}

#[tokio::test]
async fn what_came_of_a_small_blob_is_gone_on_with() {
    for ending in ["a successor", "leave", "park"] {
        for ranges in [&[(0, 20_000)][..], &[(30_000, 40_000), (0, 10_000)]] {
            let place = place();
            let store = place.open();
            let (bytes, digest) = blob(0);
            let spool = store.spool(&digest).await.unwrap();
            spool.set_size(SIZE).unwrap();
            for (start, end) in ranges {
                spool.write(*start as u64, vec![bytes.slice(*start..*end)]).await.unwrap();
            }
            let gaps = spool.gaps(SIZE);
            match ending {
                "leave" => spool.clone().leave().await,
                "park" => spool.clone().park().await,
                _ => {}
            }
            let next = store.spool(&digest).await.unwrap();
            assert_eq!(next.gaps(SIZE), gaps, "{ending}");
            drop((spool, next, store));
            let store = place.open();
            let spool = store.spool(&digest).await.unwrap();
            assert_eq!(spool.gaps(SIZE), gaps, "{ending}, and over a restart");
            spool.write(0, vec![bytes.clone()]).await.unwrap();
            store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_spool_that_was_succeeded_leaves_its_successors_file_alone() {
    let place = place();
    let store = place.open();
    let (bytes, digest) = blob(0);
    let old = store.spool(&digest).await.unwrap();
    old.write(0, vec![bytes.clone()]).await.unwrap();
    let verified = old.finish(SIZE).await.unwrap();
    let new = store.spool(&digest).await.unwrap();
    assert!(new.is_empty(), "somebody counts on what the other has");
    new.write(0, vec![Bytes::from_static(b"else")]).await.unwrap();
    store.admit(verified).await.unwrap_err();
    assert_eq!(new.watermark(), 4);
    new.leave().await;
    let file = fs::File::open(place.layout().partial(&digest)).unwrap();
    let mut there = [0; 4];
    file.read_exact_at(&mut there, 0).unwrap();
    assert_eq!(&there, b"else");
}

/// The directories that were made durable since the record was last forgotten.
fn synced_directories(place: &Place) -> Vec<Step> {
    let blobs = place.root().join("blobs");
    let is_sync = |step: &Step| step.call == Call::Sync && step.path.starts_with(&blobs);
    place.faults.steps().into_iter().filter(is_sync).collect()
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

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_wait_at_the_same_time_share_the_sync_of_their_directory() {
    let place = place();
    let store = place.open();
    let blobs = neighbours(12);
    let mut verified = Vec::new();
    for (bytes, digest) in &blobs {
        verified.push(finished(&store, bytes, digest).await);
    }
    let (first, rest) = (verified.remove(0), verified);
    store.admit(first).await.unwrap();
    place.faults.reset();
    // As if somebody were at it all the time that the others get their names.
    let turn = store.syncs.hold_the_lead().await;
    let commits: Vec<_> = rest
        .into_iter()
        .map(|blob| {
            let store = store.clone();
            tokio::spawn(async move { store.admit(blob).await })
        })
        .collect();
    while store.syncs.waiting_count() < blobs.len() - 1 {
        tokio::task::yield_now().await;
    }
    assert!(synced_directories(&place).is_empty() && commits.iter().all(|commit| !commit.is_finished()));
    for (_, digest) in &blobs {
        assert!(BlobStore::open(&store, digest).await.unwrap().is_some(), "it has its name");
    }
    drop(turn);
    for commit in join_all(commits).await {
        commit.unwrap().unwrap();
    }
    assert_eq!(synced_directories(&place).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_fails_all_who_waited_for_it() {
    let place = place();
    let store = place.open();
    let blobs = neighbours(5);
    let turn = store.syncs.hold_the_lead().await;
    let mut commits = Vec::new();
    for (bytes, digest) in &blobs {
        let (store, verified) = (store.clone(), finished(&store, bytes, digest).await);
        commits.push(tokio::spawn(async move { store.admit(verified).await }));
    }
    while store.syncs.waiting_count() < blobs.len() {
        tokio::task::yield_now().await;
    }
    place.faults.inject(Some(Call::Sync), 0, Fault::Errno(Errno::IO.raw_os_error()));
    drop(turn);
    for commit in join_all(commits).await {
        let error = commit.unwrap().unwrap_err();
        assert_eq!((error.call(), error.errno()), ("fsync", Some(Errno::IO.raw_os_error())));
    }
    let (bytes, digest) = blob(0);
    store.admit(finished(&store, &bytes, &digest).await).await.unwrap();
}
