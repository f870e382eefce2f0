use oci::Algorithm;

use super::MemoryStore;
use crate::blob_store::BlobStore;
use crate::conformance::{self, Engine};

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
