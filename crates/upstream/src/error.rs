//! The errors of requests to an upstream.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The kinds of [`Error`], by what a caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The registry itself answers that it does not exist.
    NotFound,
    /// The registry or its token service refuses access.
    Denied,
    /// A negative status, such as 404 or 403, in an answer that shows no sign of a registry: it may come from
    /// a router or a portal, and proves nothing. It may also come from a static web server that serves as a
    /// registry.
    Unconfirmed,
    /// The upstream asked us to slow down, now or a moment ago.
    Throttled,
    /// Name resolution, TCP or TLS failed, the connection broke, or the answer was a 5xx.
    Unreachable,
    /// A deadline passed.
    TimedOut,
    /// Not sent: the upstream failed lately, and its breaker is open.
    Resting,
    /// An answer that cannot be used: an encoded or too large body, a portal's page, a redirect loop, a
    /// range that was not asked for, a status without meaning here.
    Invalid,
    /// The body broke off.
    Interrupted,
    /// The answer was not read: the memory budget for answers is used up.
    Overloaded,
    /// Not sent, or broken off: an operator wants no requests to the registry.
    Offline,
}

/// A failed exchange. Cheap to clone. It prints as one line, fit for clients and logs: the host, what it
/// did, and the chain of causes, never a URL's query or a credential.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    host: String,
    detail: String,
    status: Option<u16>,
    retry_after: Option<Duration>,
    is_retryable: bool,
    is_range_refused: bool,
    is_unconnected: bool,
    is_of_token_service: bool,
    is_login_refused: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The longest list of causes in a message, in bytes.
const CAUSE_BYTES_MAX: usize = 256;

impl Error {
    /// An error about `host` (with its port unless that is the scheme's default). `detail` goes on from the
    /// host's name, such as `answered 503`. An [`Unreachable`](ErrorKind::Unreachable) or
    /// [`Interrupted`](ErrorKind::Interrupted) one is retryable.
    pub fn new(kind: ErrorKind, host: impl Into<String>, detail: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            host: host.into(),
            detail: detail.into(),
            status: None,
            retry_after: None,
            is_retryable: matches!(kind, ErrorKind::Unreachable | ErrorKind::Interrupted),
            is_range_refused: false,
            is_unconnected: false,
            is_of_token_service: false,
            is_login_refused: false,
            source: None,
        }))
    }

    /// Adds the status that the host answered.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        self.change(|inner| inner.status = Some(status))
    }

    /// Adds the pause that the host asked for.
    #[must_use]
    pub fn with_retry_after(self, pause: Duration) -> Self {
        self.change(|inner| inner.retry_after = Some(pause))
    }

    /// With the library's error that caused it, for the log. The message says the same in words. `source`
    /// must hold no URL and no credential.
    #[must_use]
    pub fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.change(|inner| inner.source = Some(Arc::new(source)))
    }

    /// The same error with another kind.
    pub(crate) fn with_kind(self, kind: ErrorKind) -> Self {
        self.change(|inner| inner.kind = kind)
    }

    /// Marks the error as the token service's, not the registry's.
    pub(crate) fn by_token_service(self) -> Self {
        self.change(|inner| inner.is_of_token_service = true)
    }

    /// Tells whether the token service gave it.
    pub(crate) fn is_of_token_service(&self) -> bool {
        self.0.is_of_token_service
    }

    /// Marks the error as the answer to a login, which another login may change.
    pub(crate) fn after_login(self) -> Self {
        self.change(|inner| inner.is_login_refused = true)
    }

    /// Tells whether a login was refused.
    pub(crate) fn is_login_refused(&self) -> bool {
        self.0.is_login_refused
    }

    /// The same error about the login of a client, where its text speaks of the configured one.
    pub(crate) fn of_client_login(self) -> Self {
        self.change(|inner| {
            inner.detail = inner
                .detail
                .replace("and no credentials are configured for this registry", "and the client has no login")
                .replace("the configured credentials give", "the client's login gives")
                .replace("the configured credentials were", "the client's login was")
                .replace("the configured credentials", "the client's login");
        })
    }

    /// The same error, which also says how the other addresses of the upstream failed.
    pub(crate) fn beside<'a>(self, others: impl Iterator<Item = &'a Self>) -> Self {
        let others: String = others.map(|other| format!("; {other}")).collect();
        self.change(|inner| inner.detail.push_str(&others))
    }

    pub(crate) fn without_retry(self) -> Self {
        self.change(|inner| inner.is_retryable = false)
    }

    pub(crate) fn with_range_refused(self) -> Self {
        self.change(|inner| inner.is_range_refused = true)
    }

    pub(crate) fn without_connection(self) -> Self {
        self.change(|inner| inner.is_unconnected = true)
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Returns the kind, which says what a caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the host that it is about: the registry, its token service or a redirect target.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Returns what the host did, as it goes on from the host's name.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Returns the status that the host answered; `None` without an answer.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns the pause that the host asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Tells whether the same request may succeed a moment later.
    pub fn retryable(&self) -> bool {
        self.0.is_retryable
    }

    /// Tells whether connecting failed: name resolution, TCP or TLS.
    pub(crate) fn is_unconnected(&self) -> bool {
        self.0.is_unconnected
    }

    /// Tells whether the upstream answered a ranged request with 416, with another range, or without saying
    /// which: the blob must be asked for from its beginning.
    pub fn is_range_refused(&self) -> bool {
        self.0.is_range_refused
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.host, self.0.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// The causes of `error` on one line, without `error`'s own message. Causes can quote a certificate or an
/// answer, so control characters are replaced and the length is bounded.
pub(crate) fn causes(error: &dyn StdError) -> String {
    let line = telemetry::with_causes("", error);
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end = (0..=CAUSE_BYTES_MAX.min(line.len())).rev().find(|end| line.is_char_boundary(*end));
    line[..end.unwrap_or_default()].to_owned()
}

#[cfg(test)]
mod tests;
