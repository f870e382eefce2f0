//! What the plain listeners do beside TLS.

/// A word of `plain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// They serve like those with TLS.
    Serve,
    /// They redirect to TLS.
    Redirect,
}
