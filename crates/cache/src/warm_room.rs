//! The room of images that are being warmed at the same time: none of them may count on the room of another.

use std::collections::HashSet;
use std::sync::Arc;

use inventory::{Inventory, SurveyedBlob};
use oci::Digest;
use parking_lot::Mutex;

/// The blobs of the images that one run has brought into one store. The next images of the run must not push
/// them out.
#[derive(Debug, Default)]
pub struct KeptBlobs(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    digests: HashSet<Digest>,
    bytes: u64,
}

impl KeptBlobs {
    pub(crate) fn add(&self, blobs: &[SurveyedBlob]) {
        let mut kept = self.0.lock();
        for blob in blobs {
            if kept.digests.insert(blob.digest.clone()) {
                kept.bytes = kept.bytes.saturating_add(blob.size.unwrap_or(0));
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.0.lock().bytes
    }
}

/// The bytes of all images of one store that are being warmed.
#[derive(Clone, Debug, Default)]
pub(crate) struct WarmRoom(Arc<Mutex<Bytes>>);

#[derive(Clone, Copy, Debug, Default)]
struct Bytes {
    /// Of blobs that are not in the store yet.
    pending: u64,
    /// Of those among them that are on their way, for which the store makes room.
    coming: u64,
    /// Of blobs that have come, and of the images that tags name until theirs are complete. They must stay
    /// until then.
    landed: u64,
}

/// The room of one image. Dropping it gives back what is left of it.
#[derive(Debug)]
pub(crate) struct Reserved {
    room: WarmRoom,
    own: Mutex<Bytes>,
}

impl WarmRoom {
    /// Reserves room for the missing bytes of an image, beside blobs that must not go: `kept`, and `older`
    /// bytes that must stay until the image is complete. `None`: there is not enough.
    pub(crate) fn reserve(
        &self,
        inventory: &Inventory,
        missing: u64,
        kept: &KeptBlobs,
        older: u64,
    ) -> Option<Reserved> {
        let mut all = self.0.lock();
        let wanted = missing.saturating_add(all.pending);
        let staying = kept.bytes().saturating_add(all.landed).saturating_add(older);
        // An image that is here needs no room, even in a store that holds too much.
        if missing > 0 && !inventory.fits_beside(wanted, staying, all.coming) {
            return None;
        }
        all.pending = wanted;
        all.landed = all.landed.saturating_add(older);
        let own = Mutex::new(Bytes { pending: missing, landed: older, ..Bytes::default() });
        Some(Reserved { room: self.clone(), own })
    }
}

impl Reserved {
    /// The store makes room for a blob from now on.
    pub(crate) fn begin(&self, size: u64) {
        self.change(|bytes| bytes.coming = bytes.coming.saturating_add(size));
    }

    /// A blob that [has begun](Self::begin) is in the store.
    pub(crate) fn landed(&self, size: u64) {
        self.change(|bytes| {
            bytes.pending = bytes.pending.saturating_sub(size);
            bytes.coming = bytes.coming.saturating_sub(size);
            bytes.landed = bytes.landed.saturating_add(size);
        });
    }

    fn change(&self, change: impl Fn(&mut Bytes)) {
        change(&mut self.own.lock());
        change(&mut self.room.0.lock());
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let (own, mut all) = (self.own.lock(), self.room.0.lock());
        all.pending = all.pending.saturating_sub(own.pending);
        all.coming = all.coming.saturating_sub(own.coming);
        all.landed = all.landed.saturating_sub(own.landed);
    }
}
