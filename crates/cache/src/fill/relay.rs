//! Bytes that pass through memory because the store failed: a bounded window that follows the readers.

use std::collections::VecDeque;

use budget::{Budget, Share};
use bytes::Bytes;

use super::Available;

/// What the window holds at the most, in bytes.
const WINDOW_BYTES_MAX: u64 = 8 << 20;

/// What it may hold whatever other windows take, in bytes: with one reader it needs no more. It is larger than what
/// readers leave to the end until the digest is right.
const WINDOW_BYTES_MIN: u64 = 512 * 1024;

/// The window. Its start moves only forward.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where the store failed: what comes before is in its spool.
    origin: u64,
    start: u64,
    end: u64,
    chunks: VecDeque<Chunk>,
    /// What all windows of the process may take of memory.
    windows: Budget,
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    _share: Share,
}

impl Relay {
    /// An empty window at `start`.
    pub(crate) fn new(start: u64, windows: Budget) -> Self {
        Self { origin: start, start, end: start, chunks: VecDeque::new(), windows }
    }

    /// Where the store failed.
    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    pub(crate) fn available(&self, position: u64) -> Available {
        if position < self.start {
            return Available::Gone;
        }
        let mut start = self.start;
        for chunk in &self.chunks {
            let end = start + chunk.bytes.len() as u64;
            if position < end {
                let offset = usize::try_from(position - start).expect("an offset into a chunk in memory");
                return Available::Relayed(chunk.bytes.slice(offset..));
            }
            start = end;
        }
        Available::Nothing
    }

    /// The first byte that a reader at `position` will need of the window; `None` when that has passed.
    pub(crate) fn needed_by(&self, position: u64) -> Option<u64> {
        let needed = position.max(self.origin);
        (needed >= self.start).then_some(needed)
    }

    /// Takes in the next chunk if there is room, after dropping what lies before `oldest_needed`. With `may_drop`, room is
    /// made at the beginning. A reader who `is_alone` needs only a little of it.
    pub(crate) fn push(&mut self, chunk: &Bytes, oldest_needed: u64, may_drop: bool, is_alone: bool) -> bool {
        self.drop_before(oldest_needed);
        loop {
            if let Some(share) = self.room_for(chunk.len() as u64, is_alone) {
                self.end += chunk.len() as u64;
                self.chunks.push_back(Chunk { bytes: chunk.clone(), _share: share });
                return true;
            }
            match self.chunks.front() {
                Some(oldest) if may_drop => self.drop_before(self.start + oldest.bytes.len() as u64),
                _ => return false,
            }
        }
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
