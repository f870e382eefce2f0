//! A look at all held manifests, which takes no memory.

use std::sync::atomic::Ordering;

use super::{HELD, Images, NONE, Slot};
use crate::clock::Seconds;
use crate::repositories::Number;

/// A manifest that the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldManifest {
    /// Its repository.
    pub(crate) number: Number,
    /// The key of its digest.
    pub(crate) key: u64,
    pub(crate) used: Seconds,
}

impl Images {
    /// Shows the held manifests from number `from` on to `take`. Returns the number with which it goes on
    /// after `count_max` numbers.
    pub(crate) fn each_held(
        &self,
        from: Slot,
        count_max: usize,
        take: impl FnMut(HeldManifest),
    ) -> Option<Slot> {
        let end = (from as usize).saturating_add(count_max).min(self.entries.len());
        let entries = self.entries.get(from as usize..end).unwrap_or_default();
        let held = entries.iter().filter(|entry| entry.repository != NONE && entry.flags & HELD != 0);
        held.map(|entry| HeldManifest {
            number: entry.repository,
            key: entry.digest.key(),
            used: entry.used.load(Ordering::Relaxed),
        })
        .for_each(take);
        (end < self.entries.len()).then(|| u32::try_from(end).expect("numbers are of 32 bits"))
    }
}
