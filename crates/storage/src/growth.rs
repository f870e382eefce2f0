//! The written ranges of growing content, shared by its writers and its readers.
//!
//! No byte is written twice: writers claim missing ranges and write only those. So neither a second transfer
//! with different bytes nor a late writer can change bytes that were hashed or read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::ByteRange;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::extents::Extents;

/// The progress of one spool.
#[derive(Debug)]
pub(crate) struct Growth {
    /// The length of the contiguous beginning, within which readers need no lock.
    watermark: AtomicU64,
    state: Mutex<State>,
    /// Notified when a claim ends.
    settled: Condvar,
}

#[derive(Debug)]
struct State {
    size: Option<u64>,
    written: Extents,
    in_flight: Vec<ByteRange>,
    is_scattered: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Writing,
    /// Deleted, or left for a later process.
    Closed,
    /// Complete: no byte changes any more.
    Finished,
}

/// The reason why bytes or a size are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Closed,
    Size,
}

/// The exclusive right to write some ranges; released on drop.
#[derive(Debug)]
pub(crate) struct Claim {
    growth: Arc<Growth>,
    ranges: Vec<ByteRange>,
    is_scattered: bool,
}

/// The reason why content cannot be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    Closed,
    Incomplete { missing: u64 },
    TooLong { end: u64 },
}

impl Growth {
    /// Content whose `written` ranges exist already.
    pub(crate) fn new(written: Extents, size: Option<u64>) -> Self {
        let front = written.contiguous_from(0);
        let is_scattered = front < written.end();
        let state = State { size, written, in_flight: Vec::new(), is_scattered, phase: Phase::Writing };
        Self { watermark: AtomicU64::new(front), state: Mutex::new(state), settled: Condvar::new() }
    }

    pub(crate) fn watermark(&self) -> u64 {
        self.watermark.load(Ordering::Acquire)
    }

    pub(crate) fn available_from(&self, offset: u64) -> u64 {
        match self.watermark().checked_sub(offset) {
            Some(available @ 1..) => available,
            _ => self.state().written.contiguous_from(offset),
        }
    }

    pub(crate) fn gaps(&self, size: u64) -> Vec<ByteRange> {
        self.state().written.gaps(size)
    }

    pub(crate) fn size(&self) -> Option<u64> {
        self.state().size
    }

    /// Sets the whole content's size, which must not contradict the written bytes or an earlier size.
    pub(crate) fn set_size(&self, size: u64) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.phase != Phase::Writing {
            return Err(Refusal::Closed);
        }
        let end = state.in_flight.iter().map(|range| range.end).fold(state.written.end(), u64::max);
        if end > size || state.size.is_some_and(|known| known != size) {
            return Err(Refusal::Size);
        }
        state.size = Some(size);
        Ok(())
    }

    /// Claims the parts of `range` that are neither written nor claimed.
    pub(crate) fn claim(self: &Arc<Self>, range: ByteRange) -> Result<Claim, Refusal> {
        let mut state = self.state();
        if state.phase != Phase::Writing {
            return Err(Refusal::Closed);
        }
        if state.size.is_some_and(|size| range.end > size) {
            return Err(Refusal::Size);
        }
        let mut taken = state.written.clone();
        state.in_flight.iter().for_each(|range| taken.insert(*range));
        let ranges = taken.gaps_in(range);
        let is_next = state.in_flight.is_empty() && range.start <= state.written.end();
        state.is_scattered |= !is_next && !ranges.is_empty();
        state.in_flight.extend_from_slice(&ranges);
        Ok(Claim { growth: Arc::clone(self), ranges, is_scattered: state.is_scattered })
    }

    /// Ends the writing if the content is complete.
    pub(crate) fn finish(&self, size: u64) -> Result<(), Unfinished> {
        let mut state = self.state();
        if state.phase != Phase::Writing {
            return Err(Unfinished::Closed);
        }
        let end = state.in_flight.iter().map(|range| range.end).fold(state.written.end(), u64::max);
        let missing = state.written.gaps(size).iter().map(ByteRange::len).sum();
        if end > size {
            state.phase = Phase::Closed;
            return Err(Unfinished::TooLong { end });
        }
        if missing > 0 {
            return Err(Unfinished::Incomplete { missing });
        }
        state.phase = Phase::Finished;
        Ok(())
    }

    /// Refuses all further writes; those in flight continue. False: the writing had ended before.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state();
        let was_writing = state.phase == Phase::Writing;
        if was_writing {
            state.phase = Phase::Closed;
        }
        was_writing
    }

    /// Closes, and returns whether a successor may resume the written bytes; it may not if they are finished
    /// and verified. Waits for the writes in flight, so that none of them mixes with the successor's.
    pub(crate) fn retire(&self) -> bool {
        self.close();
        self.settle().phase == Phase::Closed
    }

    /// All written ranges, once no write is in flight. Call it after the writing was closed.
    pub(crate) fn settled(&self) -> Extents {
        self.settle().written.clone()
    }

    /// All ranges written by now.
    pub(crate) fn written(&self) -> Extents {
        self.state().written.clone()
    }

    /// Whether a byte is missing before a written one.
    pub(crate) fn has_holes(&self) -> bool {
        let state = self.state();
        state.written.contiguous_from(0) < state.written.end()
    }

    /// The number of bytes written by now.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.state().written.count()
    }

    /// Waits for the writes in flight. A claim ends with its write, so this waits only for the disk.
    fn settle(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        self.settled.wait_while(&mut state, |state| !state.in_flight.is_empty());
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Claim {
    /// The ranges to write, in order.
    pub(crate) fn ranges(&self) -> &[ByteRange] {
        &self.ranges
    }

    /// Whether the content has holes or may get one with this claim; if so, the sidecar must list the
    /// contiguous beginning before the write.
    pub(crate) fn is_scattered(&self) -> bool {
        self.is_scattered
    }

    /// Marks all ranges as written and readable.
    pub(crate) fn complete(self) {
        let mut state = self.growth.state();
        self.ranges.iter().for_each(|range| state.written.insert(*range));
        self.growth.watermark.store(state.written.contiguous_from(0), Ordering::Release);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.growth.state().in_flight.retain(|range| !self.ranges.contains(range));
        self.growth.settled.notify_all();
    }
}

#[cfg(test)]
mod tests;
