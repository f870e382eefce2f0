//! The inventory of one store: it takes reports from the program that serves the store, and answers its
//! questions.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use oci::{Digest, Repository, Tag};
use parking_lot::{Mutex, RwLock};
use policy::eviction::{self, Used};
use policy::freshness::{ImportedTag, Replace, TagRecord, import_of};
use storage::{Store, StoreError, Usage};
use telemetry::RegistryMetrics;
use tracing::warn;

use crate::clock::{Clock, Seconds, WallClock};
use crate::contents::Contents;
use crate::failure::Failure;
use crate::hold::Hold;
use crate::images::{Images, Oldest, Row, Slot};
use crate::model::Model;
use crate::notes::pins::{NAMES, PinList};
use crate::room::{Announced, CommonRoom, Room, Share};
use crate::serving::{AtRest, Serving};
use crate::short_digest::key_of;

/// How many manifests one page of [`Inventory::images`] looks at, at the most.
const PAGE_COUNT_MAX: usize = 4096;

/// How often the search for the oldest image goes on before it gives up for the moment.
const SEARCH_COUNT_MAX: usize = 64;

/// The inventory of one store: its images, their last uses, the blobs that they need.
pub struct Inventory {
    name: Arc<str>,
    store: Arc<dyn Store>,
    metrics: Arc<RegistryMetrics>,
    clock: Clock,
    pub(crate) model: Model,
    pub(crate) room: Arc<Room>,
    common: RwLock<Option<Arc<CommonRoom>>>,
    serving: RwLock<Arc<dyn Serving>>,
    /// Held shared while a manifest and the counts of what it names are stored, and alone while an image is
    /// removed.
    gate: Arc<tokio::sync::RwLock<()>>,
    pins: Mutex<Option<PinList>>,
    /// Pins are written one list after the other.
    pins_turn: tokio::sync::Mutex<()>,
    is_complete: AtomicBool,
}

/// The right to store a manifest or a tag: as long as it lives, no image is removed.
#[derive(Debug)]
pub struct Storing {
    _shared: tokio::sync::OwnedRwLockReadGuard<()>,
}

/// The right to report that a manifest's bytes are gone: as long as it lives, no manifest is stored.
#[derive(Debug)]
pub struct Removing {
    _alone: tokio::sync::OwnedRwLockWriteGuard<()>,
}

/// A manifest whose record is about to be removed.
#[derive(Debug)]
pub struct Leaving {
    row: Option<Row>,
    contents: Contents,
    _removing: Removing,
}

/// An image in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// Its repository.
    pub repository: Repository,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The tags that name it.
    pub tags: Vec<Tag>,
    /// When its manifest was last used.
    pub last_use: SystemTime,
    /// Whether an operator pinned it.
    pub is_pinned: bool,
    /// Whether a held index of the repository names it, so that it is a part of an image.
    pub is_part: bool,
}

/// A page of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePage {
    /// The images, in no order.
    pub images: Vec<ImageEntry>,
    /// Where the next page begins; `None`: this was the last one.
    pub next: Option<ImageCursor>,
}

/// A place among the images. Images that come or go meanwhile may be listed or not; all others are listed
/// once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageCursor(Slot);

/// The reasons why a pin cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The pins are not read yet.
    #[error("the pinned images are not read yet; try again in a moment")]
    NotReady,
    /// The notes of pins are damaged, so that a new list would replace unknown pins.
    #[error("the notes of pinned images, {} and {}, are damaged; remove both and restart to begin anew", NAMES[0], NAMES[1])]
    Damaged,
    /// The store failed; nothing is changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Inventory {
    /// The inventory of a store. It knows nothing until [`Keeper::run`](crate::Keeper::run) has walked the
    /// store.
    pub fn new(
        name: &str,
        store: Arc<dyn Store>,
        metrics: Arc<RegistryMetrics>,
        wall: WallClock,
    ) -> Arc<Self> {
        let serving: Arc<dyn Serving> = Arc::new(AtRest(Arc::clone(&store)));
        let inventory = Arc::new(Self {
            name: name.into(),
            store,
            metrics,
            clock: Clock::starting(wall),
            model: Model::new(),
            room: Arc::new(Room::new()),
            common: RwLock::new(None),
            serving: RwLock::new(serving),
            gate: Arc::default(),
            pins: Mutex::new(None),
            pins_turn: tokio::sync::Mutex::default(),
            is_complete: AtomicBool::new(false),
        });
        inventory.tell_metrics();
        inventory
    }

    fn tell_metrics(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let complete = move || weak.upgrade().filter(|inventory| inventory.is_complete());
        let (images, oldest, cap) = (complete.clone(), complete.clone(), complete);
        self.metrics.look_up_inventory(
            move || images().map(|inventory| inventory.manifest_count() as u64),
            move || oldest().and_then(|inventory| inventory.oldest_use()).map(|age| age.as_secs()),
            move || cap().and_then(|inventory| inventory.room.cap()),
        );
    }

    /// Tells whether the blob is on its way into the store. A second spool for it would end the first one.
    pub fn is_filling(&self, digest: &Digest) -> bool {
        self.serving().is_filling(digest)
    }

    /// Stores a tag that an archive names, unless the store has the same word, or one that `replace` keeps:
    /// `record.checked_at` tells which is newer.
    ///
    /// # Errors
    /// I/O errors.
    pub async fn import_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        record: &TagRecord,
        replace: Replace,
    ) -> Result<ImportedTag, StoreError> {
        if let Some(imported) = self.serving().import_tag(repository, tag, record, replace).await {
            return imported;
        }
        let storing = self.storing().await;
        let held = self.store.tag(repository, tag).await?;
        if let Some(kept) = import_of(record, held.as_ref(), None, replace) {
            return Ok(kept);
        }
        self.store.put_tag(repository, tag, record).await?;
        self.tag_stored(&storing, repository, tag, &record.digest);
        Ok(ImportedTag::Stored)
    }

    /// Keeps these images as long as the result lives: no limit, no rule and no purge removes them.
    pub fn hold(&self, images: impl IntoIterator<Item = (Repository, Digest)>) -> Hold {
        Hold::new(Arc::clone(&self.model.holds), images)
    }

    /// Names the program that serves the store from now on. Without one, the store is at rest.
    pub fn serve_with(&self, serving: Arc<dyn Serving>) {
        *self.serving.write() = serving;
    }

    /// The right to store a manifest or a tag. To be taken before a manifest's bytes are written, and to be
    /// given back when it was reported.
    pub async fn storing(&self) -> Storing {
        Storing { _shared: Arc::clone(&self.gate).read_owned().await }
    }

    /// The store holds this manifest in this repository from now on.
    pub fn manifest_stored(&self, _: &Storing, repository: &Repository, digest: &Digest, bytes: &[u8]) {
        let is_pinned = self.is_pinned(repository, digest);
        let contents = Contents::of(bytes);
        self.model.store_manifest(repository, digest, &contents, self.clock.now(), is_pinned);
        self.wake_keepers();
    }

    /// A client pulled the manifest, by a tag or by its digest. Takes no memory and writes nothing.
    pub fn manifest_used(&self, repository: &Repository, digest: &Digest) {
        self.model.use_manifest(repository, digest, self.clock.now());
    }

    /// The store has a record that the tag names this manifest.
    pub fn tag_stored(&self, _: &Storing, repository: &Repository, tag: &Tag, digest: &Digest) {
        self.model.set_tag(repository, tag, digest, self.clock.now());
    }

    /// The record of a tag was removed.
    pub fn tag_removed(&self, repository: &Repository, tag: &Tag) {
        self.model.remove_tag(repository, tag);
    }

    /// The store holds the blob from now on.
    pub fn blob_stored(&self, digest: &Digest) {
        self.model.store_blob(digest, self.clock.now());
        self.wake_keepers();
    }

    /// A client pulled the blob or a part of it. Takes no memory and writes nothing.
    pub fn blob_used(&self, digest: &Digest) {
        self.model.use_blob(digest, self.clock.now());
    }

    /// The blob was removed, or was damaged and set aside.
    pub fn blob_removed(&self, digest: &Digest) {
        self.model.remove_blob(digest);
    }

    /// Whether the store holds the blob, as far as it was reported.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.model.blobs.get(key_of(digest)).is_held
    }

    /// Whether the store holds the manifest in the repository, as far as it was reported.
    pub fn has_manifest(&self, repository: &Repository, digest: &Digest) -> bool {
        let images = self.model.images.read();
        let slot = images.find(repository, digest);
        slot.and_then(|slot| images.row(slot)).is_some_and(|row| row.is_held)
    }

    /// The exclusive right to report removed manifests. While it lives, no manifest and no tag is stored, so
    /// a report is never older than the store.
    pub async fn removing(&self) -> Removing {
        Removing { _alone: Arc::clone(&self.gate).write_owned().await }
    }

    /// The bytes of a manifest were damaged and set aside, for all repositories. Until they come back, no
    /// list has it, and the blobs that it names stay.
    pub fn manifest_removed(&self, _: &Removing, digest: &Digest) {
        self.model.lose_manifest(digest);
    }

    /// Prepares the report that a repository's record of a manifest was removed: reads what the manifest
    /// names. Nothing is stored until the report, or until the answer is dropped.
    pub async fn leaving(&self, repository: &Repository, digest: &Digest) -> Leaving {
        let removing = self.removing().await;
        let slot = self.model.images.read().find(repository, digest);
        let row = slot.and_then(|slot| self.model.images.read().row(slot));
        // The counts of what an unreadable manifest names stay as they are until the next start.
        let contents = self.contents(repository, digest).await.ok().flatten().unwrap_or_default();
        Leaving { row, contents, _removing: removing }
    }

    /// The record of a manifest was removed. Blobs that nothing else names become orphans.
    pub fn manifest_forgotten(&self, leaving: Leaving) {
        let Some(row) = leaving.row else { return };
        let now = self.clock.now();
        for blob in self.model.remove_manifest(&row, &leaving.contents) {
            self.model.orphans.lock().add(blob.digest, now);
        }
    }

    /// Says that a blob of `size` bytes is on its way into the store, so that room is made ahead.
    pub fn announce(&self, size: u64) -> Announced {
        let announced = Announced::new(Arc::clone(&self.room), size);
        self.wake_keepers();
        announced
    }

    /// Whether `size` more bytes can be stored once everything that may go has gone. Takes no look at the
    /// disk.
    pub fn fits(&self, size: u64) -> bool {
        self.fits_beside(size, 0, 0)
    }

    /// As [`fits`](Self::fits), where `staying` bytes of the held ones are not to go, and `size` includes
    /// `coming` bytes of blobs that are on their way already.
    pub fn fits_beside(&self, size: u64, staying: u64, coming: u64) -> bool {
        let mut standing = self.room.standing(&self.store.usage());
        standing.pinned = standing.pinned.max(staying);
        standing.used.partial = standing.used.partial.saturating_sub(coming);
        standing.used.announced = standing.used.announced.saturating_sub(coming);
        if !self.is_complete() {
            // wharf removes nothing yet, and the usage may be incomplete, so the disk decides.
            standing.free = None;
        }
        let common = self.common.read().clone();
        eviction::fits(&standing, size) && common.is_none_or(|common| common.fits(size))
    }

    /// Whether the store was walked, so that all images are known.
    pub fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// A page of images, and of those parts of images that have tags of their own.
    pub fn images(&self, from: ImageCursor, count_max: usize) -> ImagePage {
        let images = self.model.images.read();
        let (rows, next) = images.rows(from.0, count_max.clamp(1, PAGE_COUNT_MAX));
        let entries = rows.into_iter().filter(|row| row.is_held).map(|row| self.entry(&images, row));
        let listed = entries.filter(|entry| !entry.is_part || !entry.tags.is_empty());
        ImagePage { images: listed.collect(), next: next.map(ImageCursor) }
    }

    /// How many manifests the store holds.
    pub fn manifest_count(&self) -> usize {
        self.model.images.read().held_count()
    }

    /// The number of images in the store. Looks at each manifest, a page at a time.
    pub fn image_count(&self) -> usize {
        let (mut count, mut from) = (0, Some(ImageCursor::default()));
        while let Some(at) = from {
            let images = self.model.images.read();
            let (rows, next) = images.rows(at.0, PAGE_COUNT_MAX);
            count += rows.iter().filter(|row| row.is_held && !self.model.is_part(row)).count();
            from = next.map(ImageCursor);
        }
        count
    }

    /// The time since the least recently used manifest was used; `None`: there is none.
    pub fn oldest_use(&self) -> Option<Duration> {
        Some(self.unused(self.oldest(Seconds::MAX)?))
    }

    /// Pins an image, so that no limit and no rule removes it, or takes the pin back. An image that is not
    /// held is pinned as soon as it is. Returns whether that changed anything.
    ///
    /// # Errors
    /// See [`PinError`].
    pub async fn set_pinned(
        &self,
        repository: &Repository,
        digest: &Digest,
        is_pinned: bool,
    ) -> Result<bool, PinError> {
        let _turn = self.pins_turn.lock().await;
        let mut list = self.pins.lock().clone().ok_or(if self.is_complete() {
            PinError::Damaged
        } else {
            PinError::NotReady
        })?;
        let pin = (repository.clone(), digest.clone());
        let is_news = if is_pinned { list.pins.insert(pin) } else { list.pins.remove(&pin) };
        if !is_news {
            return Ok(false);
        }
        list.generation += 1;
        // No image is removed between the note and the list, so a removal knows of the pin or came before it.
        let _storing = self.storing().await;
        self.store.put_note(list.name(), &list.to_bytes()).await?;
        *self.pins.lock() = Some(list);
        let mut images = self.model.images.write();
        if let Some(slot) = images.find(repository, digest) {
            images.pin(slot, is_pinned);
        }
        drop(images);
        self.wake_keepers();
        Ok(true)
    }

    /// The name of the registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store's usage. Does not access the disk.
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// The store's own cap in bytes, if it has one and was looked at since the start.
    pub fn cap(&self) -> Option<u64> {
        self.room.cap()
    }

    /// The memory that the inventory takes, in bytes, about.
    pub fn memory_bytes(&self) -> usize {
        self.model.memory_bytes()
    }

    /// The store's usage, with announced blobs.
    pub(crate) fn used(&self) -> Used {
        self.room.used(&self.store.usage())
    }

    /// The store. What is stored past the reports of this inventory is unknown to it until the next start.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The metrics of the registry.
    pub fn metrics(&self) -> &RegistryMetrics {
        &self.metrics
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time since a use. A use of which no time is known lies before all others.
    pub(crate) fn unused(&self, used: Seconds) -> Duration {
        Duration::from_secs(self.clock.now().saturating_sub(used).into())
    }

    /// The latest use after which this time has passed.
    pub(crate) fn unused_for(&self, unused: Duration) -> Seconds {
        let seconds = u32::try_from(unused.as_secs()).unwrap_or(u32::MAX);
        self.clock.now().saturating_sub(seconds)
    }

    pub(crate) fn serving(&self) -> Arc<dyn Serving> {
        Arc::clone(&self.serving.read())
    }

    /// Held alone, nothing is stored that a removal would have to know.
    pub(crate) fn gate(&self) -> &tokio::sync::RwLock<()> {
        &self.gate
    }

    /// The store and its own room, for the room of all stores.
    pub(crate) fn share(&self) -> Share {
        (Arc::clone(&self.room), Arc::downgrade(&self.store))
    }

    pub(crate) fn set_common(&self, common: Arc<CommonRoom>) {
        *self.common.write() = Some(common);
    }

    pub(crate) fn set_complete(&self) {
        self.is_complete.store(true, Ordering::Release);
        self.wake_keepers();
    }

    /// It is time to look whether anything has to go.
    fn wake_keepers(&self) {
        self.room.wake.notify_one();
        if let Some(common) = &*self.common.read() {
            common.wake.notify_one();
        }
    }

    /// The pinned images; `None`: they are not known, so nothing may be removed.
    pub(crate) fn pins(&self) -> Option<PinList> {
        self.pins.lock().clone()
    }

    pub(crate) fn set_pins(&self, list: PinList) {
        *self.pins.lock() = Some(list);
    }

    pub(crate) fn is_pinned(&self, repository: &Repository, digest: &Digest) -> bool {
        let pins = self.pins.lock();
        let Some(list) = pins.as_ref().filter(|list| !list.pins.is_empty()) else { return false };
        list.pins.contains(&(repository.clone(), digest.clone()))
    }

    /// The last use of the least recently used manifest or orphan, if it is not after `until`.
    pub(crate) fn oldest(&self, until: Seconds) -> Option<Seconds> {
        let orphan = self.model.orphans.lock().oldest().filter(|used| *used <= until);
        for _ in 0..SEARCH_COUNT_MAX {
            match self.model.images.write().oldest(until) {
                Oldest::Found(_, used) => return Some(orphan.map_or(used, |orphan| orphan.min(used))),
                Oldest::Nothing => return orphan,
                Oldest::Unknown => {}
            }
        }
        orphan
    }

    /// A manifest as a list shows it.
    pub(crate) fn entry(&self, images: &Images, row: Row) -> ImageEntry {
        ImageEntry {
            is_part: self.model.is_part(&row),
            tags: images.tags_of(row.slot),
            repository: row.repository,
            digest: row.digest,
            last_use: self.clock.to_wall(row.used),
            is_pinned: row.is_pinned,
        }
    }

    /// Counts and logs a failure of the store.
    pub(crate) fn failed(&self, error: &Failure, what: &str) {
        self.metrics.store_failed(error.call());
        warn!(registry = %self.name, %error, "{what}");
    }
}

impl fmt::Debug for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inventory").field("name", &self.name).finish_non_exhaustive()
    }
}
