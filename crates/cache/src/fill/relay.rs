//! Bytes that pass through memory because the store failed: a bounded window that follows the readers.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Available;

/// What the window holds at the most, in bytes.
pub(crate) const WINDOW_BYTES_MAX: u64 = 8 << 20;

/// The window. Its start moves only forward.
#[derive(Debug)]
pub(crate) struct Relay {
    start: u64,
    end: u64,
    chunks: VecDeque<Bytes>,
}

impl Relay {
    /// An empty window at `start`.
    pub(crate) fn new(start: u64) -> Self {
        Self { start, end: start, chunks: VecDeque::new() }
    }

    pub(crate) fn available(&self, position: u64) -> Available {
        if position < self.start {
            return Available::Gone;
        }
        let mut start = self.start;
        for chunk in &self.chunks {
            let end = start + chunk.len() as u64;
            if position < end {
                let offset = usize::try_from(position - start).expect("an offset into a chunk in memory");
                return Available::Relayed(chunk.slice(offset..));
            }
            start = end;
        }
        Available::Nothing
    }

    /// Takes in the next chunk if there is room, after dropping what lies before `oldest_needed`.
    pub(crate) fn push(&mut self, chunk: &Bytes, oldest_needed: u64) -> bool {
        self.drop_before(oldest_needed);
        let is_full = self.end - self.start + chunk.len() as u64 > WINDOW_BYTES_MAX;
        if is_full && !self.chunks.is_empty() {
            return false;
        }
        self.end += chunk.len() as u64;
        self.chunks.push_back(chunk.clone());
        true
    }

    /// Drops whole chunks that end at or before `position`.
    fn drop_before(&mut self, position: u64) {
        while let Some(chunk) = self.chunks.front() {
            let end = self.start + chunk.len() as u64;
            if end > position {
                break;
            }
            self.start = end;
            self.chunks.pop_front();
        }
    }
}
