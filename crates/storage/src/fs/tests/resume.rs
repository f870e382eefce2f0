//! Resumes a partial file after the end of its process, its machine or its writer.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use bytes::Bytes;
use oci::ByteRange;
use rustix::io::Errno;

use super::Place;
use super::script::{SIZE, blob};
use crate::blob_store::BlobStore;
use crate::conformance::{Engine, content, read};
use crate::error::StoreErrorKind;
use crate::fs::fault::{Call, Fault};

const MIB: u64 = 1 << 20;

/// Writes `ranges` of the first blob and drops everything, as a kill does.
pub(super) async fn leave(place: &Place, ranges: &[(u64, u64)]) {
    let store = place.open();
    let (bytes, digest) = blob(0);
    let spool = store.spool(&digest).await.unwrap();
    spool.set_size(SIZE).unwrap();
    for (start, end) in ranges {
        spool.write(*start, vec![bytes.slice(*start as usize..*end as usize)]).await.unwrap();
    }
}

/// The length of the first blob's contiguous beginning in the start `boot_id` of the machine; writes the rest
/// and admits the blob.
async fn resumed(place: &Place, boot_id: &str) -> u64 {
    let store = place.try_open_after(boot_id).unwrap();
    let (bytes, digest) = blob(0);
    let spool = store.spool(&digest).await.unwrap();
    let front = spool.watermark();
    assert_eq!(spool.available_from(front), 0);
    assert_eq!(read(&spool.content(), 0, front).await, bytes[..front as usize]);
    spool.write(front, vec![bytes.slice(front as usize..)]).await.unwrap();
    store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
    let found = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&found, 0, SIZE).await, bytes);
    front
}

#[tokio::test]
async fn a_file_written_in_order_is_resumed_at_its_length() {
    let place = Place::new();
    leave(&place, &[(0, 10_000), (10_000, 25_000)]).await;
    assert_eq!(
        place.sidecar(&blob(0).1),
        serde_json::json!({"size": SIZE, "boot_id": "this start", "synced": false})
    );
    assert_eq!(resumed(&place, "this start").await, 25_000);
}

/// The missing ranges of the first blob in the start `boot_id` of the machine; writes them and admits the
/// blob.
async fn missing(place: &Place, boot_id: &str) -> Vec<(u64, u64)> {
    let store = place.try_open_after(boot_id).unwrap();
    let (bytes, digest) = blob(0);
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!(spool.front().1, spool.watermark(), "the contiguous beginning is hashed");
    let gaps = spool.gaps(SIZE);
    for gap in &gaps {
        spool.write(gap.start, vec![bytes.slice(gap.start as usize..gap.end as usize)]).await.unwrap();
    }
    store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
    let found = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&found, 0, SIZE).await, bytes);
    gaps.iter().map(|gap| (gap.start, gap.end)).collect()
}

/// Writes pieces of a mebibyte each at these positions, and drops everything. The blob has 40 pieces.
async fn leave_mebibytes(place: &Place, order: &[u64]) -> Vec<u64> {
    let (bytes, digest) = content(40 * MIB as usize, oci::Algorithm::Sha256);
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    spool.set_size(40 * MIB).unwrap();
    for at in order {
        let start = (at * MIB) as usize;
        spool.write(at * MIB, vec![bytes.slice(start..start + MIB as usize)]).await.unwrap();
    }
    drop((spool, store));
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    let is_there = |at: &u64| spool.available_from(at * MIB) >= MIB;
    (0..40).filter(is_there).collect()
}

#[tokio::test]
async fn t09_a_file_with_holes_is_resumed_as_far_as_its_sidecar_lists() {
    let place = Place::new();
    leave(&place, &[(0, 10_000), (30_000, 40_000), (10_000, 20_000)]).await;
    let note = place.sidecar(&blob(0).1);
    assert_eq!((&note["front"], &note["beyond"]), (&10_000.into(), &serde_json::Value::Null));
    // Too little was written since the first hole for another checkpoint.
    assert_eq!(missing(&place, "this start").await, [(10_000, SIZE)]);
}

#[tokio::test]
async fn t09_the_sidecar_lags_behind_the_writes_by_less_than_a_mebibyte() {
    let place = Place::new();
    // As four connections do: each writes the parts of its own quarter.
    let order: Vec<u64> = (0..8).flat_map(|step| [0, 10, 20, 30].map(|quarter| quarter + step)).collect();
    let mut expected = order.clone();
    expected.sort_unstable();
    assert_eq!(leave_mebibytes(&place, &order).await, expected);
}

#[tokio::test]
async fn t09_a_file_with_holes_survives_being_left_again_and_again() {
    let place = Place::new();
    leave_mebibytes(&place, &[5, 20]).await;
    assert_eq!(leave_mebibytes(&place, &[6, 30]).await, [5, 6, 20, 30]);
    assert_eq!(leave_mebibytes(&place, &[]).await, [5, 6, 20, 30]);
    let all: Vec<u64> = (0..40).collect();
    assert_eq!(leave_mebibytes(&place, &all).await, all);
}

#[tokio::test]
async fn t09_ranges_that_do_not_fit_into_the_sidecar_are_lost_alone() {
    let place = Place::new();
    let (bytes, digest) = content(300_000, oci::Algorithm::Sha256);
    let (store, mut written) = (place.open(), 0);
    let spool = store.spool(&digest).await.unwrap();
    for start in (1_000..299_000).step_by(1_000) {
        let end = start + 100 + start / 1_000;
        spool.write(start as u64, vec![bytes.slice(start..end)]).await.unwrap();
        written += end - start;
    }
    spool.leave().await;
    drop(store);
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    let missing: u64 = spool.gaps(300_000).iter().map(ByteRange::len).sum();
    assert!(missing < 300_000 && missing > 300_000 - written as u64);
    for gap in spool.gaps(300_000) {
        spool.write(gap.start, vec![bytes.slice(gap.start as usize..gap.end as usize)]).await.unwrap();
    }
    spool.finish(300_000).await.unwrap();
}

#[tokio::test]
async fn t09_all_bytes_of_a_broken_transfer_are_there_for_the_next() {
    for drops_store in [false, true] {
        let place = Place::new();
        let store = place.open();
        let (bytes, digest) = blob(0);
        let spool = store.spool(&digest).await.unwrap();
        spool.set_size(SIZE).unwrap();
        for (start, end) in [(0, 10_000), (30_000, 40_000), (10_000, 20_000)] {
            spool.write(start, vec![bytes.slice(start as usize..end as usize)]).await.unwrap();
        }
        if drops_store {
            spool.leave().await;
            drop(store);
            assert_eq!(missing(&place, "this start").await, [(20_000, 30_000)]);
        } else {
            // Its successor asks it for its written ranges.
            let successor = store.spool(&digest).await.unwrap();
            assert_eq!(successor.gaps(40_000), [ByteRange { start: 20_000, end: 30_000 }]);
        }
    }
}

#[tokio::test]
async fn t09_a_sidecar_of_the_previous_form_is_trusted_up_to_its_front() {
    let place = Place::new();
    leave(&place, &[(0, 25_000)]).await;
    let note = serde_json::json!({"size": SIZE, "boot_id": "this start", "synced": false, "front": 10_000});
    fs::write(place.layout().sidecar(&blob(0).1), note.to_string()).unwrap();
    assert_eq!(missing(&place, "this start").await, [(10_000, SIZE)]);
}

#[tokio::test]
async fn a_failed_checkpoint_costs_only_the_checkpoint() {
    let place = Place::new();
    let (bytes, digest) = content(40 * MIB as usize, oci::Algorithm::Sha256);
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    let piece = |at: u64| vec![bytes.slice((at * MIB) as usize..((at + 1) * MIB) as usize)];
    spool.write(20 * MIB, piece(20)).await.unwrap();
    for (at, call) in [Call::Open, Call::Write, Call::Rename].into_iter().enumerate() {
        // The first write call is that of the piece.
        let skip = usize::from(call == Call::Write);
        place.faults.inject(Some(call), skip, Fault::Errno(Errno::NOSPC.raw_os_error()));
        spool.write(at as u64 * MIB, piece(at as u64)).await.unwrap();
        assert!(!place.faults.is_pending(), "{call:?}");
    }
    assert_eq!(place.sidecar(&digest)["front"], 0, "the old sidecar stays");
    spool.write(3 * MIB, piece(3)).await.unwrap();
    drop((spool, store));
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!((spool.watermark(), spool.available_from(20 * MIB)), (4 * MIB, MIB));
}

#[tokio::test]
async fn unsynced_bytes_are_not_trusted_after_a_restart_of_the_machine() {
    let place = Place::new();
    leave(&place, &[(0, 25_000)]).await;
    assert_eq!(resumed(&place, "next start").await, 0);
    let place = Place::new();
    leave(&place, &[(0, 10_000), (30_000, 40_000)]).await;
    assert_eq!(resumed(&place, "next start").await, 0);
}

#[tokio::test]
async fn t09_parked_bytes_are_trusted_after_a_restart_of_the_machine() {
    for (ranges, gaps) in [
        (&[(0, 25_000)][..], &[(25_000, SIZE)][..]),
        (&[(0, 25_000), (30_000, 40_000)], &[(25_000, 30_000)]),
        (&[(30_000, 40_000)], &[(0, 30_000)]),
    ] {
        let place = Place::new();
        {
            let store = place.open();
            let (bytes, digest) = blob(0);
            let spool = store.spool(&digest).await.unwrap();
            for (start, end) in ranges {
                spool.write(*start, vec![bytes.slice(*start as usize..*end as usize)]).await.unwrap();
            }
            spool.park().await;
        }
        assert_eq!(missing(&place, "next start").await, gaps);
    }
}

#[tokio::test]
async fn bytes_added_to_a_parked_file_are_not_trusted_after_a_restart_of_the_machine() {
    let place = Place::new();
    let (bytes, digest) = blob(0);
    {
        let store = place.open();
        let spool = store.spool(&digest).await.unwrap();
        spool.write(0, vec![bytes.slice(..10_000)]).await.unwrap();
        spool.park().await;
        let spool = store.spool(&digest).await.unwrap();
        assert_eq!(spool.watermark(), 10_000);
        spool.write(10_000, vec![bytes.slice(10_000..20_000)]).await.unwrap();
    }
    assert_eq!(resumed(&place, "next start").await, 0);
}

#[tokio::test]
async fn an_empty_spool_leaves_no_file_when_parked() {
    let place = Place::new();
    let store = place.open();
    store.spool(&blob(0).1).await.unwrap().park().await;
    assert_eq!(place.names_in("partial"), [""; 0]);
}

#[tokio::test]
async fn a_file_without_a_valid_sidecar_is_not_trusted() {
    for note in ["", "{", "null", r#"{"size":"x"}"#, r#"{"boot_id":7}"#, r#"{"size":40000,"boot_id":null}"#] {
        let place = Place::new();
        leave(&place, &[(0, 25_000)]).await;
        fs::write(place.layout().sidecar(&blob(0).1), note).unwrap();
        assert_eq!(resumed(&place, "this start").await, 0, "{note}");
    }
    let place = Place::new();
    leave(&place, &[(0, 25_000)]).await;
    fs::remove_file(place.layout().sidecar(&blob(0).1)).unwrap();
    assert_eq!(resumed(&place, "this start").await, 0);
}

#[tokio::test]
async fn a_sidecar_without_its_file_is_ignored() {
    let place = Place::new();
    leave(&place, &[(0, 25_000)]).await;
    fs::remove_file(place.layout().partial(&blob(0).1)).unwrap();
    assert_eq!(resumed(&place, "this start").await, 0);
}

#[tokio::test]
async fn bytes_beyond_the_size_are_cut_off() {
    let place = Place::new();
    leave(&place, &[(0, 40_000)]).await;
    let file = fs::OpenOptions::new().append(true).open(place.layout().partial(&blob(0).1)).unwrap();
    file.write_all_at(b"tail", SIZE).unwrap();
    assert_eq!(resumed(&place, "this start").await, SIZE);
}

#[tokio::test]
async fn a_front_that_is_wrong_on_disk_costs_only_the_partial_file() {
    let place = Place::new();
    let (bytes, digest) = blob(0);
    leave(&place, &[(0, 25_000)]).await;
    let file = fs::OpenOptions::new().write(true).open(place.layout().partial(&digest)).unwrap();
    file.write_all_at(b"flip", 100).unwrap();
    {
        let store = place.open();
        let spool = store.spool(&digest).await.unwrap();
        spool.write(25_000, vec![bytes.slice(25_000..)]).await.unwrap();
        spool.finish(SIZE).await.unwrap_err();
    }
    assert_eq!(place.names_in("partial"), [""; 0]);
    assert_eq!(resumed(&place, "this start").await, 0);
}

#[tokio::test]
async fn a_front_that_cannot_be_read_is_replaced_by_a_new_file() {
    let place = Place::new();
    leave(&place, &[(0, 25_000)]).await;
    let inode = fs::metadata(place.layout().partial(&blob(0).1)).unwrap().ino();
    let kept = fs::File::open(place.layout().partial(&blob(0).1)).unwrap();
    let store = place.open();
    // The sidecar is read first, then the file.
    place.faults.inject(Some(Call::Read), 1, Fault::Errno(Errno::IO.raw_os_error()));
    let spool = store.spool(&blob(0).1).await.unwrap();
    assert!(!place.faults.is_pending());
    assert_eq!(spool.watermark(), 0);
    assert_ne!(fs::metadata(place.layout().partial(&blob(0).1)).unwrap().ino(), inode);
    drop(kept);
}

#[tokio::test]
async fn t10_a_reader_beyond_a_hole_does_not_stop_a_successor_from_resuming() {
    let place = Place::new();
    let store = place.open();
    let (bytes, digest) = blob(0);
    let old = store.spool(&digest).await.unwrap();
    old.write(0, vec![bytes.slice(..10_000)]).await.unwrap();
    old.write(30_000, vec![bytes.slice(30_000..)]).await.unwrap();
    let reader = old.content();
    old.clone().leave().await;
    drop(old);
    let new = store.spool(&digest).await.unwrap();
    assert_eq!(new.gaps(SIZE), [ByteRange { start: 10_000, end: 30_000 }]);
    // Wrong bytes are written only into the hole.
    new.write(0, vec![Bytes::from(vec![0; SIZE as usize])]).await.unwrap();
    assert_eq!(read(&reader, 30_000, SIZE).await, bytes[30_000..]);
    assert_eq!(read(&reader, 0, 10_000).await, bytes[..10_000]);
    assert_eq!(reader.read(10_000, 100).await.unwrap(), "", "the hole is not this reader's");
    new.finish(SIZE).await.unwrap_err();
    assert_eq!(
        read(&reader, 30_000, SIZE).await,
        bytes[30_000..],
        "nor does the end of the other change anything"
    );
}

#[tokio::test]
async fn untrusted_bytes_are_overwritten_and_cut_off() {
    let place = Place::new();
    let (bytes, digest) = blob(0);
    leave(&place, &[(0, 10_000), (20_000, 30_000)]).await;
    let file = fs::OpenOptions::new().write(true).open(place.layout().partial(&digest)).unwrap();
    file.write_all_at(&[7; 100_000], 10_000).unwrap();
    let note = serde_json::json!({"size": null, "boot_id": "this start", "front": 10_000});
    fs::write(place.layout().sidecar(&digest), note.to_string()).unwrap();
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!((spool.watermark(), spool.available_from(10_000)), (10_000, 0));
    spool.write(10_000, vec![bytes.slice(10_000..)]).await.unwrap();
    store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
    assert_eq!(fs::read(place.layout().blob(&digest)).unwrap(), bytes);
}

#[tokio::test]
async fn a_superseded_verified_spool_is_not_admitted() {
    let place = Place::new();
    let store = place.open();
    let (bytes, digest) = blob(0);
    let old = store.spool(&digest).await.unwrap();
    old.write(0, vec![bytes.clone()]).await.unwrap();
    let verified = old.finish(SIZE).await.unwrap();
    let reader = verified.content();
    let new = store.spool(&digest).await.unwrap();
    new.write(0, vec![Bytes::from_static(b"else")]).await.unwrap();
    assert_eq!(store.admit(verified).await.unwrap_err().kind(), StoreErrorKind::Closed);
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_none());
    assert_eq!(read(&reader, 0, SIZE).await, bytes, "verified bytes do not change");
    assert_eq!(new.watermark(), 4);
}

#[tokio::test]
async fn no_byte_of_a_failed_write_counts() {
    let place = Place::new();
    let store = place.open();
    let (bytes, digest) = blob(0);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.slice(..10_000)]).await.unwrap();
    place.faults.inject(Some(Call::Write), 0, Fault::Errno(Errno::NOSPC.raw_os_error()));
    let error = spool.write(10_000, vec![bytes.slice(10_000..20_000)]).await.unwrap_err();
    assert_eq!((error.kind(), error.call().as_str()), (StoreErrorKind::Full, "pwritev"));
    assert_eq!((spool.watermark(), spool.front().1), (10_000, 10_000));
    // After space was freed, the same bytes can be written again.
    place.faults.inject(Some(Call::Write), 0, Fault::Short);
    spool.write(10_000, vec![bytes.slice(10_000..)]).await.unwrap();
    store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
    let found = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&found, 0, SIZE).await, bytes);
}
