//! A pool of read buffers: a warm blob is sent through a few of them, whatever its size.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// The size of a pooled buffer. Larger ones leave the processor's second-level cache between the read that
/// fills them and the write that empties them.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// Idle buffers kept: 4 MiB for each store.
const IDLE_COUNT_MAX: usize = 64;

type Buffer = Box<[u8]>;

/// A bounded free list of buffers of [`BUFFER_BYTES`] bytes.
#[derive(Default)]
pub(crate) struct BufferPool {
    idle: Mutex<Vec<Buffer>>,
}

/// A borrowed buffer; returned to the pool on drop.
pub(crate) struct PooledBuffer {
    buffer: Buffer,
    len: usize,
    pool: Arc<BufferPool>,
}

impl BufferPool {
    /// A buffer with arbitrary contents.
    pub(crate) fn lend(self: &Arc<Self>) -> PooledBuffer {
        let idle = self.idle.lock().pop();
        let buffer = idle.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        PooledBuffer { buffer, len: 0, pool: Arc::clone(self) }
    }
}

impl fmt::Debug for BufferPool {
    /// Without the buffers' bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("idle_count", &self.idle.lock().len()).finish()
    }
}

impl PooledBuffer {
    /// The whole buffer; fill it from its beginning.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// The first `len` bytes as shared bytes; the buffer returns to the pool when the last of them is
    /// dropped.
    pub(crate) fn freeze(mut self, len: usize) -> Bytes {
        self.len = len.min(self.buffer.len());
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let mut idle = self.pool.idle.lock();
        if idle.len() < IDLE_COUNT_MAX {
            idle.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests;
