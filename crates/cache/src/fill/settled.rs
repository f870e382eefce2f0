//! The end of a fill with everything that its writer does after the last byte.

use std::sync::atomic::Ordering;

use super::{Fill, Phase, aborted};
use crate::error::PullError;

impl Fill {
    /// Waits until its writer has ended, so that a verified blob is in the store or is lost. `progressed`
    /// gets the bytes that are on disk.
    ///
    /// # Errors
    /// The fill's.
    pub(crate) async fn settled(&self, mut progressed: impl FnMut(u64)) -> Result<(), PullError> {
        let mut progress = self.watch();
        loop {
            let (phase, is_left) = {
                let now = progress.borrow_and_update();
                (now.phase.clone(), now.is_left)
            };
            if let Some(spool) = self.spool() {
                progressed(spool.watermark());
            }
            match phase {
                Phase::Failed(error) => return Err(error),
                // Before that the fill is still in the table, and the caller would get it again and again.
                Phase::Verified if is_left => return Ok(()),
                // The sender lives in this fill, which is borrowed here.
                _ => progress.changed().await.map_err(|_| aborted())?,
            }
        }
    }

    /// Notes that its writer has ended.
    pub(super) fn leave(&self) {
        self.progress.send_modify(|progress| progress.is_left = true);
    }

    /// Whether the blob will not be stored.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }
}
