//! What one answer tells of itself while it goes out. It is shared by the body and by whatever of it still
//! waits for the socket; when the last of them is gone, the answer is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::Entry;
use crate::clock::Clock;

/// The end of one answer, to come.
#[derive(Debug)]
pub(crate) struct Report(Mutex<State>);

#[derive(Debug)]
struct State {
    /// How many bytes of the content have not been taken yet.
    missing: u64,
    /// Told before the connection's clock is.
    entry: Option<Entry>,
    _answering: Answering,
}

/// Held while a request is answered: its drop tells the connection's clock that the answer is over.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Clock>);

impl Answering {
    /// A request's head is complete.
    pub(crate) fn begin(clock: &Arc<Clock>) -> Self {
        clock.request_began();
        Self(Arc::clone(clock))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answer_ended();
    }
}

impl Report {
    /// The report on an answer of `length` bytes, which keeps `answering` until the answer is over. The entry, if any,
    /// is told of every byte and of the end.
    pub(crate) fn new(length: u64, entry: Option<Entry>, answering: Answering) -> Arc<Self> {
        let state = State { missing: length, entry, _answering: answering };
        let report = Arc::new(Self(Mutex::new(state)));
        if length == 0 {
            report.taken(0);
        }
        report
    }

    /// `count` more bytes of the content are out of our hands.
    pub(crate) fn taken(&self, count: u64) {
        let mut state = self.state();
        state.missing = state.missing.saturating_sub(count);
        let is_all = state.missing == 0;
        if let Some(entry) = &mut state.entry {
            entry.sent(count);
            if is_all {
                entry.complete();
            }
        }
    }

    /// The answer breaks off.
    pub(crate) fn cut(&self, detail: String) {
        if let Some(entry) = &mut self.state().entry {
            entry.cut(detail);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is a single step that cannot panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
