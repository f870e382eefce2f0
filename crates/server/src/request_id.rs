//! Names for requests, to find the log line that belongs to an error message.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A request's name: `<process>-<number>`, such as `9f3c01ab-2a`. Neither part says anything to a stranger.
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

/// Gives out the ids of one process.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    /// A sequence whose first part differs from that of other processes, so that ids survive a restart.
    pub(crate) fn new() -> Self {
        // The standard library seeds its hash maps at random; only 32 bits of that are needed.
        let process = (RandomState::new().hash_one(0_u8) >> 32) as u32;
        Self { process, next: AtomicU64::new(1) }
    }

    /// The next id.
    pub(crate) fn next(&self) -> RequestId {
        RequestId { process: self.process, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }
}
