//! The keeper of one store: it walks the store, keeps it to its limits, and writes the notes for the next
//! process.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Repository, Tag};
use parking_lot::RwLock;
use policy::eviction::{KEEP_USED, Limits, Reason, over_cap, sort_kept_tags};
use storage::Space;
use telemetry::Evicted;
use tokio::sync::Mutex;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clock::Seconds;
use crate::eviction::{Ended, Evictor, Freed, Orphaned, Removal, Unsynced};
use crate::failure::Failure;
use crate::images::Slot;
use crate::inventory::Inventory;
use crate::repositories::Number;
use crate::walk;

/// The note of last uses is written so often, if something changed. So old are the uses that a crash loses.
const NOTE_EVERY: Duration = Duration::from_secs(600);

/// It is written so often even if nothing changed. After a crash, the time since it counts as a pause.
const NOTE_AT_LEAST_EVERY: Duration = Duration::from_secs(6 * 3600);

/// The rules about unused images and about tags are looked at so often.
const RULES_EVERY: Duration = Duration::from_secs(600);

/// Without a reason to look, the room is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Two looks are at least so far apart, however many blobs come.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// After a walk that failed, the next one begins after this time, and after twice as long each time, up to
/// the maximum.
const WALK_PAUSE: Duration = Duration::from_secs(10);
const WALK_PAUSE_MAX: Duration = Duration::from_secs(600);

/// After a run that the store made fail, nothing is removed for this time.
const FAILURE_PAUSE: Duration = Duration::from_secs(30);

/// Manifests that are looked at in one turn.
const PAGE_COUNT: usize = 1024;

/// The keeper of one store.
#[derive(Debug)]
pub struct Keeper {
    inventory: Arc<Inventory>,
    limits: RwLock<Arc<Limits>>,
    /// One run at a time removes images of the store.
    turn: Mutex<Unsynced>,
    /// Ends runs at shutdown.
    cancel: RwLock<CancellationToken>,
}

impl Keeper {
    /// The keeper of a store.
    pub fn new(inventory: Arc<Inventory>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            inventory,
            limits: RwLock::new(Arc::new(limits)),
            turn: Mutex::new(Unsynced::default()),
            cancel: RwLock::default(),
        })
    }

    /// The store's inventory.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// Replaces the limits, as a reload does. The next look keeps to them.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.write() = Arc::new(limits);
        self.inventory.room.wake.notify_one();
    }

    /// Walks the store, then keeps it to its limits until `cancel`. Writes the last uses before it returns.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        *self.cancel.write() = cancel.clone();
        if cancel.run_until_cancelled(self.learn()).await.is_none() {
            return;
        }
        let mut due = Due::new();
        // A look that has begun ends after its batch, whose removals are to become durable.
        while !cancel.is_cancelled() {
            due.look = Instant::now() + LOOK_EVERY;
            self.look(&mut due).await;
            tokio::select! {
                () = cancel.cancelled() => break,
                () = time::sleep_until(due.look.min(due.note).min(due.rules)) => {}
                () = self.woken(due.earliest) => {}
            }
        }
        walk::write_uses(&self.inventory, true).await;
    }

    /// Walks the store once, for a program that does not [`run`](Self::run) the keeper.
    ///
    /// # Errors
    /// The first failure of the store. Another walk continues where this one failed.
    pub async fn walk(&self) -> Result<(), Failure> {
        walk::walk(&self.inventory).await?;
        self.turn.lock().await.read(&self.inventory).await;
        Ok(())
    }

    /// Walks the store until that has succeeded.
    async fn learn(&self) {
        let mut pause = WALK_PAUSE;
        while let Err(error) = self.walk().await {
            self.inventory
                .failed(&error, "not all stored images are known, so none is removed; trying again");
            time::sleep(pause).await;
            pause = (pause * 2).min(WALK_PAUSE_MAX);
        }
    }

    async fn woken(&self, earliest: Instant) {
        self.inventory.room.wake.notified().await;
        time::sleep_until(earliest).await;
    }

    async fn look(&self, due: &mut Due) {
        let now = Instant::now();
        due.earliest = now + LOOK_PAUSE;
        if now >= due.note {
            due.note = now + NOTE_EVERY;
            let is_due = now >= due.unchanged_note;
            if walk::write_uses(&self.inventory, is_due).await {
                due.unchanged_note = now + NOTE_AT_LEAST_EVERY;
            }
        }
        walk::log_course(&self.inventory, self.inventory.clock().follow());
        if now >= due.rules {
            due.rules = now + RULES_EVERY;
            self.keep_to_rules().await;
            due.pins = None;
        }
        let pins = self.inventory.pins().map(|list| list.generation);
        if due.pins != Some(pins) {
            due.pins = Some(pins);
            self.inventory.room.set_pinned(self.inventory.pinned_bytes().await);
        }
        self.inventory.bound_loose_lists().await;
        if self.keep_to_cap().await == Some(Ended::Failed) {
            due.earliest = now + FAILURE_PAUSE;
        }
    }

    /// Removes images until at least `bytes` are free that were not, or nothing more may go.
    pub async fn make_room(&self, bytes: u64, reason: Reason) -> Freed {
        self.make_room_of(bytes, reason, Duration::ZERO).await.0
    }

    /// Like [`make_room`](Self::make_room), but removes nothing that was used within `unused_min`.
    pub(crate) async fn make_room_of(
        &self,
        bytes: u64,
        reason: Reason,
        unused_min: Duration,
    ) -> (Freed, Ended) {
        if !self.may_remove() {
            return (Freed::default(), Ended::Nothing);
        }
        let limits = Arc::clone(&self.limits.read());
        let until = self.inventory.unused_for(unused_min.max(KEEP_USED));
        let mut unsynced = self.turn.lock().await;
        let mut evictor = self.evictor(&limits, &mut unsynced, reason);
        let (freed, ended) = evictor.run(bytes, until).await;
        self.count(reason, freed);
        (freed, ended)
    }

    /// The time for which the least recently used image or orphan that may go was not used. The clocks of
    /// two stores have nothing in common, so this is how they compare.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        if !self.may_remove() {
            return None;
        }
        let used = self.inventory.oldest(self.inventory.unused_for(KEEP_USED))?;
        Some(self.inventory.unused(used))
    }

    fn may_remove(&self) -> bool {
        self.inventory.is_complete() && self.inventory.pins().is_some()
    }

    fn evictor<'a>(&'a self, limits: &'a Limits, unsynced: &'a mut Unsynced, reason: Reason) -> Evictor<'a> {
        let (spared, cancel) = (Arc::default(), self.cancel.read().clone());
        let unused_min = Duration::ZERO;
        Evictor { inventory: &self.inventory, limits, unsynced, reason, spared, unused_min, cancel }
    }

    /// Removes one image, if it may go. `spared` has manifests whose images stay; an image that was used
    /// within `unused_min` stays too.
    pub(crate) async fn remove(
        &self,
        repository: &Repository,
        digest: &Digest,
        reason: Reason,
        spared: Arc<HashSet<Slot>>,
        unused_min: Duration,
    ) -> Result<Removal, Failure> {
        let limits = Arc::clone(&self.limits.read());
        let mut unsynced = self.turn.lock().await;
        let evictor = self.evictor(&limits, &mut unsynced, reason);
        let removed = Evictor { spared, unused_min, ..evictor }.remove(repository, digest).await;
        if let Ok(Removal::Removed(freed, _)) = &removed {
            self.count(reason, *freed);
        }
        removed
    }

    /// Removes blobs that no manifest names, or only looks for them.
    ///
    /// # Errors
    /// The store cannot be searched.
    pub(crate) async fn remove_orphans(&self, is_dry_run: bool) -> Result<Orphaned, Failure> {
        let limits = Arc::clone(&self.limits.read());
        let mut unsynced = self.turn.lock().await;
        let mut evictor = self.evictor(&limits, &mut unsynced, Reason::Purge);
        let removed = evictor.remove_orphans(is_dry_run).await?;
        self.count(Reason::Purge, removed.freed);
        Ok(removed)
    }

    fn count(&self, reason: Reason, freed: Freed) {
        if freed == Freed::default() {
            return;
        }
        let why = match reason {
            Reason::Cap => Evicted::Cap,
            Reason::FreeSpace => Evicted::FreeSpace,
            Reason::Unused => Evicted::Unused,
            Reason::KeepTags => Evicted::KeepTags,
            Reason::Purge => Evicted::Purge,
        };
        self.inventory.metrics().evicted(why, freed.images, freed.bytes);
        let (registry, images, bytes) = (self.inventory.name(), freed.images, freed.bytes);
        info!(registry, reason = why.as_str(), images, bytes, "images were removed");
    }

    /// Removes images until the store is below its own cap. `None`: it has no cap.
    async fn keep_to_cap(&self) -> Option<Ended> {
        let cap = self.limits.read().max;
        let space = match cap {
            Some(_) => self.space().await,
            None => None,
        };
        let cap = cap.and_then(|cap| cap.bytes(space.map(|space| space.total)));
        self.inventory.room.set_cap(cap);
        let Some(cap) = cap else {
            self.inventory.room.set_exhausted(false);
            return None;
        };
        let wanted = over_cap(self.inventory.used().total(), cap);
        let wanted = wanted.saturating_sub(self.remove_before_images(wanted).await);
        let (freed, mut ended) = self.make_room_of(wanted, Reason::Cap, Duration::ZERO).await;
        if ended == Ended::Nothing {
            let wanted = wanted.saturating_sub(freed.bytes);
            ended = if self.remove_damaged(wanted, 0).await >= wanted { Ended::Enough } else { ended };
        }
        self.inventory.room.set_exhausted(ended != Ended::Enough || self.oldest().is_none());
        Some(ended)
    }

    /// Learns the cap, for a store that no keeper runs for: nothing goes from then on. Returns the file
    /// system's size and free bytes.
    pub(crate) async fn measure(&self) -> Option<Space> {
        let space = self.space().await;
        let cap = self.limits.read().max;
        self.inventory.room.set_cap(cap.and_then(|cap| cap.bytes(space.map(|space| space.total))));
        self.inventory.room.set_at_rest();
        space
    }

    /// The file system's size and free bytes; `None`: they are not known.
    pub async fn space(&self) -> Option<Space> {
        self.inventory.store().space().await.unwrap_or_else(|error| {
            self.inventory.failed(&error.into(), "the file system's size cannot be looked up");
            None
        })
    }

    async fn keep_to_rules(&self) {
        let limits = Arc::clone(&self.limits.read());
        if let Some(unused_for) = limits.unused_for.filter(|_| !self.inventory.clock().is_at_rest()) {
            self.make_room_of(u64::MAX, Reason::Unused, unused_for).await;
            self.remove_loose_lists(u64::MAX, self.inventory.unused_for(unused_for)).await;
        }
        if let Some(keep_tags) = limits.keep_tags.filter(|_| self.may_remove()) {
            let (surplus, kept) = self.surplus(keep_tags);
            let kept = Arc::new(kept);
            for (repository, digest) in surplus {
                let kept = Arc::clone(&kept);
                let removed = self.remove(&repository, &digest, Reason::KeepTags, kept, Duration::ZERO).await;
                if let Err(error) = removed {
                    self.inventory.failed(&error, "an image cannot be removed");
                    break;
                }
            }
        }
    }

    /// The images that only surplus tags name, and the manifests that a kept tag names.
    fn surplus(&self, keep_tags: u32) -> (Vec<(Repository, Digest)>, HashSet<Slot>) {
        let mut tagged: Vec<(Number, Seconds, Tag, Slot)> = Vec::new();
        let mut from = Some(0);
        while let Some(at) = from {
            let images = self.inventory.model.images.read();
            let (rows, next) = images.rows(at, PAGE_COUNT);
            for row in rows {
                let tags = images.tags_of(row.slot).into_iter();
                tagged.extend(tags.map(|tag| (row.number, row.used, tag, row.slot)));
            }
            from = next;
        }
        tagged.sort_unstable_by_key(|(number, ..)| *number);
        let (mut kept, mut given_up) = (HashSet::new(), HashSet::new());
        for of_repository in tagged.chunk_by_mut(|one, other| one.0 == other.0) {
            let mut tags: Vec<_> =
                of_repository.iter().map(|(_, used, tag, slot)| (*used, (tag, *slot))).collect();
            let kept_count = sort_kept_tags(&mut tags, keep_tags);
            kept.extend(tags[..kept_count].iter().map(|(_, (_, slot))| *slot));
            given_up.extend(tags[kept_count..].iter().map(|(_, (_, slot))| *slot));
        }
        let images = self.inventory.model.images.read();
        let surplus = given_up.difference(&kept).filter_map(|slot| images.row(*slot));
        (surplus.map(|row| (row.repository, row.digest)).collect(), kept)
    }
}

/// The times of the next tasks.
#[derive(Debug)]
struct Due {
    look: Instant,
    /// No look before.
    earliest: Instant,
    note: Instant,
    unchanged_note: Instant,
    rules: Instant,
    /// The generation of the pins whose bytes were summed up; `None`: that is to be done again.
    pins: Option<Option<u64>>,
}

impl Due {
    fn new() -> Self {
        let now = Instant::now();
        let (note, unchanged_note) = (now + NOTE_EVERY, now + NOTE_AT_LEAST_EVERY);
        Self { look: now, earliest: now, note, unchanged_note, rules: now, pins: None }
    }
}
