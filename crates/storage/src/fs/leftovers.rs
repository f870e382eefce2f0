//! Remembers the digests that may have files in `partial`, so that a pull of a small blob need not look for
//! them. One process uses a root, so a digest that is unknown here has no files.

use std::collections::HashSet;

use oci::Digest;
use parking_lot::Mutex;

/// Digests remembered. When there are more, every digest is looked up on disk.
pub(super) const LEFTOVER_COUNT_MAX: usize = 4096;

/// The digests of which earlier spools may have left files. At first it knows none, and every digest may have
/// some.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    digests: HashSet<Digest>,
    /// Whether no other digest has files.
    is_complete: bool,
}

impl Leftovers {
    /// Notes that these digests, and no others, have files.
    pub(super) fn set(&self, digests: impl IntoIterator<Item = Digest>) {
        *self.0.lock() = State { digests: digests.into_iter().collect(), is_complete: true };
    }

    pub(super) fn may_have(&self, digest: &Digest) -> bool {
        let state = self.0.lock();
        !state.is_complete || state.digests.contains(digest)
    }

    pub(super) fn add(&self, digest: &Digest) {
        let mut state = self.0.lock();
        if state.digests.len() < LEFTOVER_COUNT_MAX {
            state.digests.insert(digest.clone());
        } else {
            *state = State::default();
        }
    }

    pub(super) fn remove(&self, digest: &Digest) {
        self.0.lock().digests.remove(digest);
    }
}

#[cfg(test)]
mod tests;
