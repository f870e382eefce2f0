use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt;
use oci::Algorithm;

use super::{MemoryStore, Operation};
use crate::blob_store::BlobStore;
use crate::conformance::{self, Engine};
use crate::error::StoreErrorKind;
use crate::maintain::Maintain;
use crate::record_store::RecordStore;
use crate::space::Space;
use crate::verified_manifest::VerifiedManifest;

struct InMemory(MemoryStore);

impl Engine for InMemory {
    type Store = MemoryStore;

    fn open(&self) -> MemoryStore {
        self.0.clone()
    }
}

#[tokio::test]
async fn the_memory_engine_conforms() {
    conformance::run(|| InMemory(MemoryStore::new())).await;
}

/// An engine whose blobs are not files cannot send them as files, but serves them.
#[tokio::test]
async fn content_outside_files_is_read_and_never_sent_as_a_file() {
    let store = MemoryStore::new();
    let (bytes, digest) = conformance::content(300_000, Algorithm::Sha256);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.clone()]).await.unwrap();
    assert!(spool.content().as_file().is_none());
    store.admit(spool.finish(300_000).await.unwrap()).await.unwrap();
    let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    assert!(blob.as_file().is_none() && blob.validator().is_none() && blob.is_immutable());
    assert_eq!(conformance::read(&blob, 0, 300_000).await, bytes);
    assert_eq!(blob.digest(digest.algorithm()).await.unwrap(), digest);
}

#[tokio::test]
async fn a_test_can_make_any_call_fail_once() {
    let store = MemoryStore::new();
    let digest = oci::Digest::of(Algorithm::Sha256, b"x");
    store.fail(Operation::Remove, 1, StoreErrorKind::ReadOnly);
    store.fail(Operation::Remove, 2, StoreErrorKind::Full);
    store.fail(Operation::Entries, 0, StoreErrorKind::Io);
    assert_eq!(store.remove(&digest).await.unwrap(), 0);
    assert_eq!(store.remove(&digest).await.unwrap_err().kind(), StoreErrorKind::ReadOnly);
    assert_eq!(store.remove(&digest).await.unwrap_err().kind(), StoreErrorKind::Full);
    assert_eq!(store.remove(&digest).await.unwrap(), 0);
    assert!(store.has_failures_left());
    assert!(store.entries().next().await.unwrap().is_err());
    assert!(store.entries().next().await.is_none() && !store.has_failures_left());
}

#[tokio::test]
async fn the_space_of_a_test_changes_with_what_is_stored() {
    let store = MemoryStore::new();
    assert_eq!(store.space().await.unwrap(), None);
    let (bytes, digest) = conformance::content(300, Algorithm::Sha256);
    put(&store, &bytes, &digest).await;
    store.set_space(Some(Space::new(1_000, 400)));
    assert_eq!(store.space().await.unwrap(), Some(Space::new(1_000, 400)));
    store.remove(&digest).await.unwrap();
    assert_eq!(store.space().await.unwrap(), Some(Space::new(1_000, 700)));
    put(&store, &bytes, &digest).await;
    let (bytes, digest) = conformance::content(500, Algorithm::Sha256);
    put(&store, &bytes, &digest).await;
    assert_eq!(store.space().await.unwrap(), Some(Space::new(1_000, 0)));
}

#[tokio::test]
async fn records_and_blobs_get_the_time_of_a_test() {
    let store = MemoryStore::new();
    let (bytes, digest) = conformance::content(300, Algorithm::Sha256);
    let then = UNIX_EPOCH + Duration::from_secs(1_000);
    store.set_time(then + Duration::from_millis(900));
    put(&store, &bytes, &digest).await;
    let entry = store.entries().next().await.unwrap().unwrap();
    assert_eq!((entry.modified_at, entry.used_at), (then, then));
    let (name, manifest) = ("a".parse().unwrap(), VerifiedManifest::check("{}".into(), None).unwrap());
    store.put_manifest(&name, &"a/b".parse().unwrap(), &manifest).await.unwrap();
    assert_eq!(store.manifests(&name, None, 9).await.unwrap()[0].stored_at, then);
}

async fn put(store: &MemoryStore, bytes: &bytes::Bytes, digest: &oci::Digest) {
    let spool = store.spool(digest).await.unwrap();
    spool.write(0, vec![bytes.clone()]).await.unwrap();
    store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
}
