//! Room for a blob in the store, once its size is known.

use std::sync::Arc;

use telemetry::BypassReason;
use tracing::info;

use super::Transfer;
use super::pump::{Sink, Stop};
use crate::fill::Fill;

impl Transfer {
    /// Has the store make room for the blob. One that does not fit passes through memory from here on.
    /// `position` is that of the next byte from the upstream.
    ///
    /// # Errors
    /// [`Stop::Cut`] where the blob passes through and this answer does not continue it.
    pub(super) async fn make_room(
        &self,
        fill: &Arc<Fill>,
        sink: &mut Sink,
        position: u64,
    ) -> Result<(), Stop> {
        let (Sink::Spool(spool), Some(size)) = (&*sink, fill.size()) else { return Ok(()) };
        if fill.has_room() {
            return Ok(());
        }
        let inventory = &self.blobs.shared.inventory;
        if inventory.fits(size) {
            fill.keep_announced(inventory.announce(size));
            return Ok(());
        }
        info!(registry = %self.registry(), digest = %self.digest, size, "no room in the store for this blob; passing it through");
        let (hasher, front) = spool.hash_front().await;
        fill.begin_relay(front, hasher.clone(), BypassReason::NoRoom);
        *sink = Sink::Relay { hasher: Box::new(hasher), front };
        fill.publish();
        if front == position {
            Ok(())
        } else {
            Err(Stop::Cut("the blob has no room, and other bytes come next"))
        }
    }
}
