//! A reader's own hold on its fill.

use std::sync::Arc;

use super::Fill;
use super::readers::Reader;
use crate::permits::ClientPermit;

/// A reader in a fill, which a relay does not overtake until the handle is dropped. It is taken before the fill starts,
/// so that a reader who still waits for the headers counts as one.
#[derive(Debug)]
pub(crate) struct ReaderHandle {
    fill: Arc<Fill>,
    reader: Arc<Reader>,
}

impl ReaderHandle {
    /// A reader at the beginning of the blob; `None` in a fill that gave way.
    pub(super) fn of(fill: &Arc<Fill>) -> Option<Self> {
        let reader = fill.readers.add()?;
        Some(Self { fill: Arc::clone(fill), reader })
    }

    /// Counts the reader's client among those that wait for the upstream, until the fill ends or the handle is dropped.
    pub(crate) fn keep_client(&self, client: Option<ClientPermit>) {
        self.reader.keep_client(client);
        // It may have ended just before.
        if self.fill.is_over() {
            drop(self.take_client());
        }
    }

    /// Takes the client's permit, because it waits for something else from now on; `None` once the fill is over.
    pub(crate) fn take_client(&self) -> Option<ClientPermit> {
        self.reader.take_client()
    }

    pub(crate) fn position(&self) -> u64 {
        self.reader.position()
    }

    pub(crate) fn move_to(&self, position: u64) {
        self.reader.move_to(position);
    }
}

impl Drop for ReaderHandle {
    fn drop(&mut self) {
        // A relay may be waiting for this reader. It needs nothing any more.
        self.move_to(u64::MAX);
        if self.fill.is_relaying() {
            self.fill.publish();
        }
    }
}
