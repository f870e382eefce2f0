//! A host that a question is put to.

use oci::Repository;
use url::Url;

use super::scope::Need;

/// A host in the course of a request.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// What is asked there.
    pub(crate) url: Url,
    pub(crate) role: Role,
    /// The repository as this host calls it.
    pub(crate) repository: Repository,
    pub(crate) need: Need,
}

/// Where in a chain of redirects a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The registry itself.
    Home,
    /// Where it redirected to.
    Other,
    /// The registry again, sent back to by another. What it is asked there is that other's choice, so that it
    /// is shown nothing (CVE-2024-45336).
    Returned,
}

impl Host {
    pub(crate) fn is_home(&self) -> bool {
        self.role == Role::Home
    }
}
