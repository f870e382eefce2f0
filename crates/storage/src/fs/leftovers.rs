//! Which digests may have something in `partial`: so that a pull of a small blob need not look for what is hardly
//! ever there. Whoever uses a root has it alone, so what is not known here is not there.

use std::collections::HashSet;

use oci::Digest;
use parking_lot::Mutex;

/// Digests remembered. When there are more, every one is looked for.
pub(super) const LEFTOVER_COUNT_MAX: usize = 4096;

/// The digests that earlier spools may have left files of. At first nothing is known.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    digests: HashSet<Digest>,
    /// Whether nothing is left but of these.
    is_complete: bool,
}

impl Leftovers {
    /// Of these digests, and of no others, something is there.
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
