//! One host in a chain of redirects.

use std::sync::Arc;

use oci::Repository;
use url::Url;

use super::login::Login;
use super::scope::Need;

/// One host in a chain of redirects, with the URL that is requested there.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// The URL of this hop.
    pub(crate) url: Url,
    pub(crate) role: HopRole,
    /// The repository's name at this host.
    pub(crate) repository: Repository,
    pub(crate) need: Need,
    /// The login of this operation, if it has one. The hop's role decides whether this host may see it.
    pub(crate) login: Option<Arc<Login>>,
}

/// The position of a host in a chain of redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HopRole {
    /// The registry itself.
    Home,
    /// Another host that it redirected to.
    Other,
    /// The registry again, after another host redirected back to it. That host chose the URL, so the request
    /// carries no credentials (CVE-2024-45336).
    Returned,
}

impl Hop {
    pub(crate) fn is_home(&self) -> bool {
        self.role == HopRole::Home
    }
}
