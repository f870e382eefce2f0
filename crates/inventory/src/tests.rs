mod anatomy;
mod clock;
mod crash;
mod eviction;
mod figures;
mod limits;
mod lists;
mod lost;
mod pins;
mod prune;
mod purge;
mod random;
mod survey;
mod walking;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use oci::{Algorithm, Digest, Repository, Tag};
use parking_lot::Mutex;
use policy::eviction::{Limits, Reason};
use policy::freshness::TagRecord;
use storage::{Held, MemoryStore, Store, StoreError, StoredList, VerifiedManifest};
use telemetry::{Metrics, RegistryMetrics};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::contents::Contents;
use crate::eviction::Freed;
use crate::inventory::{ImageCursor, ImageEntry, ImageFigures, Inventory};
use crate::keeper::Keeper;
use crate::serving::{AtRest, Serving};
use crate::short_digest::key_of;
use crate::walk;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The wall clock when a test begins.
pub(crate) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

pub(crate) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

/// The bytes of a blob: its name, repeated.
pub(crate) fn bytes(name: &str, size: usize) -> Bytes {
    name.bytes().cycle().take(size).collect()
}

/// Lets time pass.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

/// A program that serves the store, whose fills a test names.
#[derive(Debug)]
pub(crate) struct Server {
    at_rest: AtRest,
    pub(crate) filling: Mutex<BTreeSet<Digest>>,
    /// Rung when a tag is about to be removed. Other tasks run before it is.
    pub(crate) removing_tag: Notify,
}

#[async_trait::async_trait]
impl Serving for Server {
    fn is_filling(&self, digest: &Digest) -> bool {
        self.filling.lock().contains(digest)
    }

    async fn remove_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        self.removing_tag.notify_one();
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        self.at_rest.remove_tag(repository, tag, digest).await
    }
}

/// A wall clock that goes on with the time of the test, and that a test can set.
pub(crate) struct Wall {
    /// When it was set last, and to which time.
    set: Mutex<(Instant, SystemTime)>,
}

impl Wall {
    fn new() -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self { set: Mutex::new((now, start())) })
    }

    pub(crate) fn now(&self) -> SystemTime {
        let (at, shown) = *self.set.lock();
        shown + at.elapsed()
    }

    pub(crate) fn set(&self, shown: SystemTime) {
        *self.set.lock() = (Instant::now(), shown);
    }
}

/// A store with its inventory.
pub(crate) struct Place {
    pub(crate) wall: Arc<Wall>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) server: Arc<Server>,
}

pub(crate) fn metrics() -> Arc<RegistryMetrics> {
    Metrics::new(&["test".to_owned()]).registry("test")
}

impl Place {
    /// A store that was not walked yet.
    pub(crate) fn unwalked(store: Arc<dyn Store>, limits: Limits) -> Self {
        Self::with_clock(store, limits, Wall::new())
    }

    fn with_clock(store: Arc<dyn Store>, limits: Limits, wall: Arc<Wall>) -> Self {
        let clock = Arc::clone(&wall);
        let inventory = Inventory::new("test", Arc::clone(&store), metrics(), Box::new(move || clock.now()));
        let server = Server {
            at_rest: AtRest(Arc::clone(&store)),
            filling: Mutex::default(),
            removing_tag: Notify::new(),
        };
        let server = Arc::new(server);
        inventory.serve_with(Arc::clone(&server) as Arc<dyn Serving>);
        let keeper = Keeper::new(Arc::clone(&inventory), limits);
        Self { wall, store, inventory, keeper, server }
    }

    pub(crate) async fn over(store: Arc<dyn Store>) -> Self {
        let place = Self::unwalked(store, Limits::default());
        place.keeper.walk().await.unwrap();
        place
    }

    /// An empty store in memory.
    pub(crate) async fn in_memory() -> (Self, MemoryStore) {
        let store = MemoryStore::new();
        store.set_time(start());
        (Self::over(Arc::new(store.clone())).await, store)
    }

    /// The same store after a crash: all that was in memory is gone.
    pub(crate) async fn restarted(&self) -> Self {
        let place = Self::with_clock(Arc::clone(&self.store), Limits::default(), Arc::clone(&self.wall));
        place.keeper.walk().await.unwrap();
        place
    }

    /// Stores a blob without a word to the inventory.
    pub(crate) async fn put_blob(&self, name: &str, size: usize) -> Digest {
        let bytes = bytes(name, size);
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let spool = self.store.spool(&digest).await.unwrap();
        spool.write(0, vec![bytes]).await.unwrap();
        self.store.admit(spool.finish(size as u64).await.unwrap()).await.unwrap();
        digest
    }

    pub(crate) async fn blob(&self, name: &str, size: usize) -> Digest {
        let digest = self.put_blob(name, size).await;
        self.inventory.blob_stored(&digest);
        digest
    }

    pub(crate) async fn has_blob(&self, digest: &Digest) -> bool {
        self.store.open(digest).await.unwrap().is_some()
    }

    /// Stores a manifest with these bytes.
    pub(crate) async fn manifest_of(&self, name: &Repository, text: String) -> Digest {
        let manifest = VerifiedManifest::check(text.into(), None).unwrap();
        let storing = self.inventory.storing().await;
        self.store.put_manifest(name, &MANIFEST_TYPE.parse().unwrap(), &manifest).await.unwrap();
        self.inventory.manifest_stored(&storing, name, manifest.digest(), manifest.bytes());
        manifest.digest().clone()
    }

    /// Stores an image of these layers, and the layers: names and sizes.
    pub(crate) async fn image(&self, name: &str, layers: &[(&str, usize)]) -> Digest {
        let digest = self.manifest_of(&repository(name), image_text(layers)).await;
        for (layer, size) in layers {
            self.blob(layer, *size).await;
        }
        digest
    }

    pub(crate) async fn index(&self, name: &str, children: &[&Digest]) -> Digest {
        self.manifest_of(&repository(name), index_text(children)).await
    }

    pub(crate) async fn tag(&self, name: &str, tag_name: &str, digest: &Digest) {
        let (name, tag) = (repository(name), tag(tag_name));
        let record = TagRecord {
            digest: digest.clone(),
            media_type: MANIFEST_TYPE.parse().unwrap(),
            size: 1,
            checked_at: start(),
        };
        let storing = self.inventory.storing().await;
        self.store.put_tag(&name, &tag, &record).await.unwrap();
        self.inventory.tag_stored(&storing, &name, &tag, digest);
    }

    /// Stores a page of a list.
    pub(crate) async fn put_list(&self, name: &str, key: &str, size: usize) {
        let list = StoredList {
            bytes: bytes("list", size),
            media_type: "application/json".to_owned(),
            next: None,
            filters_applied: None,
            seen_at: start(),
        };
        let listing = self.inventory.listing(&repository(name)).await;
        self.store.put_list(&repository(name), key, &list).await.unwrap();
        self.inventory.listed(listing, self.store.lists(&repository(name)).await.unwrap().held);
    }

    pub(crate) async fn has_list(&self, name: &str, key: &str) -> bool {
        self.store.list(&repository(name), key).await.unwrap().is_some()
    }

    pub(crate) async fn has_manifest(&self, name: &str, digest: &Digest) -> bool {
        self.store.manifest(&repository(name), digest).await.unwrap().is_some()
    }

    pub(crate) async fn has_tag(&self, name: &str, tag_name: &str) -> bool {
        self.store.tag(&repository(name), &tag(tag_name)).await.unwrap().is_some()
    }

    pub(crate) fn used(&self) -> u64 {
        self.inventory.used().total()
    }

    pub(crate) async fn evict(&self, bytes: u64) -> Freed {
        self.keeper.make_room(bytes, Reason::Cap).await
    }

    pub(crate) fn list(&self) -> Vec<ImageEntry> {
        let (mut images, mut from) = (Vec::new(), Some(ImageCursor::default()));
        while let Some(at) = from {
            let page = self.inventory.images(at, 3);
            images.extend(page.images);
            from = page.next;
        }
        images.sort_by(|one, other| {
            (one.repository.as_str(), &one.digest).cmp(&(other.repository.as_str(), &other.digest))
        });
        images
    }

    /// Holds what the inventory believes against what the store has.
    pub(crate) async fn check(&self) {
        let truth = Truth::of(&*self.store).await;
        for digest in truth.named.keys().chain(&truth.blobs) {
            let known = self.inventory.model.blobs.get(key_of(digest));
            let count = truth.named.get(digest).copied().unwrap_or(0);
            let is_held = truth.blobs.contains(digest);
            assert_eq!((known.count, known.is_held), (count, is_held), "{digest}");
        }
        let images = self.inventory.model.images.read();
        let (rows, _) = images.rows(0, usize::MAX);
        let mut held = BTreeSet::new();
        let mut tags = BTreeMap::new();
        for row in &rows {
            if row.is_held {
                held.insert((row.repository.clone(), row.digest.clone()));
            }
            for tag in images.tags_of(row.slot) {
                tags.insert((row.repository.clone(), tag), row.digest.clone());
            }
        }
        assert_eq!(held, truth.manifests.keys().cloned().collect());
        assert_eq!(tags, truth.tags);
        let (mut loose, mut bound) = (0, 0);
        for (repository, held) in &truth.lists {
            assert_eq!(self.inventory.model.lists.lock().of(repository), *held, "{repository}");
            let sum = if images.has_any(repository) { &mut bound } else { &mut loose };
            *sum += held.bytes;
        }
        let lists = self.inventory.model.lists.lock();
        assert_eq!((lists.loose().bytes, lists.bound().bytes), (loose, bound));
    }

    /// Whether an image has everything that it names, but for blobs that were never stored.
    pub(crate) async fn check_no_holes(&self, never_stored: &BTreeSet<Digest>) {
        let truth = Truth::of(&*self.store).await;
        for ((repository, digest), contents) in &truth.manifests {
            for blob in contents.blobs.iter().filter(|blob| !never_stored.contains(&blob.digest)) {
                let is_held = truth.blobs.contains(&blob.digest);
                assert!(is_held, "{repository}@{digest} lacks {}", blob.digest);
            }
        }
        for ((repository, tag), digest) in &truth.tags {
            let key = (repository.clone(), digest.clone());
            assert!(truth.manifests.contains_key(&key), "{repository}:{tag} names nothing");
        }
    }
}

/// What a store has.
pub(crate) struct Truth {
    pub(crate) manifests: BTreeMap<(Repository, Digest), Contents>,
    pub(crate) tags: BTreeMap<(Repository, Tag), Digest>,
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) lists: BTreeMap<Repository, Held>,
    named: BTreeMap<Digest, u32>,
}

impl Truth {
    pub(crate) async fn of(store: &dyn Store) -> Self {
        let mut truth = Self {
            manifests: BTreeMap::new(),
            tags: BTreeMap::new(),
            blobs: BTreeSet::new(),
            lists: BTreeMap::new(),
            named: BTreeMap::new(),
        };
        for repository in store.repositories_with_lists(None, usize::MAX).await.unwrap() {
            let lists = store.lists(&repository).await.unwrap();
            truth.lists.insert(repository, lists.held);
        }
        for repository in store.repositories(None, 1000).await.unwrap() {
            for entry in store.manifests(&repository, None, 1000).await.unwrap() {
                let Some(storage::HeldManifest::Whole(manifest)) =
                    store.manifest(&repository, &entry.digest).await.unwrap()
                else {
                    continue;
                };
                let contents = Contents::of(&manifest.bytes);
                for blob in &contents.blobs {
                    *truth.named.entry(blob.digest.clone()).or_default() += 1;
                }
                truth.manifests.insert((repository.clone(), entry.digest), contents);
            }
            for tag in store.tags(&repository, None, 1000).await.unwrap() {
                let record = store.tag(&repository, &tag).await.unwrap().unwrap();
                truth.tags.insert((repository.clone(), tag), record.digest);
            }
        }
        let mut entries = store.entries();
        while let Some(entry) = entries.next().await {
            truth.blobs.insert(entry.unwrap().digest);
        }
        truth
    }
}

pub(crate) fn image_text(layers: &[(&str, usize)]) -> String {
    let layers = layers.iter().map(|(name, size)| {
        let digest = Digest::of(Algorithm::Sha256, &bytes(name, *size));
        format!(r#"{{"digest":"{digest}","size":{size}}}"#)
    });
    let layers: Vec<_> = layers.collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","layers":[{}]}}"#, layers.join(","))
}

pub(crate) fn index_text(children: &[&Digest]) -> String {
    let children: Vec<_> = children.iter().map(|digest| format!(r#"{{"digest":"{digest}"}}"#)).collect();
    format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, children.join(","))
}
