use bytes::Bytes;
use oci::{Algorithm, ByteRange, Digest};
use proptest::prelude::*;
use telemetry::Metrics;

use super::{CATCH_UP_BYTES_MAX, Spool};
use crate::blob_store::BlobStore;
use crate::conformance::{content, read};
use crate::error::VerifyError;
use crate::fs::partial::Partial;
use crate::fs::{FsStore, Settings};

fn store(directory: &tempfile::TempDir) -> FsStore {
    let metrics = Metrics::new(&["test".to_owned()]).registry("test");
    let settings = Settings { collected_bytes_max: 0, ..Settings::default() };
    settings.open(directory.path(), metrics).unwrap()
}

#[tokio::test]
async fn bytes_after_a_closed_hole_are_hashed_gradually() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let step = CATCH_UP_BYTES_MAX;
    let size = 2 * step + 3;
    let (bytes, digest) = content(size as usize, Algorithm::Sha256);
    for spool in [Spool::in_memory(&digest), store.spool(&digest).await.unwrap()] {
        spool.write(1, vec![bytes.slice(1..size as usize - 1)]).await.unwrap();
        assert_eq!((spool.watermark(), spool.front().1), (0, 0));
        spool.write(0, vec![bytes.slice(..1)]).await.unwrap();
        assert_eq!((spool.watermark(), spool.front().1), (size - 1, 1 + step));
        spool.write(size - 1, vec![bytes.slice(size as usize - 1..)]).await.unwrap();
        assert_eq!((spool.watermark(), spool.front().1), (size, 1 + 2 * step));
        spool.finish(size).await.unwrap();
    }
}

/// A cancelled writer's job may still run when its successor opens.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_waits_for_a_write_in_flight_and_resumes_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let (bytes, digest) = content(300_000, Algorithm::Sha256);
    let old = store.spool(&digest).await.unwrap();
    old.write(0, vec![bytes.slice(..60_000)]).await.unwrap();
    let claim = old.growth.claim(ByteRange { start: 60_000, end: 70_000 }).unwrap();
    let successor = tokio::spawn({
        let (store, digest) = (store.clone(), digest.clone());
        async move { store.spool(&digest).await.unwrap() }
    });
    while old.growth.claim(ByteRange { start: 80_000, end: 80_001 }).is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!successor.is_finished());
    let partial: &Partial = old.backing.as_any().downcast_ref().expect("it is on disk");
    partial.write(60_000, &[bytes.slice(60_000..70_000)]).unwrap();
    claim.complete();
    let new = successor.await.unwrap();
    assert_eq!((new.watermark(), new.front().1), (70_000, 70_000));
    assert!(partial.note_progress(true).is_err() && partial.publish(directory.path()).is_err());
    partial.delete();
    new.write(70_000, vec![bytes.slice(70_000..)]).await.unwrap();
    store.admit(new.finish(300_000).await.unwrap()).await.unwrap();
    let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&blob, 0, 300_000).await, bytes);
}

/// A write in order may claim its range before a write out of order, and reach the sidecar after it.
#[tokio::test]
async fn a_recorded_front_stays_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let (bytes, digest) = content(100_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.slice(..60_000)]).await.unwrap();
    let partial: &Partial = spool.backing.as_any().downcast_ref().expect("it is on disk");
    partial.note_progress(true).unwrap();
    spool.set_size(100_000).unwrap();
    partial.note_progress(false).unwrap();
    let path = partial.path().with_extension("json");
    let note: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((&note["front"], &note["size"]), (&60_000.into(), &100_000.into()));
}

/// The bytes of a blob, and writes that cover it in any order, with different bytes wherever an earlier write
/// was first.
fn schedules() -> impl Strategy<Value = (Vec<u8>, Vec<(usize, usize)>)> {
    prop::collection::vec(any::<u8>(), 1..200).prop_flat_map(|bytes| {
        let len = bytes.len();
        let write = (0..=len, 0..=len).prop_map(|(one, other)| (one.min(other), one.max(other)));
        (Just(bytes), prop::collection::vec(write, 0..12))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_first_writes_of_all_bytes_make_the_blob((bytes, writes) in schedules()) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let size = bytes.len() as u64;
        runtime.block_on(async {
            let store = store(&directory);
            for spool in [Spool::in_memory(&digest), store.spool(&digest).await.unwrap()] {
                let mut is_written = vec![false; bytes.len()];
                for (start, end) in &writes {
                    let byte_at = |at: usize| if is_written[at] { !bytes[at] } else { bytes[at] };
                    let part: Vec<u8> = (*start..*end).map(byte_at).collect();
                    let pieces = part.chunks(7).map(Bytes::copy_from_slice).collect();
                    spool.write(*start as u64, pieces).await.unwrap();
                    is_written[*start..*end].fill(true);
                }
                let missing = is_written.iter().filter(|is_written| !**is_written).count() as u64;
                match spool.clone().finish(size).await {
                    Err(VerifyError::Incomplete { missing: found, .. }) => assert_eq!(found, missing),
                    finished => assert!(finished.is_ok() && missing == 0, "{finished:?}"),
                }
                if missing > 0 {
                    for gap in spool.gaps(size) {
                        let rest = bytes[gap.start as usize..gap.end as usize].to_vec();
                        spool.write(gap.start, vec![rest.into()]).await.unwrap();
                    }
                    spool.clone().finish(size).await.unwrap();
                }
                assert_eq!(read(&spool.content(), 0, size).await, bytes);
            }
        });
    }
}
