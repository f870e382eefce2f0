//! Tracks the delivery of one answer. The body and its pieces that still wait for the socket share the
//! report; when the last of them is dropped, the answer has ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access_log::Entry;
use crate::clock::Clock;

/// The delivery of one answer.
#[derive(Debug)]
pub(crate) struct Report(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Bytes of content that are not sent yet.
    missing: u64,
    // Declared, and so dropped, before `_answering`: the entry ends before the clock's phase does.
    entry: Option<Entry>,
    _answering: Answering,
}

/// A guard for the time in which a request is answered. Its drop ends the answer on the connection's clock.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Clock>);

impl Answering {
    /// Begins an answer: the request's head is complete.
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
    /// Creates the report on an answer of `length` bytes. It passes every byte and the end to the entry, if
    /// there is one, and keeps `answering` until the answer ends.
    pub(crate) fn new(length: u64, entry: Option<Entry>, answering: Answering) -> Arc<Self> {
        let state = State { missing: length, entry, _answering: answering };
        let report = Arc::new(Self(Mutex::new(state)));
        if length == 0 {
            report.taken(0);
        }
        report
    }

    /// Records that `count` more bytes of content were sent.
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

    /// Records that wharf breaks the answer off.
    pub(crate) fn cut(&self, detail: String) {
        if let Some(entry) = &mut self.state().entry {
            entry.cut(detail);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
