//! The running hash over the contiguous beginning of a spool.

use std::io;

use bytes::Bytes;
use oci::Hasher;

use super::backing::Backing;

/// Bytes read back at once for hashing.
const READ_BACK_BYTES: u64 = 1024 * 1024;

/// A hash and the number of bytes that it covers.
#[derive(Debug)]
pub(crate) struct Front {
    hasher: Hasher,
    hashed: u64,
}

impl Front {
    /// A front that covers no bytes yet.
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self { hasher, hashed: 0 }
    }

    pub(crate) fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }

    pub(crate) fn hashed(&self) -> u64 {
        self.hashed
    }

    /// Hashes `pieces`, which were just written at `start`, if the hash has reached them. Another job may
    /// have read back and hashed some of them already.
    pub(crate) fn absorb(&mut self, start: u64, pieces: &[Bytes]) {
        let mut start = start;
        for piece in pieces {
            let end = start + piece.len() as u64;
            if (start..end).contains(&self.hashed) {
                // Within a piece in memory, so the difference fits.
                self.hasher.update(&piece[(self.hashed - start) as usize..]);
                self.hashed = end;
            }
            start = end;
        }
    }

    /// Continues to `until` by reading back bytes that were written out of order.
    pub(crate) fn catch_up(&mut self, backing: &dyn Backing, until: u64) -> io::Result<()> {
        while self.hashed < until {
            let len = (until - self.hashed).min(READ_BACK_BYTES);
            let read = backing.read_back(self.hashed, len as usize)?;
            if read.is_empty() {
                return Err(io::Error::other("the file is shorter than the bytes written to it"));
            }
            self.hasher.update(&read);
            self.hashed += read.len() as u64;
        }
        Ok(())
    }
}
