//! Content in memory, as a list of the pieces in which it was received.

use std::collections::BTreeMap;
use std::fmt;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

/// Pieces by the offset of their first byte; they never overlap.
#[derive(Default)]
pub(crate) struct Pieces(Mutex<BTreeMap<u64, Bytes>>);

impl Pieces {
    fn insert(&self, offset: u64, piece: Bytes) {
        if !piece.is_empty() {
            self.0.lock().insert(offset, piece);
        }
    }

    /// Inserts consecutive pieces at `offset`, where no bytes are yet.
    pub(crate) fn insert_all(&self, offset: u64, pieces: &[Bytes]) {
        let mut at = offset;
        for piece in pieces {
            self.insert(at, piece.clone());
            at += piece.len() as u64;
        }
    }

    /// The contiguous bytes at `offset`, at most `len_max`. A range within one piece is not copied.
    pub(crate) fn read(&self, offset: u64, len_max: usize) -> Bytes {
        let pieces = self.0.lock();
        let Some((start, first)) = pieces.range(..=offset).next_back() else { return Bytes::new() };
        let within = offset - start;
        if within >= first.len() as u64 {
            return Bytes::new();
        }
        // It is below the length of a piece in memory, so it fits.
        let mut read = first.slice(within as usize..);
        if read.len() < len_max {
            let mut joined = BytesMut::from(&read[..]);
            for (start, piece) in pieces.range(offset + 1..) {
                if *start != offset + joined.len() as u64 || joined.len() >= len_max {
                    break;
                }
                joined.extend_from_slice(piece);
            }
            read = joined.freeze();
        }
        read.truncate(len_max);
        read
    }

    /// All pieces as runs of contiguous ones, each with its offset.
    pub(crate) fn runs(&self) -> Vec<(u64, Vec<Bytes>)> {
        let mut runs: Vec<(u64, Vec<Bytes>)> = Vec::new();
        let mut end = None;
        for (start, piece) in self.0.lock().iter() {
            match runs.last_mut().filter(|_| end == Some(*start)) {
                Some((_, run)) => run.push(piece.clone()),
                None => runs.push((*start, vec![piece.clone()])),
            }
            end = Some(start + piece.len() as u64);
        }
        runs
    }

    /// Removes all pieces.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl fmt::Debug for Pieces {
    /// Without the pieces' bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("count", &self.0.lock().len()).finish()
    }
}
