//! Spools: bytes in any order, one digest at the end, and resumption of a spool that was not finished.

use std::sync::Arc;

use bytes::Bytes;
use oci::{Algorithm, ByteRange, Digest};

use super::{Engine, content, pieces, read};
use crate::blob_store::BlobStore;
use crate::error::{StoreErrorKind, VerifyError};

const SIZE: u64 = 1_200_000;

pub(super) async fn run<E: Engine>(new_place: &impl Fn() -> E) {
    out_of_order_writes(new_place()).await;
    writers_at_once(new_place()).await;
    holes_are_never_read(new_place()).await;
    the_first_write_of_a_byte_holds(new_place()).await;
    files_that_may_be_shared(new_place()).await;
    a_mismatch_deletes(new_place()).await;
    a_short_finish_keeps(new_place()).await;
    a_long_one_deletes(new_place()).await;
    sizes_must_agree(new_place()).await;
    resume_after_a_drop(new_place()).await;
    resume_after_parking(new_place()).await;
    resume_after_leaving(new_place()).await;
    readers_of_a_predecessor_are_undisturbed(new_place()).await;
    nothing_after_a_discard(new_place()).await;
    a_new_spool_ends_the_old_one(new_place()).await;
    a_complete_spool_that_was_not_admitted(new_place()).await;
    the_front_goes_on_elsewhere(new_place()).await;
}

/// The part of `bytes` from `start` to `end`, in small pieces.
fn batch(bytes: &Bytes, start: u64, end: u64) -> Vec<Bytes> {
    pieces(&bytes.slice(start as usize..end as usize), 16_384)
}

async fn out_of_order_writes<E: Engine>(place: E) {
    let store = place.open();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let (bytes, digest) = content(SIZE as usize, algorithm);
        let spool = store.spool(&digest).await.unwrap();
        spool.set_size(SIZE).unwrap();
        spool.write(900_000, batch(&bytes, 900_000, SIZE)).await.unwrap();
        assert_eq!((spool.watermark(), spool.available_from(1_000_000)), (0, 200_000));
        assert_eq!(read(&spool.content(), 950_000, SIZE).await, bytes[950_000..]);
        spool.write(0, batch(&bytes, 0, 300_000)).await.unwrap();
        assert_eq!(spool.gaps(SIZE), [ByteRange { start: 300_000, end: 900_000 }]);
        spool.write(600_000, batch(&bytes, 600_000, 900_000)).await.unwrap();
        spool.write(300_000, batch(&bytes, 300_000, 600_000)).await.unwrap();
        assert_eq!((spool.watermark(), spool.gaps(SIZE)), (SIZE, vec![]));
        store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
        let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
        assert_eq!(read(&blob, 0, SIZE).await, bytes);
    }
}

/// Whether blocks are shared depends on the engine and the file system; what is stored does not.
async fn files_that_may_be_shared<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(SIZE as usize, Algorithm::Sha256);
    let file = |bytes: &[u8]| {
        let path = std::env::temp_dir().join(format!("wharf-shared-{:016x}", fastrand::u64(..)));
        std::fs::write(&path, bytes).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        Arc::new(file)
    };
    // A file that is too short is not taken, nor is one into bytes that are there.
    let spool = store.spool(&digest).await.unwrap();
    spool.set_size(SIZE).unwrap();
    assert!(!spool.share(file(&bytes[..1000]), SIZE).await.unwrap());
    assert!(spool.is_empty());
    spool.write(0, batch(&bytes, 0, 1000)).await.unwrap();
    assert!(!spool.share(file(&bytes), SIZE).await.unwrap());
    spool.discard().await;
    // One with other bytes is never stored.
    let wrong = [&bytes[..SIZE as usize - 1], b"!"].concat();
    let spool = store.spool(&digest).await.unwrap();
    spool.set_size(SIZE).unwrap();
    if spool.share(file(&wrong), SIZE).await.unwrap() {
        assert!(matches!(spool.finish(SIZE).await, Err(VerifyError::Mismatch { .. })));
    } else {
        spool.discard().await;
    }
    // Bytes behind the content are cut off.
    let long = [&bytes[..], b"and more"].concat();
    let spool = store.spool(&digest).await.unwrap();
    spool.set_size(SIZE).unwrap();
    if !spool.share(file(&long), SIZE).await.unwrap() {
        spool.write(0, batch(&bytes, 0, SIZE)).await.unwrap();
    }
    assert_eq!((spool.watermark(), spool.gaps(SIZE)), (SIZE, vec![]));
    store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
    let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(blob.size(), SIZE);
    assert_eq!(read(&blob, 0, SIZE).await, bytes);
}

async fn writers_at_once<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(SIZE as usize, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    // They overlap on purpose: each byte is in two of them.
    let writes = (0..SIZE).step_by(50_000).map(|start| {
        let end = (start + 100_000).min(SIZE);
        let (spool, batch) = (spool.clone(), batch(&bytes, start, end));
        async move { spool.write(start, batch).await }
    });
    futures_util::future::try_join_all(writes).await.unwrap();
    store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
    let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&blob, 0, SIZE).await, bytes);
}

async fn holes_are_never_read<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(300_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    let reader = spool.content();
    spool.write(200_000, batch(&bytes, 200_000, 300_000)).await.unwrap();
    spool.write(0, batch(&bytes, 0, 1_000)).await.unwrap();
    for (offset, end) in [(0, 1_000), (999, 1_000), (1_000, 1_000), (199_999, 199_999), (250_000, 300_000)] {
        let expected = &bytes[offset as usize..end as usize];
        assert_eq!(reader.read(offset, 1 << 20).await.unwrap(), expected, "at {offset}");
        if let Some(cached) = reader.try_read(offset, 1 << 20).unwrap() {
            assert!(expected.starts_with(&cached), "at {offset}");
        }
    }
}

async fn the_first_write_of_a_byte_holds<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(100_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(40_000, batch(&bytes, 40_000, 60_000)).await.unwrap();
    let reader = spool.content();
    // A second upstream with different bytes in the middle.
    let mut forged = bytes.to_vec();
    forged[40_000..60_000].fill(0);
    spool.write(0, vec![forged.into()]).await.unwrap();
    assert_eq!(read(&reader, 0, 100_000).await, bytes);
    let verified = spool.finish(100_000).await.unwrap();
    assert_eq!(read(&verified.content(), 0, 100_000).await, bytes);
}

async fn a_mismatch_deletes<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(100_000, Algorithm::Sha256);
    let mut forged = bytes.to_vec();
    forged[99_999] ^= 1;
    let found = Digest::of(Algorithm::Sha256, &forged);
    let spool = store.spool(&digest).await.unwrap();
    spool.set_size(100_000).unwrap();
    spool.write(0, vec![forged.into()]).await.unwrap();
    let finished = spool.clone().finish(100_000).await;
    let Err(VerifyError::Mismatch { wanted, found: named }) = finished else { panic!("{finished:?}") };
    assert_eq!((wanted, named), (digest.clone(), found));
    let late = spool.write(0, batch(&bytes, 0, 10)).await.unwrap_err();
    assert_eq!(late.kind(), StoreErrorKind::Closed);
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_none());
    let fresh = store.spool(&digest).await.unwrap();
    assert_eq!((fresh.watermark(), fresh.size()), (0, None), "wrong bytes are not resumed");
}

async fn a_short_finish_keeps<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(100_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, batch(&bytes, 0, 60_000)).await.unwrap();
    let finished = spool.clone().finish(100_000).await;
    assert!(matches!(finished, Err(VerifyError::Incomplete { size: 100_000, missing: 40_000 })));
    spool.write(60_000, batch(&bytes, 60_000, 100_000)).await.unwrap();
    store.admit(spool.finish(100_000).await.unwrap()).await.unwrap();
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_some());
}

async fn a_long_one_deletes<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(100_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.clone(), Bytes::from_static(b"x")]).await.unwrap();
    let finished = spool.finish(100_000).await;
    assert!(matches!(finished, Err(VerifyError::TooLong { size: 100_000, end: 100_001 })), "{finished:?}");
    assert_eq!(store.spool(&digest).await.unwrap().watermark(), 0);
}

async fn sizes_must_agree<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(100_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!(spool.size(), None);
    spool.write(0, batch(&bytes, 0, 60_000)).await.unwrap();
    assert_eq!(spool.set_size(59_999).unwrap_err().kind(), StoreErrorKind::Size);
    spool.set_size(100_000).unwrap();
    spool.set_size(100_000).unwrap();
    assert_eq!(spool.set_size(100_001).unwrap_err().kind(), StoreErrorKind::Size);
    assert_eq!((spool.size(), spool.content().size()), (Some(100_000), 100_000));
    let beyond = spool.write(60_000, vec![bytes.slice(..40_001)]).await.unwrap_err();
    assert_eq!(beyond.kind(), StoreErrorKind::Size);
    let overflow = spool.write(u64::MAX, vec![bytes.slice(..2)]).await.unwrap_err();
    assert_eq!(overflow.kind(), StoreErrorKind::Size);
    assert_eq!(spool.watermark(), 60_000, "a refused write leaves no bytes");
    spool.write(60_000, batch(&bytes, 60_000, 100_000)).await.unwrap();
    spool.finish(100_000).await.unwrap();
}

async fn resume_after_a_drop<E: Engine>(place: E) {
    let (bytes, digest) = content(SIZE as usize, Algorithm::Sha256);
    {
        let store = place.open();
        let spool = store.spool(&digest).await.unwrap();
        spool.set_size(SIZE).unwrap();
        spool.write(0, batch(&bytes, 0, 500_000)).await.unwrap();
        spool.write(500_000, batch(&bytes, 500_000, 700_000)).await.unwrap();
    }
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!((spool.watermark(), spool.size()), (700_000, Some(SIZE)));
    assert_eq!(read(&spool.content(), 0, 700_000).await, bytes[..700_000]);
    drop(spool);
    // The same store, a while later.
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!(spool.watermark(), 700_000);
    spool.write(700_000, batch(&bytes, 700_000, SIZE)).await.unwrap();
    store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
    let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&blob, 0, SIZE).await, bytes);
}

async fn resume_after_parking<E: Engine>(place: E) {
    let (bytes, digest) = content(SIZE as usize, Algorithm::Sha512);
    {
        let store = place.open();
        let spool = store.spool(&digest).await.unwrap();
        spool.write(0, batch(&bytes, 0, 400_000)).await.unwrap();
        spool.write(800_000, batch(&bytes, 800_000, 900_000)).await.unwrap();
        spool.park().await;
    }
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!(spool.watermark(), 400_000);
    let gaps = [(400_000, 800_000), (900_000, SIZE)].map(|(start, end)| ByteRange { start, end });
    assert_eq!(spool.gaps(SIZE), gaps);
    assert_eq!(read(&spool.content(), 800_000, 900_000).await, bytes[800_000..900_000]);
    spool.write(400_000, batch(&bytes, 400_000, SIZE)).await.unwrap();
    store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
    let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&blob, 0, SIZE).await, bytes);
}

async fn resume_after_leaving<E: Engine>(place: E) {
    let (bytes, digest) = content(SIZE as usize, Algorithm::Sha256);
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    assert!(spool.is_empty());
    spool.write(800_000, batch(&bytes, 800_000, 900_000)).await.unwrap();
    assert!(!spool.is_empty());
    spool.write(100_000, batch(&bytes, 100_000, 400_000)).await.unwrap();
    spool.clone().leave().await;
    drop((spool, store));
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    let gaps = [(0, 100_000), (400_000, 800_000), (900_000, SIZE)];
    assert_eq!(spool.gaps(SIZE), gaps.map(|(start, end)| ByteRange { start, end }));
    assert_eq!((spool.watermark(), spool.front().1), (0, 0));
    for (start, end) in gaps {
        spool.write(start, batch(&bytes, start, end)).await.unwrap();
    }
    store.admit(spool.finish(SIZE).await.unwrap()).await.unwrap();
    let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&blob, 0, SIZE).await, bytes);
}

async fn readers_of_a_predecessor_are_undisturbed<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(300_000, Algorithm::Sha256);
    let old = store.spool(&digest).await.unwrap();
    old.write(0, batch(&bytes, 0, 50_000)).await.unwrap();
    old.write(200_000, batch(&bytes, 200_000, 300_000)).await.unwrap();
    let reader = old.content();
    let new = store.spool(&digest).await.unwrap();
    assert_eq!(new.gaps(300_000), [ByteRange { start: 50_000, end: 200_000 }]);
    // Different bytes, from an upstream that became wrong meanwhile.
    new.write(0, vec![vec![0; 300_000].into()]).await.unwrap();
    assert_eq!(read(&reader, 0, 50_000).await, bytes[..50_000]);
    assert_eq!(read(&reader, 200_000, 300_000).await, bytes[200_000..]);
    assert!(matches!(new.finish(300_000).await, Err(VerifyError::Mismatch { .. })));
    assert_eq!(read(&reader, 200_000, 300_000).await, bytes[200_000..]);
}

async fn nothing_after_a_discard<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(100_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, batch(&bytes, 0, 60_000)).await.unwrap();
    let reader = spool.content();
    spool.clone().discard().await;
    assert_eq!(spool.write(60_000, vec![]).await.unwrap_err().kind(), StoreErrorKind::Closed);
    assert_eq!(read(&reader, 0, 60_000).await, bytes[..60_000], "readers can finish");
    assert_eq!(store.spool(&digest).await.unwrap().watermark(), 0);
}

async fn a_new_spool_ends_the_old_one<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(100_000, Algorithm::Sha256);
    let old = store.spool(&digest).await.unwrap();
    old.write(0, batch(&bytes, 0, 60_000)).await.unwrap();
    let new = store.spool(&digest).await.unwrap();
    assert_eq!(new.watermark(), 60_000);
    assert_eq!(
        old.write(60_000, vec![Bytes::from_static(b"x")]).await.unwrap_err().kind(),
        StoreErrorKind::Closed
    );
    assert_eq!(old.set_size(60_000).unwrap_err().kind(), StoreErrorKind::Closed);
    old.clone().discard().await;
    old.clone().park().await;
    assert!(matches!(old.finish(60_000).await, Err(VerifyError::Store(_))));
    new.write(60_000, batch(&bytes, 60_000, 100_000)).await.unwrap();
    store.admit(new.finish(100_000).await.unwrap()).await.unwrap();
    let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert_eq!(read(&blob, 0, 100_000).await, bytes);
}

async fn a_complete_spool_that_was_not_admitted<E: Engine>(place: E) {
    let (bytes, digest) = content(300_000, Algorithm::Sha256);
    {
        let store = place.open();
        let spool = store.spool(&digest).await.unwrap();
        spool.set_size(300_000).unwrap();
        spool.write(0, batch(&bytes, 0, 300_000)).await.unwrap();
    }
    let store = place.open();
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!((spool.watermark(), spool.size()), (300_000, Some(300_000)), "there is nothing left to fetch");
    store.admit(spool.finish(300_000).await.unwrap()).await.unwrap();
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_some());
}

async fn the_front_goes_on_elsewhere<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(100_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, batch(&bytes, 0, 60_000)).await.unwrap();
    let (mut hasher, hashed) = spool.front();
    assert_eq!(hashed, 60_000);
    hasher.update(&bytes[60_000..]);
    assert_eq!(hasher.finish(), digest);
}
