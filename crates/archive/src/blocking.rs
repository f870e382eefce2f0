//! Work off the runtime's threads, and streams between the two.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;
use tokio::task;

/// Does some work on the source off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Reads what tasks send. It blocks, so it is for a thread of its own.
#[derive(Debug)]
pub struct SentBytes {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl SentBytes {
    /// The bytes that come through `receiver`, until its sender is dropped.
    pub fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { receiver, current: Bytes::new() }
    }
}

impl Read for SentBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(bytes) => self.current = bytes?,
                None => return Ok(0),
            }
        }
        let len = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..len]);
        Ok(len)
    }
}
