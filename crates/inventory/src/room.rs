//! The room of a store against its limits, as far as it is known without I/O, and the blobs that are on their
//! way.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use policy::eviction::{Lack, Standing, Used};
use storage::{Held, Store, Usage};
use tokio::sync::Notify;

use crate::lists::Lists;

/// Stands for a limit or a size that is not known.
const UNKNOWN: u64 = u64::MAX;

/// The limits, and the room below them as far as it is known.
#[derive(Debug)]
pub(crate) struct Room {
    announced: AtomicU64,
    cap: AtomicU64,
    pinned: AtomicU64,
    free: AtomicU64,
    floor: AtomicU64,
    is_exhausted: AtomicBool,
    is_floor_exhausted: AtomicBool,
    is_at_rest: AtomicBool,
    lists: Arc<Mutex<Lists>>,
    /// Rung when it is time to look whether anything has to go.
    pub(crate) wake: Notify,
}

impl Room {
    pub(crate) fn new(lists: Arc<Mutex<Lists>>) -> Self {
        Self {
            lists,
            announced: AtomicU64::new(0),
            cap: AtomicU64::new(UNKNOWN),
            pinned: AtomicU64::new(0),
            free: AtomicU64::new(UNKNOWN),
            floor: AtomicU64::new(0),
            is_exhausted: AtomicBool::new(false),
            is_floor_exhausted: AtomicBool::new(false),
            is_at_rest: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    pub(crate) fn set_cap(&self, cap: Option<u64>) {
        self.cap.store(cap.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    pub(crate) fn cap(&self) -> Option<u64> {
        known(&self.cap)
    }

    pub(crate) fn set_pinned(&self, bytes: u64) {
        self.pinned.store(bytes, Ordering::Relaxed);
    }

    /// The file system's free bytes, and how many of them have to stay free.
    pub(crate) fn set_free(&self, free: Option<u64>, floor: u64) {
        self.free.store(free.unwrap_or(UNKNOWN), Ordering::Relaxed);
        self.floor.store(floor, Ordering::Relaxed);
    }

    /// Whether nothing more can go for now, whether the store is over its cap or not.
    pub(crate) fn set_exhausted(&self, is_exhausted: bool) {
        self.is_exhausted.store(is_exhausted, Ordering::Relaxed);
    }

    /// The same for the file system of the store: too little is free, or nothing more can go.
    pub(crate) fn set_floor_exhausted(&self, is_exhausted: bool) {
        self.is_floor_exhausted.store(is_exhausted, Ordering::Relaxed);
    }

    /// No keeper runs, so nothing goes.
    pub(crate) fn set_at_rest(&self) {
        self.is_at_rest.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_at_rest.load(Ordering::Relaxed)
    }

    /// The file system's free bytes were looked up again, by a program that has no keeper.
    pub(crate) fn renew_free(&self, free: u64) {
        if known(&self.free).is_some() {
            self.free.store(free, Ordering::Relaxed);
        }
    }

    /// The store's usage, with lists and announced blobs.
    pub(crate) fn used(&self, usage: &Usage) -> Used {
        let Held { bytes: manifests, .. } = usage.manifests;
        let (loose, bound) = {
            let lists = self.lists.lock();
            (lists.loose().bytes, lists.bound().bytes)
        };
        Used {
            held: usage.blobs.bytes.saturating_add(manifests).saturating_add(bound),
            lists: loose,
            partial: usage.partial.bytes,
            quarantine: usage.quarantine.bytes,
            announced: self.announced.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn standing(&self, usage: &Usage) -> Standing {
        Standing {
            used: self.used(usage),
            pinned: self.pinned.load(Ordering::Relaxed),
            is_exhausted: self.is_exhausted.load(Ordering::Relaxed)
                || self.is_floor_exhausted.load(Ordering::Relaxed),
            is_at_rest: self.is_at_rest(),
            cap: self.cap(),
            free: known(&self.free).map(|free| (free, self.floor.load(Ordering::Relaxed))),
        }
    }
}

/// A store with its own room.
pub(crate) type Share = (Arc<Room>, Weak<dyn Store>);

/// The room below the limit of all stores together.
#[derive(Debug)]
pub(crate) struct CommonRoom {
    cap: AtomicU64,
    is_exhausted: AtomicBool,
    stores: RwLock<Vec<Share>>,
    /// Rung when it is time to look whether anything has to go.
    pub(crate) wake: Notify,
}

impl CommonRoom {
    pub(crate) fn new() -> Self {
        Self {
            cap: AtomicU64::new(UNKNOWN),
            is_exhausted: AtomicBool::new(false),
            stores: RwLock::default(),
            wake: Notify::new(),
        }
    }

    /// Replaces the stores.
    pub(crate) fn set_stores(&self, stores: Vec<Share>) {
        *self.stores.write() = stores;
    }

    /// The limit, and whether nothing more can go for now.
    pub(crate) fn set(&self, cap: Option<u64>, is_exhausted: bool) {
        self.cap.store(cap.unwrap_or(UNKNOWN), Ordering::Relaxed);
        self.is_exhausted.store(is_exhausted, Ordering::Relaxed);
    }

    pub(crate) fn cap(&self) -> Option<u64> {
        known(&self.cap)
    }

    /// The standing of all stores together.
    pub(crate) fn standing(&self) -> Standing {
        let mut standing = Standing {
            is_exhausted: self.is_exhausted.load(Ordering::Relaxed),
            cap: known(&self.cap),
            ..Standing::default()
        };
        for (room, store) in &*self.stores.read() {
            let Some(store) = store.upgrade() else { continue };
            let one = room.standing(&store.usage());
            standing.used = standing.used.and(&one.used);
            standing.pinned = standing.pinned.saturating_add(one.pinned);
            standing.is_at_rest |= one.is_at_rest;
        }
        standing
    }
}

/// The limit that leaves no room in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    pub(crate) lack: Lack,
    /// Whether it is a limit of all stores together.
    pub(crate) is_common: bool,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lack {
            Lack::Cap(cap) if self.is_common => {
                write!(f, "`max_size` of `[storage]` is {cap} bytes for all stores together")
            }
            Lack::Cap(cap) => write!(f, "`max_size` of the registry is {cap} bytes"),
            Lack::Floor { free, floor } => write!(
                f,
                "`free_min` keeps {floor} bytes of the file system free, and {free} bytes are free now"
            ),
        }
    }
}

/// The size of a blob that is on its way into the store. It counts as used until this is dropped.
#[derive(Debug)]
pub struct Announced {
    room: Arc<Room>,
    size: u64,
}

impl Announced {
    pub(crate) fn new(room: Arc<Room>, size: u64) -> Self {
        // Sizes are claims of an upstream: two of them together may exceed what a number holds.
        let size = size.min(UNKNOWN / 1024);
        room.announced.fetch_add(size, Ordering::Relaxed);
        Self { room, size }
    }
}

impl Announced {
    /// The announced size in bytes.
    pub fn bytes(&self) -> u64 {
        self.size
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.room.announced.fetch_sub(self.size, Ordering::Relaxed);
    }
}

fn known(value: &AtomicU64) -> Option<u64> {
    Some(value.load(Ordering::Relaxed)).filter(|value| *value != UNKNOWN)
}
