//! Stored bytes that go from the page cache to a socket without being copied through this process.
//!
//! hyper takes bodies made of memory only. So a body hands it a [`Chunk`] that stands for a piece of a file:
//! as long as the piece, and made of [`STAND_IN`], memory that no byte of an answer ever lies in. The piece
//! itself goes into the connection's [`Lane`]. When hyper writes the stand-in to the socket, the
//! [`Sender`] recognises it by its address and hands the kernel the file instead. hyper thereby keeps
//! what it is good at: heads, lengths, order, keep-alive.
//!
//! The invariant: no byte of the stand-in reaches a client. A hyper that copied chunks instead of passing
//! them on would take them off before it writes the copy; the lane notices that more was taken off than was
//! sent, and every later write fails. Everything here is safe code: the stand-in is real memory, and its
//! address is compared, never made up.

mod sender;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use cache::FilePiece;

use crate::report::Report;

pub(crate) use sender::{Broken, Sender};

/// What hyper sees in place of a file's bytes. A chunk longer than this shows it several times.
static STAND_IN: [u8; 64 * 1024] = [0; 64 * 1024];

/// The files that one connection is sending, in the order of its body's chunks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    files: VecDeque<Waiting>,
    /// Bytes handed to the socket, in all.
    sent: u64,
    /// Bytes that hyper took off its chunks, in all.
    taken_off: u64,
}

/// A piece of a file that is not wholly sent, and who wants to know of it.
#[derive(Debug)]
struct Waiting {
    piece: FilePiece,
    report: Arc<Report>,
}

/// A part of an answer's body, as hyper sees it.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Bytes in memory.
    Memory(Bytes),
    /// So many bytes of the lane's files.
    File(u64, Lane),
}

impl Lane {
    /// Puts a piece behind the others. The chunk returned must be written next after theirs; `report` is told
    /// of what the socket takes of it, and kept until it has taken all.
    pub(crate) fn push(&self, piece: FilePiece, report: Arc<Report>) -> Chunk {
        let length = piece.length;
        self.queue().files.push_back(Waiting { piece, report });
        Chunk::File(length, self.clone())
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Each change is a single step that cannot panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(rest, _) => usize::try_from(*rest).unwrap_or(usize::MAX),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::File(..) => &STAND_IN[..self.remaining().min(STAND_IN.len())],
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut rest = self.remaining();
        let mut count = 0;
        while rest > 0 && count < slices.len() {
            let shown = match self {
                Self::Memory(bytes) => &bytes[..],
                Self::File(..) => &STAND_IN[..rest.min(STAND_IN.len())],
            };
            slices[count] = IoSlice::new(shown);
            rest -= shown.len();
            count += 1;
        }
        count
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Memory(bytes) => bytes.advance(count),
            Self::File(rest, lane) => {
                assert!(count as u64 <= *rest, "more is taken off a chunk than there is");
                *rest -= count as u64;
                lane.queue().taken_off += count as u64;
            }
        }
    }
}

/// Whether a slice shows the stand-in.
fn is_stand_in(slice: &IoSlice<'_>) -> bool {
    STAND_IN.as_ptr_range().contains(&slice.as_ptr())
}

#[cfg(test)]
mod tests;
