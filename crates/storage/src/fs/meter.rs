//! The size of a store's content, updated with every change.
//!
//! Each directory has a lock, under which files are added and removed, and under which it is counted. So each
//! file is counted once, whether it was added before its directory was counted or after. Reads take no such
//! lock.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::counted::{Counted, Kind};
use crate::usage::{Held, Usage};

/// The figures of one store.
#[derive(Debug)]
pub(crate) struct Meter {
    /// The files of each directory; `None`: it is not counted yet, so its changes do not matter.
    directories: Box<[Mutex<Option<Held>>]>,
    uncounted_count: AtomicUsize,
    blobs: Sum,
    manifests: Sum,
    quarantine: Sum,
    partial: Sum,
    /// Whether the partial files of earlier processes are counted.
    are_leftovers_counted: AtomicBool,
}

/// One of the figures. Its two numbers are not read atomically.
#[derive(Debug, Default)]
struct Sum {
    bytes: AtomicU64,
    count: AtomicU64,
}

/// A directory that is locked against changes and counts by others.
pub(super) struct Locked<'a> {
    sum: &'a Sum,
    uncounted_count: &'a AtomicUsize,
    held: MutexGuard<'a, Option<Held>>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            directories: (0..Counted::COUNT).map(|_| Mutex::default()).collect(),
            uncounted_count: AtomicUsize::new(Counted::COUNT),
            blobs: Sum::default(),
            manifests: Sum::default(),
            quarantine: Sum::default(),
            partial: Sum::default(),
            are_leftovers_counted: AtomicBool::new(false),
        }
    }
}

impl Meter {
    pub(super) fn usage(&self) -> Usage {
        let is_counting = self.uncounted_count.load(Ordering::Acquire) > 0
            || !self.are_leftovers_counted.load(Ordering::Acquire);
        Usage {
            blobs: self.blobs.held(),
            manifests: self.manifests.held(),
            partial: self.partial.held(),
            quarantine: self.quarantine.held(),
            is_counting,
        }
    }

    /// Locks a directory. A caller that needs two locks the lower number first.
    pub(super) fn lock(&self, counted: Counted) -> Locked<'_> {
        let sum = match counted.kind() {
            Kind::Blob => &self.blobs,
            Kind::Manifest => &self.manifests,
            Kind::Damaged => &self.quarantine,
        };
        let held = self.directories[counted.number()].lock();
        Locked { sum, uncounted_count: &self.uncounted_count, held }
    }

    /// Counts a partial file of `len` bytes: one of an earlier process, before the store is used, or a new
    /// one.
    pub(super) fn partial_added(&self, len: u64) {
        self.partial.add(len);
    }

    /// Notes the new length of a counted partial file.
    pub(super) fn partial_resized(&self, from: u64, to: u64) {
        if to >= from {
            self.partial.bytes.fetch_add(to - from, Ordering::Relaxed);
        } else {
            lower(&self.partial.bytes, from - to);
        }
    }

    /// Notes that a partial file of `len` bytes was removed or renamed.
    pub(super) fn partial_removed(&self, len: u64) {
        self.partial.remove(len);
    }

    /// Notes that the partial files of earlier processes are counted.
    pub(super) fn leftovers_are_counted(&self) {
        self.are_leftovers_counted.store(true, Ordering::Release);
    }
}

impl Locked<'_> {
    /// Notes a new file of `len` bytes.
    pub(super) fn add(&mut self, len: u64) {
        if let Some(held) = &mut *self.held {
            held.bytes += len;
            held.count += 1;
            self.sum.add(len);
        }
    }

    /// Notes the removal of a file of `len` bytes.
    pub(super) fn remove(&mut self, len: u64) {
        if let Some(held) = &mut *self.held {
            // Another program may have put the file there since the directory was counted.
            let removed = Held { bytes: held.bytes.min(len), count: held.count.min(1) };
            held.bytes -= removed.bytes;
            held.count -= removed.count;
            lower(&self.sum.bytes, removed.bytes);
            lower(&self.sum.count, removed.count);
        }
    }

    /// Notes the result of counting the directory.
    pub(super) fn set(&mut self, now: Held) {
        let before = self.held.replace(now);
        let Held { bytes, count } = before.unwrap_or_default();
        self.sum.bytes.fetch_add(now.bytes.wrapping_sub(bytes), Ordering::Relaxed);
        self.sum.count.fetch_add(now.count.wrapping_sub(count), Ordering::Relaxed);
        if before.is_none() {
            self.uncounted_count.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Sum {
    fn held(&self) -> Held {
        Held { bytes: self.bytes.load(Ordering::Relaxed), count: self.count.load(Ordering::Relaxed) }
    }

    fn add(&self, len: u64) {
        self.bytes.fetch_add(len, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self, len: u64) {
        lower(&self.bytes, len);
        lower(&self.count, 1);
    }
}

/// Changes by other programs can make a figure wrong, but never negative.
fn lower(figure: &AtomicU64, by: u64) {
    let lowered = |now: u64| Some(now.saturating_sub(by));
    // The closure always returns a number.
    let _ = figure.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lowered);
}
