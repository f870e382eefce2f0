//! The outcome of a request.

use telemetry::Answered;

/// The outcome of a request; its text is the metric label and the access log's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Served from the store without asking the upstream.
    Hit,
    /// Fetched from the upstream for this request.
    Miss,
    /// Served from a fill or a request that another request had started.
    Join,
    /// Served from the store because the upstream was unavailable.
    Stale,
    /// Served from the store after the upstream confirmed that the tag names it.
    Revalidated,
    /// Passed through from the upstream without being stored.
    Bypass,
}

impl From<Outcome> for Answered {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Hit => Self::Hit,
            Outcome::Miss => Self::Miss,
            Outcome::Join => Self::Join,
            Outcome::Stale => Self::Stale,
            Outcome::Revalidated => Self::Revalidated,
            Outcome::Bypass => Self::Bypass,
        }
    }
}
