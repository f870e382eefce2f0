//! Reads an archive on a thread of its own, ahead of the task that stores its contents.

use std::io::Read;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Entries, Entry, TarError, decoded};

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces that wait for the task.
const WAITING_COUNT_MAX: usize = 4;

/// The next part of an archive.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// An entry begins. Its content follows.
    Entry(Entry),
    /// The next bytes of the entry's content.
    Bytes(Bytes),
}

/// Reads the archive, plain or compressed, in the background. The channel ends after the archive's end, or
/// with an error. A dropped receiver ends the reading.
pub(crate) fn read_ahead(input: impl Read + Send + 'static) -> mpsc::Receiver<Result<Arrival, TarError>> {
    let (sender, receiver) = mpsc::channel(WAITING_COUNT_MAX);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(input, &sender) {
            // The receiver is gone if the import has failed.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

fn read(
    input: impl Read + Send + 'static,
    sender: &mpsc::Sender<Result<Arrival, TarError>>,
) -> Result<(), TarError> {
    let mut entries = Entries::new(decoded(input).map_err(TarError::Read)?);
    while let Some(entry) = entries.next()? {
        if sender.blocking_send(Ok(Arrival::Entry(entry))).is_err() {
            return Ok(());
        }
        loop {
            let piece = entries.read(PIECE_BYTES)?;
            if piece.is_empty() {
                break;
            }
            if sender.blocking_send(Ok(Arrival::Bytes(piece))).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
