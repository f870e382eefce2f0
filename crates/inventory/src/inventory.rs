//! The inventory of one store: it takes reports from the program that serves the store, and answers its
//! questions.

mod listing;
mod lists;
mod pins;
mod reports;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oci::{Digest, Repository};
use parking_lot::{Mutex, RwLock};
use policy::eviction::{self, Standing, Used};
use storage::{Store, Usage};
use telemetry::RegistryMetrics;
use tracing::warn;

use crate::clock::{Clock, Seconds, WallClock};
use crate::failure::Failure;
use crate::hold::Hold;
use crate::model::Model;
use crate::notes::pins::PinList;
use crate::room::{Announced, CommonRoom, NoRoom, Room, Share};
use crate::serving::{AtRest, Serving};

pub use listing::{ImageCursor, ImageEntry, ImageFigures, ImagePage};
pub use lists::Listing;
pub(crate) use lists::Unlisted;
#[cfg(test)]
pub(crate) use pins::PIN_COUNT_MAX;
pub use pins::PinError;
pub use reports::{Leaving, Removing, Storing};

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
    pins: Mutex<Option<Arc<PinList>>>,
    /// Pins are written one list after the other.
    pins_turn: tokio::sync::Mutex<()>,
    is_complete: AtomicBool,
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
        let model = Model::new();
        let inventory = Arc::new(Self {
            name: name.into(),
            store,
            metrics,
            clock: Clock::starting(wall),
            room: Arc::new(Room::new(Arc::clone(&model.lists))),
            model,
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
            move || images().map(|inventory| inventory.image_figures().count as u64),
            move || oldest()?.image_figures().unused.map(|unused| unused.as_secs()),
            move || cap().and_then(|inventory| inventory.room.cap()),
        );
    }

    /// Tells whether the blob is on its way into the store. A second spool for it would end the first one.
    pub fn is_filling(&self, digest: &Digest) -> bool {
        self.serving().is_filling(digest)
    }

    /// Keeps these images as long as the result lives: no limit, no rule and no purge removes them.
    pub fn hold(&self, images: impl IntoIterator<Item = (Repository, Digest)>) -> Hold {
        Hold::new(Arc::clone(&self.model.holds), images)
    }

    /// Names the program that serves the store from now on. Without one, the store is at rest.
    pub fn serve_with(&self, serving: Arc<dyn Serving>) {
        *self.serving.write() = serving;
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
        let mut standing = self.own_standing();
        standing.pinned = standing.pinned.max(staying);
        standing.used.partial = standing.used.partial.saturating_sub(coming);
        standing.used.announced = standing.used.announced.saturating_sub(coming);
        eviction::fits(&standing, size)
            && self.common_standing().is_none_or(|common| eviction::fits(&common, size))
    }

    /// As [`fits`](Self::fits), for a manifest: it may go beyond the limits a little.
    pub fn fits_manifest(&self, size: u64) -> bool {
        eviction::fits_manifest(&self.own_standing(), size)
            && self.common_standing().is_none_or(|common| eviction::fits_manifest(&common, size))
    }

    /// Takes room for a content of `size` bytes that is about to be stored, by the rule of
    /// [`fits`](Self::fits), or of [`fits_manifest`](Self::fits_manifest) for manifests.
    ///
    /// # Errors
    /// The limit that leaves no room.
    pub async fn take_room(&self, size: u64, are_manifests: bool) -> Result<Announced, NoRoom> {
        if self.room.is_at_rest()
            && let Ok(Some(space)) = self.store.space().await
        {
            self.room.renew_free(space.free);
        }
        let rule = if are_manifests { eviction::lack_for_manifest } else { eviction::lack };
        let own = rule(&self.own_standing(), size).map(|lack| NoRoom { lack, is_common: false });
        let common = || {
            let lack = rule(&self.common_standing()?, size)?;
            Some(NoRoom { lack, is_common: true })
        };
        own.or_else(common).map_or_else(|| Ok(self.announce(size)), Err)
    }

    fn own_standing(&self) -> Standing {
        let mut standing = self.room.standing(&self.store.usage());
        if !self.is_complete() {
            // wharf removes nothing yet, and the usage may be incomplete, so the disk decides.
            standing.free = None;
        }
        standing
    }

    fn common_standing(&self) -> Option<Standing> {
        let common = self.common.read().clone();
        common.map(|common| common.standing())
    }

    /// Whether the store was walked, so that all images are known.
    pub fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
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
