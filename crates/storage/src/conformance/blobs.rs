//! Blobs: the stored bytes can be read, in any part, until the blob is removed.

use bytes::Bytes;
use futures_util::StreamExt;
use oci::{Algorithm, Digest};

use super::{Engine, content, pieces, read};
use crate::blob_store::BlobStore;
use crate::error::VerifyError;
use crate::spool::Spool;

pub(super) async fn run<E: Engine>(new_place: &impl Fn() -> E) {
    put_and_get(new_place()).await;
    ranges(new_place()).await;
    the_empty_blob(new_place()).await;
    a_blob_outlives_its_store(new_place()).await;
    readers_of_a_fill_follow_it_into_the_store(new_place()).await;
    a_spool_from_elsewhere_is_admitted(new_place()).await;
    removed_and_damaged_blobs_are_gone(new_place()).await;
    entries_name_every_blob(new_place()).await;
}

/// Stores `bytes` in one write.
pub(super) async fn put(store: &impl BlobStore, bytes: &Bytes, digest: &Digest) {
    let spool = store.spool(digest).await.unwrap();
    spool.write(0, pieces(bytes, 100_000)).await.unwrap();
    store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
}

async fn put_and_get<E: Engine>(place: E) {
    let store = place.open();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for len in [1, 4096, 1_000_000] {
            let (bytes, digest) = content(len, algorithm);
            assert!(BlobStore::open(&store, &digest).await.unwrap().is_none(), "{digest} before it is put");
            put(&store, &bytes, &digest).await;
            let blob = BlobStore::open(&store, &digest).await.unwrap().expect("the blob was stored");
            assert_eq!(blob.size(), len as u64);
            assert_eq!(read(&blob, 0, blob.size()).await, bytes);
            put(&store, &bytes, &digest).await;
            assert_eq!(read(&blob, 0, blob.size()).await, bytes, "readers are not disturbed by a second put");
        }
    }
}

async fn ranges<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(200_000, Algorithm::Sha256);
    put(&store, &bytes, &digest).await;
    let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    for (start, end) in [(0, 1), (0, 65_536), (65_535, 65_537), (199_999, 200_000), (100_000, 200_000)] {
        assert_eq!(read(&blob, start, end).await, bytes[start as usize..end as usize], "{start}..{end}");
    }
    for beyond in [200_000, 200_001, u64::MAX] {
        assert!(blob.read(beyond, 10).await.unwrap().is_empty());
        assert!(blob.try_read(beyond, 10).unwrap().is_some_and(|bytes| bytes.is_empty()));
    }
    assert_eq!(blob.read(199_990, 100).await.unwrap(), bytes[199_990..]);
    assert!(!(blob.as_file().is_some() && blob.is_immutable()));
}

async fn the_empty_blob<E: Engine>(place: E) {
    let store = place.open();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, b"");
        let spool = store.spool(&digest).await.unwrap();
        store.admit(spool.finish(0).await.unwrap()).await.unwrap();
        let blob = BlobStore::open(&store, &digest).await.unwrap().expect("the empty blob is a blob");
        assert_eq!(blob.size(), 0);
        assert!(blob.read(0, 10).await.unwrap().is_empty());
    }
}

async fn a_blob_outlives_its_store<E: Engine>(place: E) {
    let (bytes, digest) = content(70_000, Algorithm::Sha512);
    put(&place.open(), &bytes, &digest).await;
    let store = place.open();
    let blob = BlobStore::open(&store, &digest).await.unwrap().expect("it is still there");
    assert_eq!(read(&blob, 0, blob.size()).await, bytes);
}

async fn readers_of_a_fill_follow_it_into_the_store<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(300_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    let reader = spool.content();
    spool.write(0, vec![bytes.slice(..100_000)]).await.unwrap();
    assert_eq!(read(&reader, 0, 100_000).await, bytes[..100_000]);
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_none(), "nothing unverified is served");
    spool.write(100_000, vec![bytes.slice(100_000..)]).await.unwrap();
    let verified = spool.finish(300_000).await.unwrap();
    let verified_reader = verified.content();
    store.admit(verified).await.unwrap();
    assert_eq!(read(&reader, 50_000, 300_000).await, bytes[50_000..]);
    store.remove(&digest).await.unwrap();
    assert_eq!(read(&reader, 0, 300_000).await, bytes);
    assert_eq!(read(&verified_reader, 0, verified_reader.size()).await, bytes);
}

async fn a_spool_from_elsewhere_is_admitted<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(2_500_000, Algorithm::Sha256);
    let spool = Spool::in_memory(&digest);
    spool.write(0, pieces(&bytes, 70_001)).await.unwrap();
    store.admit(spool.finish(2_500_000).await.unwrap()).await.unwrap();
    let blob = BlobStore::open(&store, &digest).await.unwrap().expect("it was admitted");
    assert_eq!(read(&blob, 0, blob.size()).await, bytes);
}

async fn removed_and_damaged_blobs_are_gone<E: Engine>(place: E) {
    let store = place.open();
    let (bytes, digest) = content(5_000, Algorithm::Sha256);
    store.remove(&digest).await.unwrap();
    store.set_aside(&digest).await.unwrap();
    put(&store, &bytes, &digest).await;
    store.remove(&digest).await.unwrap();
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_none());
    put(&store, &bytes, &digest).await;
    store.set_aside(&digest).await.unwrap();
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_none());
    let spool = store.spool(&digest).await.unwrap();
    assert_eq!(spool.watermark(), 0, "no byte of a damaged blob is resumed");
    let finished = spool.finish(5_000).await;
    assert!(matches!(finished, Err(VerifyError::Incomplete { size: 5_000, missing: 5_000 })));
    put(&store, &bytes, &digest).await;
    assert!(BlobStore::open(&store, &digest).await.unwrap().is_some());
}

async fn entries_name_every_blob<E: Engine>(place: E) {
    let store = place.open();
    assert_eq!(store.entries().count().await, 0);
    let mut expected = Vec::new();
    for (len, algorithm) in [(1, Algorithm::Sha256), (2, Algorithm::Sha512), (70_000, Algorithm::Sha256)] {
        let (bytes, digest) = content(len, algorithm);
        put(&store, &bytes, &digest).await;
        expected.push((digest, len as u64));
    }
    // An incomplete blob is not stored.
    let unfinished = store.spool(&content(9, Algorithm::Sha256).1).await.unwrap();
    unfinished.write(0, vec![Bytes::from_static(b"some")]).await.unwrap();
    let entries: Vec<_> = store.entries().map(|entry| entry.unwrap()).collect().await;
    let mut found: Vec<_> = entries.into_iter().map(|entry| (entry.digest, entry.size)).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
