//! Work on a source off the runtime's threads.

use std::io::{self, Read};

use bytes::Bytes;
use tokio::task;

/// Does some work on the source off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Reads up to `len_max` bytes; fewer come only at the end of the file.
pub(crate) fn read_piece(file: &mut impl Read, len_max: usize) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(len_max);
    file.take(len_max as u64).read_to_end(&mut piece)?;
    Ok(piece.into())
}
