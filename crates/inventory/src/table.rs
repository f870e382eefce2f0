//! A table of contents by eight bytes of their digests: how many manifests name each, whether the store holds
//! it, and when it was last used. An entry takes 16 bytes.

use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;

use crate::clock::Seconds;

/// A use is noted only if the last one is older than this: uses come by the thousand, and eviction thinks in
/// minutes.
pub(crate) const GRAIN_SECONDS: u32 = 5;

/// Set in `count` while the store holds the content.
const HELD: u32 = 1 << 31;

#[derive(Debug)]
struct Entry {
    key: u64,
    count: u32,
    used: AtomicU32,
}

/// A content, as the table knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// How many manifests name it.
    pub(crate) count: u32,
    pub(crate) is_held: bool,
    /// The last use; 0: not known.
    pub(crate) used: Seconds,
}

impl Known {
    /// Tells whether the store holds the content and no manifest names it.
    pub(crate) fn is_orphan(&self) -> bool {
        self.is_held && self.count == 0
    }
}

/// The table: sorted pieces that are searched by halves. A sorted piece wastes no bytes, and inserting moves
/// a few thousand entries at the most.
#[derive(Debug)]
pub(crate) struct Table(Box<[RwLock<Vec<Entry>>]>);

impl Table {
    /// An empty table in so many pieces, a power of two up to 256.
    pub(crate) fn new(piece_count: usize) -> Self {
        debug_assert!(piece_count.is_power_of_two() && piece_count <= 256);
        Self((0..piece_count).map(|_| RwLock::default()).collect())
    }

    /// One more manifest names the content.
    pub(crate) fn name(&self, key: u64) {
        self.change(key, |entry| entry.count += 1);
    }

    /// One manifest less names the content. Returns the new entry.
    pub(crate) fn unname(&self, key: u64) -> Known {
        self.change(key, |entry| {
            if entry.count & !HELD > 0 {
                entry.count -= 1;
            }
        })
    }

    /// The store holds the content, which was used at `used`. Returns the new entry.
    pub(crate) fn hold(&self, key: u64, used: Seconds) -> Known {
        self.change(key, |entry| {
            entry.count |= HELD;
            let last = entry.used.get_mut();
            *last = used.max(*last);
        })
    }

    /// The store does not hold the content any more. Returns the new entry.
    pub(crate) fn release(&self, key: u64) -> Known {
        self.change(key, |entry| {
            entry.count &= !HELD;
            // When it comes back, it comes with its time.
            *entry.used.get_mut() = 0;
        })
    }

    /// Notes a use. Returns whether that changed anything.
    pub(crate) fn touch(&self, key: u64, now: Seconds) -> bool {
        let piece = self.piece(key).read();
        let Ok(at) = position(&piece, key) else { return false };
        note_use(&piece[at].used, now)
    }

    /// Returns the entry of a content.
    pub(crate) fn get(&self, key: u64) -> Known {
        let piece = self.piece(key).read();
        position(&piece, key).map(|at| piece[at].known()).unwrap_or_default()
    }

    /// How many pieces there are, for [`uses`](Self::uses).
    pub(crate) fn piece_count(&self) -> usize {
        self.0.len()
    }

    /// The contents of a piece that the store holds, with their last uses.
    pub(crate) fn uses(&self, piece: usize) -> Vec<(u64, Seconds)> {
        let piece = self.0[piece].read();
        let held = piece.iter().map(|entry| (entry.key, entry.known())).filter(|(_, known)| known.is_held);
        held.map(|(key, known)| (key, known.used)).collect()
    }

    /// The memory that the table takes, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let entries: usize = self.0.iter().map(|piece| piece.read().capacity() * size_of::<Entry>()).sum();
        entries + size_of_val(&*self.0)
    }

    fn piece(&self, key: u64) -> &RwLock<Vec<Entry>> {
        &self.0[(key >> 56) as usize & (self.0.len() - 1)]
    }

    /// Changes an entry, which is made if it is missing and dropped if it says nothing any more.
    fn change(&self, key: u64, change: impl FnOnce(&mut Entry)) -> Known {
        let mut piece = self.piece(key).write();
        match position(&piece, key) {
            Ok(at) => {
                change(&mut piece[at]);
                let known = piece[at].known();
                if known.count == 0 && !known.is_held {
                    piece.remove(at);
                    shrink(&mut piece);
                }
                known
            }
            Err(at) => {
                let mut entry = Entry { key, count: 0, used: AtomicU32::new(0) };
                change(&mut entry);
                let known = entry.known();
                if known.count > 0 || known.is_held {
                    grow(&mut piece);
                    piece.insert(at, entry);
                }
                known
            }
        }
    }
}

impl Entry {
    fn known(&self) -> Known {
        Known {
            count: self.count & !HELD,
            is_held: self.count & HELD != 0,
            used: self.used.load(Ordering::Relaxed),
        }
    }
}

/// Notes a use, if the last one is older than the grain. Returns whether it was.
pub(crate) fn note_use(used: &AtomicU32, now: Seconds) -> bool {
    let is_news = now >= used.load(Ordering::Relaxed).saturating_add(GRAIN_SECONDS);
    if is_news {
        used.store(now, Ordering::Relaxed);
    }
    is_news
}

/// Makes room for one more. Doubling would leave a quarter of the memory unused.
pub(crate) fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 16).max(4));
    }
}

fn shrink(piece: &mut Vec<Entry>) {
    if piece.capacity() > 64 && piece.len() < piece.capacity() / 2 {
        let entries = mem::take(piece);
        piece.reserve_exact(entries.len() + entries.len() / 16);
        piece.extend(entries);
    }
}

fn position(piece: &[Entry], key: u64) -> Result<usize, usize> {
    piece.binary_search_by_key(&key, |entry| entry.key)
}

#[cfg(test)]
mod tests;
