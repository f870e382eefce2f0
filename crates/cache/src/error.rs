//! Why a pull failed, in terms of the response to the client.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use storage::StoreError;
use telemetry::PullFailure;
use upstream::ErrorKind;

use crate::detail::Detail;

/// A failed pull. Cheap to clone, because every reader of a fill gets it. Its message and `detail` are one
/// line for clients: they name the upstream and what it did, never a path or a secret. The
/// [`source`](Error::source) is for the log: the errors of the store and of the libraries behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullError {
    /// The registry itself answered that it does not exist.
    NotFound {
        /// The upstream's response.
        detail: Detail,
    },
    /// The registry itself, or its token service, refused access.
    Denied {
        /// The upstream's response, and whether credentials were sent.
        detail: Detail,
    },
    /// The upstream does not give the repository to requests without a login, and nothing allows wharf to
    /// share what its account may read.
    NotPublic {
        /// The upstream's response to a request without a login.
        detail: Detail,
    },
    /// A negative status without a sign that the registry itself gave it. It proves nothing, but is passed on
    /// if no stored copy may be served.
    Unconfirmed {
        /// The status.
        status: u16,
        /// The upstream's response.
        detail: Detail,
    },
    /// The upstream asked us to slow down, and no stored copy may be served.
    Throttled {
        /// The pause that the upstream asked for.
        retry_after: Option<Duration>,
        /// The upstream's response.
        detail: Detail,
    },
    /// The upstream could not be asked, or its response was unusable.
    UpstreamUnavailable {
        /// Whether a deadline passed, as opposed to a refusal or a broken response.
        timed_out: bool,
        /// What happened.
        detail: Detail,
    },
    /// A bound on work in flight for this registry, or on bytes in memory, is reached, and no stored copy may
    /// be served.
    Overloaded,
    /// The registry is offline, by its configuration or a switch, and the content is not stored.
    Offline,
    /// The upstream's bytes do not have the requested digest.
    DigestMismatch {
        /// The requested digest and the one of the bytes.
        detail: Detail,
        /// Whether another address of the upstream may have the right bytes.
        has_other_address: bool,
    },
    /// The requested range starts at or after the end of the blob.
    RangeNotSatisfiable {
        /// The blob's size in bytes.
        size: u64,
    },
    /// The store failed, and the upstream could not make up for it.
    Store {
        /// The call that failed, without paths.
        detail: Detail,
    },
}

impl PullError {
    /// Whether the upstream could not be asked, so that a stale copy may be served. Refusals are no outage.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Throttled { .. }
                | Self::UpstreamUnavailable { .. }
                | Self::Unconfirmed { .. }
                | Self::Overloaded
        )
    }

    /// Whether this is an outage, or the registry is offline: neither speaks against a stored
    /// copy.
    pub(crate) fn is_outage_or_offline(&self) -> bool {
        self.is_outage() || *self == Self::Offline
    }

    /// Whether the registry itself refused: only then may stored content be dropped or the refusal be
    /// remembered.
    pub fn is_definite_no(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Denied { .. })
    }

    /// The details, without the kind of the error.
    pub fn detail(&self) -> Option<&str> {
        self.full_detail().map(|detail| &**detail)
    }

    fn full_detail(&self) -> Option<&Detail> {
        match self {
            Self::NotFound { detail }
            | Self::Denied { detail }
            | Self::NotPublic { detail }
            | Self::Throttled { detail, .. }
            | Self::UpstreamUnavailable { detail, .. }
            | Self::Unconfirmed { detail, .. }
            | Self::DigestMismatch { detail, .. }
            | Self::Store { detail } => Some(detail),
            Self::Overloaded | Self::Offline | Self::RangeNotSatisfiable { .. } => None,
        }
    }

    /// The reason as a metric label.
    pub(crate) fn reason(&self) -> PullFailure {
        match self {
            Self::NotFound { .. } => PullFailure::NotFound,
            Self::Denied { .. } | Self::NotPublic { .. } => PullFailure::Denied,
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

    /// Wrong bytes that no other address of the upstream can make good.
    pub(crate) fn mismatch(detail: impl Into<Detail>) -> Self {
        Self::DigestMismatch { detail: detail.into(), has_other_address: false }
    }

    pub(crate) fn unavailable(detail: impl Into<Detail>) -> Self {
        Self::UpstreamUnavailable { timed_out: false, detail: detail.into() }
    }

    pub(crate) fn timed_out(detail: impl Into<Detail>) -> Self {
        Self::UpstreamUnavailable { timed_out: true, detail: detail.into() }
    }
}

impl fmt::Display for PullError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { detail } => write!(f, "not found: {detail}"),
            Self::Denied { detail } => write!(f, "denied: {detail}"),
            Self::NotPublic { detail } => write!(f, "not public: {detail}"),
            Self::Unconfirmed { detail, .. } => write!(f, "unconfirmed: {detail}"),
            Self::Throttled { detail, .. } => write!(f, "throttled: {detail}"),
            Self::UpstreamUnavailable { detail, .. } => write!(f, "upstream unavailable: {detail}"),
            Self::Overloaded => f.write_str("too many requests are in flight"),
            Self::Offline => f.write_str("the registry is offline, and this is not stored"),
            Self::DigestMismatch { detail, .. } => write!(f, "digest mismatch: {detail}"),
            Self::RangeNotSatisfiable { size } => {
                write!(f, "the range lies outside the blob of {size} bytes")
            }
            Self::Store { detail } => write!(f, "store: {detail}"),
        }
    }
}

impl Error for PullError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.full_detail()?.source()
    }
}

impl From<&upstream::Error> for PullError {
    fn from(error: &upstream::Error) -> Self {
        let detail = Detail::of(error.clone());
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound { detail },
            ErrorKind::Denied => Self::Denied { detail },
            ErrorKind::Unconfirmed => Self::Unconfirmed { status: error.status().unwrap_or(404), detail },
            ErrorKind::Throttled => Self::Throttled { retry_after: error.retry_after(), detail },
            ErrorKind::Overloaded => Self::Overloaded,
            ErrorKind::Offline => Self::Offline,
            ErrorKind::TimedOut => Self::timed_out(detail),
            ErrorKind::Unreachable | ErrorKind::Resting | ErrorKind::Invalid | ErrorKind::Interrupted => {
                Self::unavailable(detail)
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
        let text = format!("{} failed", error.call());
        Self::Store { detail: Detail::hiding(text, error.clone()) }
    }
}

#[cfg(test)]
mod tests;
