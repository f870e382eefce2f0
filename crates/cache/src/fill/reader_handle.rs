//! A reader's handle on its fill.

use std::sync::Arc;

use super::Fill;
use super::readers::Reader;
use crate::permits::ClientPermit;

/// A reader of a fill, which a relay does not overtake until the handle is dropped. It is created before the
/// fill starts, so that a reader that still waits for the headers counts.
#[derive(Debug)]
pub(crate) struct ReaderHandle {
    fill: Arc<Fill>,
    reader: Arc<Reader>,
}

impl ReaderHandle {
    /// A reader at the beginning of the blob; `None` in a fill that gave way or is abandoned.
    pub(super) fn of(fill: &Arc<Fill>) -> Option<Self> {
        let reader = fill.readers.add()?;
        Some(Self { fill: Arc::clone(fill), reader })
    }

    /// Counts the reader's client among those that wait for the upstream, until the fill ends or the handle
    /// is dropped.
    pub(crate) fn keep_client(&self, client: Option<ClientPermit>) {
        self.reader.keep_client(client);
        // The fill may have ended just before.
        if self.fill.is_over() {
            drop(self.take_client());
        }
    }

    /// Takes the client's permit, when it no longer waits for this fill; `None` once the fill has ended.
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
        // A relay may be waiting for this reader, which needs no more bytes.
        self.move_to(u64::MAX);
        if self.fill.is_relaying() {
            self.fill.publish();
        }
    }
}
