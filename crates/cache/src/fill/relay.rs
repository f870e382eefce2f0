//! The relay of bytes through memory after the store has failed: a bounded window that follows the readers.

use std::collections::VecDeque;
use std::time::Duration;

use budget::{Budget, Share};
use bytes::Bytes;
use oci::Hasher;

/// The largest size of one window, in bytes.
const WINDOW_BYTES_MAX: u64 = 8 << 20;

/// The size that one window may have however much memory other windows use, in bytes: with one reader it
/// needs no more. It is larger than the tail that readers keep back until the digest is verified.
const WINDOW_BYTES_MIN: u64 = 512 * 1024;

/// The total time for which one reader may delay the others. After that a full window moves on without it.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(10);

/// A chunk keeps its hash if at least this number of bytes came since the last kept one. Between kept hashes
/// the readers hash themselves, so that a window of many small chunks does not hold more hashes than bytes.
const HASHED_BYTES_MIN: usize = 4096;

/// The window. Its start moves only forward.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where the store failed: the bytes before are in its spool.
    origin: u64,
    /// The hash of the bytes before.
    origin_hash: Hasher,
    start: u64,
    end: u64,
    chunks: VecDeque<Chunk>,
    /// Bytes since the last kept hash.
    unhashed: usize,
    /// The memory that all windows of the process share.
    windows: Budget,
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    /// The hash of the blob up to this chunk's end.
    hash: Option<Box<Hasher>>,
    _share: Share,
}

/// The bytes of the window at a position.
pub(super) enum Found {
    /// These bytes, and the hash of the blob up to their end if it was kept.
    Bytes(Bytes, Option<Box<Hasher>>),
    /// None yet.
    Nothing,
    /// None any more: the window has moved on.
    Gone,
}

/// The state of a reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReaderState {
    /// `u64::MAX` once it needs no more bytes.
    pub(super) position: u64,
    /// The time for which others have waited for it so far.
    pub(super) held_up: Duration,
}

/// The fate of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Taken,
    /// The window is full. The readers at its beginning may delay the others for this time; `None`: they
    /// delay no other, and have no deadline.
    Full(Option<Duration>),
    /// No reader needs it.
    Unneeded,
}

impl Relay {
    /// An empty window at `start`, where the blob has this hash.
    pub(crate) fn new(start: u64, hash: Hasher, windows: Budget) -> Self {
        Self {
            origin: start,
            origin_hash: hash,
            start,
            end: start,
            chunks: VecDeque::new(),
            unhashed: 0,
            windows,
        }
    }

    /// Where the store failed.
    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    /// The hash of the blob up to where the store failed.
    pub(crate) fn origin_hash(&self) -> &Hasher {
        &self.origin_hash
    }

    pub(super) fn at(&self, position: u64) -> Found {
        if position < self.start {
            return Found::Gone;
        }
        let mut start = self.start;
        for chunk in &self.chunks {
            let end = start + chunk.bytes.len() as u64;
            if position < end {
                let offset = usize::try_from(position - start).expect("an offset into a chunk in memory");
                return Found::Bytes(chunk.bytes.slice(offset..), chunk.hash.clone());
            }
            start = end;
        }
        Found::Nothing
    }

    /// The first byte of the window that a reader at `position` needs; `None`: it was dropped already.
    pub(crate) fn needed_by(&self, position: u64) -> Option<u64> {
        let needed = position.max(self.origin);
        (needed >= self.start).then_some(needed)
    }

    /// Adds the next chunk, if there is room. `hash` is that of the blob up to the chunk's end. To make room,
    /// drops bytes that no reader needs, or only readers that have delayed the others for too long. A single
    /// reader needs only a small window, and delays no other.
    pub(super) fn push(
        &mut self,
        chunk: &Bytes,
        hash: &Hasher,
        readers: &[ReaderState],
        is_sized: bool,
    ) -> Pushed {
        loop {
            let needed = self.needed(readers);
            let Some(oldest) = needed.iter().map(|(needed, _)| *needed).min() else {
                return Pushed::Unneeded;
            };
            self.drop_before(oldest);
            // Of a blob with an unknown size, no reader serves a byte before its end.
            let is_alone = is_sized && needed.len() == 1;
            if let Some(share) = self.room_for(chunk.len() as u64, is_alone) {
                self.end += chunk.len() as u64;
                self.unhashed += chunk.len();
                let hash = (self.unhashed >= HASHED_BYTES_MIN).then(|| Box::new(hash.clone()));
                if hash.is_some() {
                    self.unhashed = 0;
                }
                self.chunks.push_back(Chunk { bytes: chunk.clone(), hash, _share: share });
                return Pushed::Taken;
            }
            // There is a chunk: an empty window has room.
            let first = self.start + self.chunks.front().map_or(0, |chunk| chunk.bytes.len() as u64);
            let holders = || needed.iter().filter(|(needed, _)| *needed < first);
            let left = holders().map(|(_, held_up)| DELAY_MAX.saturating_sub(*held_up)).max();
            if !is_alone && left.is_some_and(|left| left.is_zero()) {
                self.drop_before(first);
                continue;
            }
            let fastest = needed.iter().map(|(needed, _)| *needed).max().unwrap_or(oldest);
            let is_held_up = holders().any(|(needed, _)| self.is_behind(*needed, fastest, is_sized));
            return Pushed::Full(left.filter(|_| is_held_up && !is_alone));
        }
    }

    /// Which of the readers delay the others while the window is full: all that are far behind the fastest,
    /// so that they do not take turns.
    pub(super) fn laggards(&self, readers: &[ReaderState], is_sized: bool) -> Vec<bool> {
        let fastest = self.needed(readers).iter().map(|(needed, _)| *needed).max().unwrap_or(0);
        let is_behind = |needed| self.is_behind(needed, fastest, is_sized);
        readers.iter().map(|reader| self.needed_of(reader).is_some_and(is_behind)).collect()
    }

    /// Whether the reader that needs `needed` next is more than half of the window behind the fastest.
    /// Readers closer together than that count as equally fast. While the size is unknown, every reader
    /// counts as behind.
    fn is_behind(&self, needed: u64, fastest: u64, is_sized: bool) -> bool {
        !is_sized || fastest.saturating_sub(needed) > (self.end - self.start) / 2
    }

    /// For each reader that still needs the window: the position that it needs next, and how long it has
    /// delayed others.
    fn needed(&self, readers: &[ReaderState]) -> Vec<(u64, Duration)> {
        readers.iter().filter_map(|reader| Some((self.needed_of(reader)?, reader.held_up))).collect()
    }

    fn needed_of(&self, reader: &ReaderState) -> Option<u64> {
        self.needed_by(reader.position).filter(|needed| *needed != u64::MAX)
    }

    /// Whether a reader at `position` needs further bytes of the window.
    pub(super) fn is_needed_at(&self, position: u64) -> bool {
        self.needed_by(position).is_some_and(|needed| needed != u64::MAX)
    }

    fn room_for(&self, bytes: u64, is_alone: bool) -> Option<Share> {
        let length = self.end - self.start + bytes;
        if self.chunks.is_empty() || length <= WINDOW_BYTES_MIN {
            return Some(self.windows.overdraw(bytes));
        }
        if is_alone || length > WINDOW_BYTES_MAX { None } else { self.windows.take(bytes) }
    }

    /// Drops whole chunks that end at or before `position`.
    fn drop_before(&mut self, position: u64) {
        while let Some(chunk) = self.chunks.front() {
            let end = self.start + chunk.bytes.len() as u64;
            if end > position {
                break;
            }
            self.start = end;
            self.chunks.pop_front();
        }
    }
}
