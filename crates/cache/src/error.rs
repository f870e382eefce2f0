//! Why a pull failed, in terms of what the client is told.

use std::time::Duration;

use storage::StoreError;
use telemetry::PullFailure;
use upstream::ErrorKind;

/// A failed pull. Cheap to clone, because every reader of a fill gets it. `detail` is one line that is fit
/// for clients: it names the upstream and what it answered, never a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// The registry itself said that it does not have it.
    #[error("not found: {detail}")]
    NotFound {
        /// The upstream's answer.
        detail: String,
    },
    /// The registry itself, or its token service, refused.
    #[error("denied: {detail}")]
    Denied {
        /// The upstream's answer, and whether credentials were sent.
        detail: String,
    },
    /// A status that says no, without a sign that the registry itself gave it: nothing follows from it, but that it
    /// can be passed on where nothing stored stands in.
    #[error("unconfirmed: {detail}")]
    Unconfirmed {
        /// The status.
        status: u16,
        /// The upstream's answer.
        detail: String,
    },
    /// The upstream asked us to slow down, and nothing stored can be served instead.
    #[error("throttled: {detail}")]
    Throttled {
        /// The time for which the upstream wants to be left alone.
        retry_after: Option<Duration>,
        /// The upstream's answer.
        detail: String,
    },
    /// The upstream could not be asked, or its answer was unusable.
    #[error("upstream unavailable: {detail}")]
    UpstreamUnavailable {
        /// Whether a deadline passed, as opposed to a refusal or a broken answer.
        timed_out: bool,
        /// What happened.
        detail: String,
    },
    /// A bound is reached, of work under way for this registry or of bytes in memory, and nothing stored can be served
    /// instead.
    #[error("as much is under way already as may be")]
    Overloaded,
    /// The registry is configured offline, and the store does not hold what was asked for.
    #[error("configured offline, and not held")]
    Offline,
    /// The upstream's bytes do not have the digest that was asked for.
    #[error("digest mismatch: {detail}")]
    DigestMismatch {
        /// Which digest, and what came instead.
        detail: String,
    },
    /// The asked range starts at or past the end of the blob.
    #[error("the range lies outside the blob of {size} bytes")]
    RangeNotSatisfiable {
        /// The blob's size in bytes.
        size: u64,
    },
    /// The store failed in a way that the upstream could not make good.
    #[error("store: {detail}")]
    Store {
        /// Which call failed, without paths.
        detail: String,
    },
}

impl PullError {
    /// Whether the upstream could not be asked, so that a stale copy may stand in. Refusals are no outage.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Throttled { .. }
                | Self::UpstreamUnavailable { .. }
                | Self::Unconfirmed { .. }
                | Self::Overloaded
        )
    }

    /// The same, or the registry is configured offline: in both cases nothing is known against a stored copy.
    pub(crate) fn is_outage_or_offline(&self) -> bool {
        self.is_outage() || *self == Self::Offline
    }

    /// Whether the registry itself has said no: only then may anything be given up, forgotten or remembered for it.
    pub fn is_definite_no(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Denied { .. })
    }

    /// The details, without the kind of the error.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::NotFound { detail }
            | Self::Denied { detail }
            | Self::Throttled { detail, .. }
            | Self::UpstreamUnavailable { detail, .. }
            | Self::Unconfirmed { detail, .. }
            | Self::DigestMismatch { detail }
            | Self::Store { detail } => Some(detail),
            Self::Overloaded | Self::Offline | Self::RangeNotSatisfiable { .. } => None,
        }
    }

    /// The reason as a metric label.
    pub(crate) fn reason(&self) -> PullFailure {
        match self {
            Self::NotFound { .. } => PullFailure::NotFound,
            Self::Denied { .. } => PullFailure::Denied,
            Self::Unconfirmed { .. } => PullFailure::Unconfirmed,
            Self::Throttled { .. } => PullFailure::Throttled,
            Self::UpstreamUnavailable { timed_out: true, .. } => PullFailure::Timeout,
            Self::UpstreamUnavailable { timed_out: false, .. } => PullFailure::Unavailable,
            Self::Overloaded => PullFailure::Overloaded,
            Self::Offline => PullFailure::Offline,
            Self::DigestMismatch { .. } => PullFailure::DigestMismatch,
            Self::RangeNotSatisfiable { .. } => PullFailure::Range,
            Self::Store { .. } => PullFailure::Store,
        }
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::UpstreamUnavailable { timed_out: false, detail: detail.into() }
    }

    pub(crate) fn timed_out(detail: impl Into<String>) -> Self {
        Self::UpstreamUnavailable { timed_out: true, detail: detail.into() }
    }
}

impl From<&upstream::Error> for PullError {
    fn from(error: &upstream::Error) -> Self {
        let detail = error.to_string();
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound { detail },
            ErrorKind::Denied => Self::Denied { detail },
            ErrorKind::Unconfirmed => Self::Unconfirmed { status: error.status().unwrap_or(404), detail },
            ErrorKind::Throttled => Self::Throttled { retry_after: error.retry_after(), detail },
            ErrorKind::Overloaded => Self::Overloaded,
            ErrorKind::TimedOut => Self::UpstreamUnavailable { timed_out: true, detail },
            ErrorKind::Unreachable | ErrorKind::Resting | ErrorKind::Invalid | ErrorKind::Interrupted => {
                Self::UpstreamUnavailable { timed_out: false, detail }
            }
        }
    }
}

impl From<upstream::Error> for PullError {
    fn from(error: upstream::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for PullError {
    fn from(error: &StoreError) -> Self {
        Self::Store { detail: format!("{} failed", error.call()) }
    }
}
