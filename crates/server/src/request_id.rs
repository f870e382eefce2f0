//! Request ids, which link an error message to its log line.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A request's id: `<process>-<number>`, such as `9f3c01ab-2a`. It reveals no address, name or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId {
    process: u32,
    number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.process, self.number)
    }
}

/// Generates the ids of one process.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    /// Starts a sequence with a random first part, so that ids stay unique across restarts.
    pub(crate) fn new() -> Self {
        // The standard library seeds each hash map at random; 32 bits are enough.
        let process = (RandomState::new().hash_one(0_u8) >> 32) as u32;
        Self { process, next: AtomicU64::new(1) }
    }

    /// Returns the next id.
    pub(crate) fn next(&self) -> RequestId {
        RequestId { process: self.process, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }
}
