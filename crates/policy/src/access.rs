//! Access control: which client may read which repository.
//!
//! wharf cannot authenticate clients yet, so there is one kind of [`Identity`] and one [`Decision`]. Every
//! request still passes [`decide`] before any look-up. A change that adds authentication adds a variant here,
//! and the compiler names the one place in the server that must answer it.

use std::net::IpAddr;

use oci::Request;

/// The client behind a request, as far as wharf knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A client without credentials.
    Anonymous {
        /// The address it connects from; an IPv4 address is never written as an IPv6 one.
        address: IpAddr,
    },
}

/// Whether a request may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
}

/// Decides whether `identity` may read what it `asked` of a registry. `registry` is none for `/v2/` where no
/// registry is named: that tells a client no more than that this is a registry.
pub fn decide(identity: &Identity, registry: Option<&str>, asked: &Request) -> Decision {
    match (identity, registry, asked) {
        (Identity::Anonymous { .. }, _, _) => Decision::Allow,
    }
}

#[cfg(test)]
mod tests;
