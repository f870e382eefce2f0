//! The state of a scrub, as an operator sees it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use telemetry::RegistryMetrics;

/// The state of a store's scrub. A backend that succeeds another after a reload takes it over.
#[derive(Debug, Default)]
pub(crate) struct ScrubState(Mutex<ScrubReport>);

/// The state of a store's scrub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// The begin of the current round; `None`: none is under way.
    pub began_at: Option<SystemTime>,
    /// The end of the last whole round.
    pub ended_at: Option<SystemTime>,
    /// Bytes that this round has hashed, or the last one if none is under way.
    pub bytes: u64,
    /// Files that it found damaged.
    pub damaged: u64,
    /// Damaged files that were fetched again.
    pub healed: u64,
}

impl ScrubState {
    /// Replaces what is shown.
    pub(crate) fn show(&self, report: ScrubReport) {
        *self.0.lock() = report;
    }

    /// Shows the state in the metrics.
    pub(crate) fn tell(self: &Arc<Self>, metrics: &RegistryMetrics) {
        let (round, end) = (Arc::clone(self), Arc::clone(self));
        metrics.look_up_scrub(
            move || round.report().began_at.map(|_| round.report().bytes),
            move || end.report().ended_at?.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()),
        );
    }

    pub(crate) fn report(&self) -> ScrubReport {
        *self.0.lock()
    }
}
