//! Bytes in memory, counted against bounds that hold for all answers and transfers of the process together.
//!
//! Whatever is bounded for each answer alone adds up: a few hundred clients that do not read are enough. So what a
//! body takes of memory is taken out of a [`Budget`] first, and goes back when the last who holds it lets go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// What bodies may take of memory in all unless somebody says otherwise, in bytes.
pub const BODY_BYTES_DEFAULT: u64 = 64 << 20;

/// What bodies may take of memory in all: a quarter for each sort, so that none keeps another from going on.
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
    /// At most `bytes_max` for all sorts together.
    pub fn new(bytes_max: u64) -> Self {
        let quarter = || Budget::new(bytes_max / 4);
        Self { documents: quarter(), lists: quarter(), windows: quarter(), batches: quarter() }
    }

    /// What is taken now, by sort, in bytes.
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
    bytes_max: u64,
    taken: AtomicU64,
}

impl Budget {
    /// A budget of `bytes_max` bytes, of which nothing is taken.
    pub fn new(bytes_max: u64) -> Self {
        Self(Arc::new(Account { bytes_max, taken: AtomicU64::new(0) }))
    }

    /// Takes `bytes`, at once or not at all.
    pub fn take(&self, bytes: u64) -> Option<Share> {
        self.add(bytes).then(|| Share { budget: self.clone(), bytes })
    }

    /// Takes `bytes` although that may be more than there is: for the little without which nothing goes on.
    pub fn overdraw(&self, bytes: u64) -> Share {
        self.0.taken.fetch_add(bytes, Ordering::Relaxed);
        Share { budget: self.clone(), bytes }
    }

    /// Whether there is nothing left to take.
    pub fn is_spent(&self) -> bool {
        self.taken() >= self.0.bytes_max
    }

    /// How many bytes are taken now.
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// How many bytes there are in all.
    pub fn bytes_max(&self) -> u64 {
        self.0.bytes_max
    }

    fn add(&self, bytes: u64) -> bool {
        let add = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= self.0.bytes_max);
        self.0.taken.try_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A part of a [`Budget`]; its drop gives it back.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: u64,
}

impl Share {
    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes more until the share has `bytes`; false: there are not so many, and it has what it had.
    pub fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let is_taken = more == 0 || self.budget.add(more);
        if is_taken {
            self.bytes += more;
        }
        is_taken
    }

    /// Takes `bytes` more although that may be more than there is. See [`Budget::overdraw`].
    pub fn overdraw(&mut self, bytes: u64) {
        self.budget.0.taken.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }

    /// Gives back what is more than `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.budget.give_back(less);
        self.bytes -= less;
    }

    /// `bytes`, which have the share until the last clone and the last slice of them is dropped.
    pub fn attach(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Counted { bytes, _share: self })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// Bytes with what they take.
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
