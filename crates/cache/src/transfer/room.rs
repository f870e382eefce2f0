//! Room for a blob in the store: once its size is known, or as its bytes come.

use std::sync::Arc;

use telemetry::BypassReason;
use tracing::info;

use super::Transfer;
use super::pump::{Sink, Stop};
use crate::fill::{Fill, Promised};

/// The room that a blob of unknown size gets at a time, in bytes.
const STEP_BYTES: u64 = 16 << 20;

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
        let Sink::Spool(spool) = &*sink else { return Ok(()) };
        let promised = match fill.promised() {
            Promised::Size(size) => Some(size),
            Promised::Unasked | Promised::Untold => None,
        };
        let Some(size) = fill.size().or(promised) else { return Ok(()) };
        if self.has_room_to(fill, size) {
            return Ok(());
        }
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

    /// Whether the store has room for the blob's bytes up to `end`. If so, it keeps that room. A blob of
    /// unknown size, or larger than its manifest claims, gets more room in steps.
    pub(super) fn has_room_to(&self, fill: &Fill, end: u64) -> bool {
        if fill.announced_bytes() >= end {
            return true;
        }
        let inventory = &self.blobs.shared.inventory;
        // The room that it has must not count against it.
        fill.forget_announced();
        let further = if fill.size().is_some() { end } else { end.saturating_add(STEP_BYTES) };
        let fitting = [further, end].into_iter().find(|size| inventory.fits(*size));
        if let Some(size) = fitting {
            fill.keep_announced(inventory.announce(size));
            return true;
        }
        let (registry, digest) = (self.registry(), &self.digest);
        info!(registry, %digest, size = end, "no room in the store for this blob; passing it through");
        false
    }
}
