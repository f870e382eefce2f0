//! How the authority of `[server.acme]` validates names.

/// The kind of challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Tls,
    Dns,
}
