//! Sends stored files from the page cache to a socket without copying them through this process.
//!
//! hyper only takes bodies in memory. So a body gives it a [`Chunk`] that stands for a piece of a file: it is
//! as long as the piece and consists of [`STAND_IN`], memory that holds no content. The piece itself goes to
//! the connection's [`FileQueue`]. When hyper writes the stand-in to the socket, the [`Sender`] recognises it
//! by its address and passes the file to the kernel instead. hyper keeps heads, lengths, order and
//! keep-alive.
//!
//! The invariant: no byte of the stand-in reaches a client. If hyper copied chunks instead of passing them
//! on, it would consume them before it writes the copy. The queue would see more bytes consumed than sent,
//! and every later write would fail. All of this is safe code: the stand-in is real memory, and its address
//! is only compared.

mod sender;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use cache::FilePiece;

use crate::report::Report;

pub(crate) use sender::{FileSendError, Sender};

/// The bytes that hyper sees in place of a file. A longer chunk repeats them.
static STAND_IN: [u8; 64 * 1024] = [0; 64 * 1024];

/// The pieces of files that one connection sends, in the order of its body's chunks.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileQueue(Arc<Mutex<QueueState>>);

#[derive(Debug, Default)]
struct QueueState {
    pieces: VecDeque<QueuedPiece>,
    /// Bytes sent to the socket, in all.
    sent: u64,
    /// Bytes that hyper consumed from its chunks, in all.
    consumed: u64,
}

/// A piece of a file that is not completely sent, and the report on its answer.
#[derive(Debug)]
struct QueuedPiece {
    piece: FilePiece,
    report: Arc<Report>,
}

/// A part of an answer's body, as hyper sees it.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Bytes in memory.
    Memory(Bytes),
    /// This many bytes of the queued files.
    File(u64, FileQueue),
}

impl FileQueue {
    /// Appends a piece. The returned chunk must be written in the same order. `report` records every byte
    /// that the socket takes, and is kept until it has taken all.
    pub(crate) fn push(&self, piece: FilePiece, report: Arc<Report>) -> Chunk {
        let length = piece.length;
        self.state().pieces.push_back(QueuedPiece { piece, report });
        Chunk::File(length, self.clone())
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        // No code panics while it holds the lock.
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
            Self::File(rest, file_queue) => {
                assert!(count as u64 <= *rest, "hyper consumed more of a chunk than there is");
                *rest -= count as u64;
                file_queue.state().consumed += count as u64;
            }
        }
    }
}

/// Whether a slice lies in the stand-in.
fn is_stand_in(slice: &IoSlice<'_>) -> bool {
    STAND_IN.as_ptr_range().contains(&slice.as_ptr())
}

#[cfg(test)]
mod tests;
