mod collected;
mod commits;
mod damage;
mod durability;
mod eviction;
mod faults;
mod inspection;
mod kept_open;
mod manifests;
mod removal;
mod resume;
mod root;
mod script;
mod sweep;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use oci::Digest;
use telemetry::{Metrics, RegistryMetrics};
use tempfile::TempDir;

use super::fault::Faults;
use super::layout::Layout;
use super::{FsStore, Settings, open};
use crate::blob_store::BlobStore;
use crate::conformance::{self, Engine};
use crate::error::{StoreError, StoreErrorKind};
use crate::record_store::RecordStore;

/// A lock that stays for so long has another holder.
const LOCKED_MAX: Duration = Duration::from_secs(60);

/// A directory for a store, and the faults to inject.
struct Place {
    directory: TempDir,
    faults: Faults,
    /// Bytes in memory of incomplete small blobs; 0: they are written to files at once.
    collected_bytes: u64,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), faults: Faults::default(), collected_bytes: 0 }
    }

    /// In a file system in memory if there is one, for runs with thousands of syncs.
    fn fast() -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { directory: directory.unwrap(), faults: Faults::default(), collected_bytes: 0 }
    }

    /// Small blobs are collected in memory.
    fn collecting(self) -> Self {
        Self { collected_bytes: 1 << 20, ..self }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn layout(&self) -> Layout {
        Layout::new(&self.root())
    }

    fn try_open(&self) -> Result<FsStore, StoreError> {
        self.try_open_after("this start")
    }

    fn try_open_after(&self, boot_id: &str) -> Result<FsStore, StoreError> {
        let settings = Settings { collected_bytes_max: self.collected_bytes, ..Settings::default() };
        unlocked(|| {
            settings.open_with(&self.root(), metrics(), self.faults.clone(), Some(boot_id.to_owned()))
        })
    }

    /// Opens the store anew, after this one was closed.
    fn open_again(&self, store: FsStore) -> FsStore {
        drop(store);
        self.try_open().unwrap()
    }

    fn sidecar(&self, digest: &Digest) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.layout().sidecar(digest)).unwrap()).unwrap()
    }

    /// The names in one of the store's directories.
    fn names_in(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root().join(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Engine for Place {
    type Store = FsStore;

    fn open(&self) -> FsStore {
        self.try_open().unwrap()
    }
}

/// Opens a store. The last jobs of an earlier one, which run on threads of their own, may still hold its lock
/// for a moment.
fn unlocked(open: impl Fn() -> Result<FsStore, StoreError>) -> Result<FsStore, StoreError> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(error) if error.kind() == StoreErrorKind::Locked && begun.elapsed() < LOCKED_MAX => {
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}

fn metrics() -> Arc<RegistryMetrics> {
    Metrics::new(&["test".to_owned()]).registry("test")
}

#[tokio::test]
async fn the_file_engine_conforms() {
    conformance::run(Place::new).await;
}

#[tokio::test]
async fn the_file_engine_conforms_with_small_blobs_collected() {
    conformance::run(|| Place::new().collecting()).await;
}

/// Opened like in the product, without faults: then files are opened on the caller's thread and kept open.
struct PlainPlace(Place);

impl Engine for PlainPlace {
    type Store = FsStore;

    fn open(&self) -> FsStore {
        unlocked(|| open(&self.0.root(), metrics())).unwrap()
    }
}

#[tokio::test]
async fn the_file_engine_conforms_with_open_files_cached() {
    conformance::run(|| PlainPlace(Place::new())).await;
}

#[tokio::test]
async fn the_file_engine_conforms_without_a_boot_id() {
    let place = Place::new();
    let store = open(&place.root(), metrics()).unwrap();
    drop(store);
    assert_eq!(
        place.names_in("."),
        ["VERSION", "blobs", "lock", "manifests", "partial", "quarantine", "repositories", "tmp"]
    );
}

#[tokio::test]
async fn a_file_that_the_kernel_has_in_memory_is_opened_without_a_job() {
    let place = Place::fast();
    let store = open(&place.root(), metrics()).unwrap();
    let (bytes, digest) = script::blob(0);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.clone()]).await.unwrap();
    store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
    let opened = BlobStore::open(&store, &digest).now_or_never();
    let blob = opened.expect("opening it waits for nothing").unwrap().unwrap();
    assert_eq!(conformance::read(&blob, 0, blob.size()).await, bytes);
}

#[tokio::test]
async fn a_cached_record_is_found_without_a_job() {
    let place = Place::fast();
    let store = open(&place.root(), metrics()).unwrap();
    let (repository, tag, manifest) = (script::repository(), script::tag(), script::manifest());
    store.put_manifest(&repository, &script::media_type(), &manifest).await.unwrap();
    store.put_tag(&repository, &tag, &script::record()).await.unwrap();
    let found = store.manifest(&repository, manifest.digest()).now_or_never();
    let found = conformance::whole(found.expect("it is in memory").unwrap());
    assert_eq!(found.unwrap().bytes, *manifest.bytes());
    let found = store.tag(&repository, &tag).now_or_never();
    assert_eq!(found.expect("it is in memory").unwrap(), Some(script::record()));
}

/// Hashing and listing stored content take long; short work must not wait for them.
#[tokio::test]
async fn t07_a_manifest_is_read_while_all_long_jobs_are_taken() {
    let place = Place::fast();
    let store = place.try_open().unwrap();
    let (bytes, digest) = script::blob(0);
    let spool = store.spool(&digest).await.unwrap();
    spool.write(0, vec![bytes.clone()]).await.unwrap();
    store.admit(spool.finish(bytes.len() as u64).await.unwrap()).await.unwrap();
    let (repository, manifest) = (script::repository(), script::manifest());
    store.put_manifest(&repository, &script::media_type(), &manifest).await.unwrap();
    drop(store);

    let store = place.try_open().unwrap();
    let release = super::jobs::tests::take_all_long_places(store.jobs()).await;
    let blob = BlobStore::open(&store, &digest).await.unwrap().unwrap();
    let mut hashed = blob.digest(digest.algorithm()).boxed();
    let mut listed = store.repositories(None, 10).boxed();
    let mut entries = BlobStore::entries(&store);
    assert!((&mut hashed).now_or_never().is_none() && (&mut listed).now_or_never().is_none());
    assert!(entries.next().now_or_never().is_none());
    assert!(store.manifest(&repository, manifest.digest()).await.unwrap().is_some());
    assert_eq!(blob.read(0, 10).await.unwrap(), bytes[..10]);
    assert!((&mut hashed).now_or_never().is_none() && (&mut listed).now_or_never().is_none());
    drop(release);
    assert_eq!((hashed.await.unwrap(), listed.await.unwrap().len()), (digest, 1));
    assert!(entries.next().await.unwrap().is_ok());
}
