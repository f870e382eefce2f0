//! Words that are held back: a tag keeps naming its stored image until the image that it names upstream is
//! whole in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use policy::freshness::Replace;

use super::word::{AskedAt, Key};

/// The words that are held back at this moment: at the most one for each image that is being warmed or
/// refreshed. The memory of the newest words is bounded and may forget one; as long as a word is held back,
/// it learns of each newer word on its tag.
#[derive(Debug, Default)]
pub(super) struct HeldBackWords(Mutex<HashMap<Key, Vec<Arc<HeldBackState>>>>);

#[derive(Debug)]
pub(super) struct HeldBackState {
    asked_at: AskedAt,
    is_outdated: AtomicBool,
}

impl HeldBackState {
    pub(super) fn asked_at(&self) -> AskedAt {
        self.asked_at
    }

    /// Whether a newer word on the tag was written meanwhile.
    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Relaxed)
    }
}

impl HeldBackWords {
    pub(super) fn add(&self, key: &Key, asked_at: AskedAt) -> Arc<HeldBackState> {
        let state = Arc::new(HeldBackState { asked_at, is_outdated: AtomicBool::new(false) });
        self.0.lock().entry(key.clone()).or_default().push(Arc::clone(&state));
        state
    }

    pub(super) fn remove(&self, key: &Key, state: &Arc<HeldBackState>) {
        let mut all = self.0.lock();
        let Some(of_tag) = all.get_mut(key) else { return };
        of_tag.retain(|other| !Arc::ptr_eq(other, state));
        if of_tag.is_empty() {
            all.remove(key);
        }
    }

    /// Notes that a word on the tag was written, which is the answer to the request at `asked_at`.
    pub(super) fn note_written(&self, key: &Key, asked_at: AskedAt) {
        self.outdate(key, |held_back| held_back.is_older_than(asked_at));
    }

    /// Notes that the tag of an archive was stored, which was checked at that time.
    pub(super) fn note_imported(&self, key: &Key, checked_at: SystemTime, replace: Replace) {
        self.outdate(key, |held_back| replace == Replace::All || held_back.time < checked_at);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    fn outdate(&self, key: &Key, is_older: impl Fn(AskedAt) -> bool) {
        for state in self.0.lock().get(key).into_iter().flatten().filter(|state| is_older(state.asked_at)) {
            state.is_outdated.store(true, Ordering::Relaxed);
        }
    }
}
