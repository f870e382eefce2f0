//! Evidence against ranges: some upstreams serve the first ones and then no more, or only the first bytes of
//! each.

use policy::pace::Pace;
use tokio::time::Instant;

use super::span::Span;

/// After this number of failed ranges in a row, no transfer that delivers is cut short for a further one.
pub(super) const DOUBT_COUNT_MAX: u32 = 4;

/// Evidence against ranges, and the paces of those that delivered.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Failed ranges since the last complete one.
    pub(super) count: u32,
    /// When the last one was counted. Ranges that were in flight at that time fail for the same reason, and
    /// are not counted again.
    pub(super) since: Option<Instant>,
    /// The pace of the last complete range.
    pub(super) whole_pace: Option<Pace>,
    /// The best pace of any transfer, complete or not.
    pub(super) best_pace: Option<Pace>,
}

impl Doubt {
    /// Notes the pace of a transfer.
    pub(super) fn note_pace(&mut self, span: &Span, now: Instant) {
        if let Some(pace) = span.meter.evidence(now)
            && self.best_pace.is_none_or(|best| best.rate < pace.rate)
        {
            self.best_pace = Some(pace);
        }
    }

    /// Notes a complete range.
    pub(super) fn note_whole(&mut self, span: &Span, now: Instant) {
        (self.count, self.since) = (0, None);
        self.whole_pace = span.pace(now);
    }
}
