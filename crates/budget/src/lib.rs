//! Memory budgets: bytes held in memory, counted against limits for the whole process.
//!
//! A limit for each answer is not enough: a few hundred clients that do not read add up. So every body takes
//! its bytes from a [`Budget`] first. They return when the last owner drops the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// The default bound on the memory of all bodies together, in bytes.
pub const BODY_BYTES_DEFAULT: u64 = 64 << 20;

/// The bound on the memory of all bodies together. Each sort has a quarter, so that none keeps another from
/// going on.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Manifests and tokens on their way from an upstream, and manifests that cannot be stored.
    pub documents: Budget,
    /// Pages of tags, of referrers and of the catalogue.
    pub lists: Budget,
    /// Blobs that pass through memory because a store failed.
    pub windows: Budget,
    /// Bytes of blobs that came from an upstream and wait for the disk.
    pub batches: Budget,
}

impl Memory {
    /// Makes a memory of at most `bytes_max` bytes for all sorts together.
    pub fn new(bytes_max: u64) -> Self {
        let quarter = || Budget::new(bytes_max / 4);
        Self { documents: quarter(), lists: quarter(), windows: quarter(), batches: quarter() }
    }

    /// Changes the bound on all sorts together.
    pub fn resize(&self, bytes_max: u64) {
        for budget in [&self.documents, &self.lists, &self.windows, &self.batches] {
            budget.resize(bytes_max / 4);
        }
    }

    /// Returns the bytes in use, by kind.
    pub fn taken(&self) -> [(&'static str, u64); 4] {
        [
            ("documents", self.documents.taken()),
            ("lists", self.lists.taken()),
            ("windows", self.windows.taken()),
            ("batches", self.batches.taken()),
        ]
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(BODY_BYTES_DEFAULT)
    }
}

/// A bound on bytes. Clones are the same budget.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    bytes_max: AtomicU64,
    taken: AtomicU64,
}

impl Budget {
    /// Makes a budget of `bytes_max` bytes, all of them free.
    pub fn new(bytes_max: u64) -> Self {
        Self(Arc::new(Account { bytes_max: AtomicU64::new(bytes_max), taken: AtomicU64::new(0) }))
    }

    /// Takes `bytes`, or returns `None` if fewer are free.
    pub fn take(&self, bytes: u64) -> Option<Share> {
        self.add(bytes).then(|| Share { budget: self.clone(), bytes })
    }

    /// Takes `bytes` even if fewer are free. Use it only for small amounts that a transfer needs to make
    /// progress.
    pub fn overdraw(&self, bytes: u64) -> Share {
        self.0.taken.fetch_add(bytes, Ordering::Relaxed);
        Share { budget: self.clone(), bytes }
    }

    /// Tells whether no byte is free.
    pub fn is_spent(&self) -> bool {
        self.taken() >= self.bytes_max()
    }

    /// Returns the bytes in use.
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Returns the size of the budget, in bytes.
    pub fn bytes_max(&self) -> u64 {
        self.0.bytes_max.load(Ordering::Relaxed)
    }

    /// Changes the size of the budget. Where more is taken than that, nothing is until enough came back.
    pub fn resize(&self, bytes_max: u64) {
        self.0.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) -> bool {
        let bytes_max = self.bytes_max();
        let add = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= bytes_max);
        self.0.taken.try_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes taken from a [`Budget`]. Dropping it returns them.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: u64,
}

impl Share {
    /// Returns the bytes of this share.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Grows the share to `bytes`. Returns false and changes nothing if too few are free.
    pub fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let is_taken = more == 0 || self.budget.add(more);
        if is_taken {
            self.bytes += more;
        }
        is_taken
    }

    /// Takes `bytes` more even if fewer are free. See [`Budget::overdraw`].
    pub fn overdraw(&mut self, bytes: u64) {
        self.budget.0.taken.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// Shrinks the share to `bytes` and returns the rest to the budget.
    pub fn shrink_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.budget.give_back(less);
        self.bytes -= less;
    }

    /// Ties the share to `bytes`. It returns to the budget when the last clone or slice of them is dropped.
    pub fn attach(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Counted { bytes, _share: self })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// Bytes that hold their share.
struct Counted {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
