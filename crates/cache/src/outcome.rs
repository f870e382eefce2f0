//! How a request was answered.

/// The outcome of a request; its text is the metric label and the access log's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Served from the store without asking the upstream.
    Hit,
    /// Fetched from the upstream for this request.
    Miss,
    /// Served along a transfer that another request had started.
    Join,
    /// Served from the store although the upstream could not be asked.
    Stale,
    /// Served from the store after the upstream confirmed that the tag still names it.
    Revalidated,
    /// Passed through from the upstream without being stored.
    Bypass,
}

impl Outcome {
    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Join => "join",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Bypass => "bypass",
        }
    }
}
