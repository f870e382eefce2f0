//! Small blobs are collected in memory, then written to a file at once and published.

use std::fs;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use futures_util::FutureExt;
use oci::{Algorithm, Digest};
use rustix::io::Errno;

use super::Place;
use super::script::{SIZE, blob};
use crate::blob_store::BlobStore;
use crate::conformance::{Engine, content, pieces, read};
use crate::error::VerifyError;
use crate::fs::FsStore;
use crate::fs::fault::{Call, Fault};
use crate::fs::resume::COLLECTED_BYTES_MAX;
use crate::maintain::Maintain;

const LIMIT: usize = COLLECTED_BYTES_MAX as usize;

pub(super) fn place() -> Place {
    Place::fast().collecting()
}

fn taken(store: &FsStore) -> u64 {
    store.collecting().bytes.as_ref().unwrap().taken()
}

pub(super) fn calls(place: &Place) -> Vec<Call> {
    place.faults.steps().iter().map(|step| step.call).collect()
}

/// Writes a blob and finishes it.
pub(super) async fn finished(store: &FsStore, bytes: &Bytes, digest: &Digest) -> crate::VerifiedSpool {
    let spool = store.spool(digest).await.unwrap();
    spool.set_size(bytes.len() as u64).unwrap();
    spool.write(0, pieces(bytes, 7_000)).await.unwrap();
    spool.finish(bytes.len() as u64).await.unwrap()
}

#[tokio::test]
async fn a_small_blob_costs_only_the_calls_of_its_commit() {
    let place = place();
    let store = place.open();
    // The first blob creates the directories.
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
    let validator = store.admit(verified).await.unwrap();
    // The contents become durable, then the file is renamed, then the name becomes durable.
    let expected = [Call::Open, Call::Write, Call::Sync, Call::Rename, Call::Open, Call::Sync];
    assert_eq!(calls(&place), expected);
    let found = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&found, 0, SIZE).await, bytes);
    assert!(validator.is_some() && found.validator() == validator, "it need not be hashed again");
}

#[tokio::test]
async fn a_finished_blob_survives_a_kill_before_its_commit() {
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
async fn a_file_without_a_sidecar_is_trusted_only_if_it_is_the_whole_blob() {
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
async fn a_blob_that_turns_out_large_moves_to_a_file_and_readers_follow() {
    for is_size_known in [false, true] {
        for len in [LIMIT, LIMIT + 1, 3 * LIMIT] {
            let place = place();
            let store = place.open();
            let (bytes, digest) = content(len, Algorithm::Sha256);
            let spool = store.spool(&digest).await.unwrap();
            if is_size_known {
                spool.set_size(len as u64).unwrap();
            }
            spool.write(0, vec![bytes.slice(..1_000)]).await.unwrap();
            let reader = spool.content();
            assert_eq!(read(&reader, 0, 1_000).await, bytes[..1_000]);
            let is_small = len <= LIMIT;
            assert_eq!(
                taken(&store),
                if is_size_known && !is_small { 0 } else { 1_000 },
                "{len}, size known: {is_size_known}"
            );
            spool.write(1_000, pieces(&bytes.slice(1_000..), 100_000)).await.unwrap();
            assert_eq!(place.names_in("partial").is_empty(), is_small, "{len}");
            assert_eq!(read(&reader, 0, len as u64).await, bytes);
            let verified = spool.finish(len as u64).await.unwrap();
            assert_eq!((read(&reader, 0, len as u64).await, taken(&store)), (bytes.to_vec(), 0));
            assert!(reader.as_file().is_some(), "whatever began in memory ends in the file");
            store.admit(verified).await.unwrap();
            assert_eq!(fs::read(place.layout().blob(&digest)).unwrap(), bytes);
            assert_eq!(place.names_in("partial"), [""; 0]);
        }
    }
}

#[tokio::test]
async fn the_memory_of_all_collected_blobs_is_bounded() {
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
    assert_eq!(taken(&store), 0, "a dropped spool releases its memory");
}

#[tokio::test]
async fn a_blob_that_the_disk_refuses_stays_in_memory_intact() {
    for call in [Call::Open, Call::Write] {
        let place = place();
        let store = place.open();
        let (bytes, digest) = blob(0);
        place.faults.inject(Some(call), 0, Fault::Errno(Errno::NOSPC.raw_os_error()));
        let verified = finished(&store, &bytes, &digest).await;
        assert!(!place.faults.is_pending(), "{call:?}");
        let reader = verified.content();
        assert_eq!((read(&reader, 0, SIZE).await, taken(&store)), (bytes.to_vec(), SIZE));
        assert_eq!(place.names_in("partial"), [""; 0]);
        place.faults.inject(None, 0, Fault::Stop);
        store.admit(verified).await.unwrap_err();
        assert_eq!(read(&reader, 0, SIZE).await, bytes, "readers can finish");
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
async fn the_received_bytes_of_a_small_blob_are_resumed() {
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
async fn a_superseded_spool_does_not_touch_its_successors_file() {
    let place = place();
    let store = place.open();
    let (bytes, digest) = blob(0);
    let old = store.spool(&digest).await.unwrap();
    old.write(0, vec![bytes.clone()]).await.unwrap();
    let verified = old.finish(SIZE).await.unwrap();
    let new = store.spool(&digest).await.unwrap();
    assert!(new.is_empty(), "the other spool is finished");
    new.write(0, vec![Bytes::from_static(b"else")]).await.unwrap();
    store.admit(verified).await.unwrap_err();
    assert_eq!(new.watermark(), 4);
    new.leave().await;
    let file = fs::File::open(place.layout().partial(&digest)).unwrap();
    let mut there = [0; 4];
    file.read_exact_at(&mut there, 0).unwrap();
    assert_eq!(&there, b"else");
}

#[tokio::test]
async fn a_small_blob_waits_while_a_thousand_others_are_not_stored_yet() {
    let place = place();
    let store = place.open();
    let unstored = std::sync::Arc::clone(&store.collecting().unstored);
    let count = u32::try_from(unstored.available_permits()).unwrap();
    let mut others = unstored.clone().acquire_many_owned(count).await.unwrap();
    let (bytes, digest) = blob(0);
    let mut finishing = Box::pin(finished(&store, &bytes, &digest));
    assert!((&mut finishing).now_or_never().is_none() && place.names_in("partial").is_empty());
    drop(others.split(1));
    let verified = finishing.await;
    assert_eq!(unstored.available_permits(), 0, "it has the place until it is stored");
    store.admit(verified).await.unwrap();
    assert_eq!(unstored.available_permits(), 1);
    drop(finished(&store, &bytes, &digest).await);
    assert_eq!(unstored.available_permits(), 1, "a dropped blob releases its place");
    drop(others);
    for count_max in [16, 1_000, 1] {
        store.set_bounds(0, 0, count_max);
        assert_eq!(unstored.available_permits(), count_max);
    }
}
