//! Identifies the client and lets it in, or not: the address behind trusted proxies, the certificate, the
//! login, the rules.
//!
//! Without rules none of this runs. With rules, a login that was proved within the last minute costs one
//! keyed hash.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ::access::{Access, AccessTable, Verdict};
use http::header::{self, HeaderMap, HeaderName};
use http::request;
use oci::{Repository, Request};
use policy::access::{self as rules, Decision, Forwarding, Identity};

use crate::respond::error::{AccessRefusal, NoAccess};
use crate::tls::TlsSession;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client behind a connection from `peer`. The port is 0 if only a proxy knows it.
pub(crate) fn client_of(peer: SocketAddr, headers: &HeaderMap, table: Option<&AccessTable>) -> SocketAddr {
    let Some(table) = table.filter(|table| rules::contains(&table.trusted_proxies, peer.ip())) else {
        return peer;
    };
    let values = |name: &HeaderName| headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
    let forwarding =
        Forwarding { x_forwarded_for: values(&X_FORWARDED_FOR), forwarded: values(&header::FORWARDED) };
    let address = rules::client_address(peer.ip(), &table.trusted_proxies, &forwarding);
    if address == peer.ip().to_canonical() { peer } else { SocketAddr::new(address, 0) }
}

/// A client that rules have let in.
#[derive(Debug)]
pub(crate) struct Visitor {
    access: Arc<Access>,
    pub(crate) identity: Identity,
    /// The fault of the login that it sent. Without a login it may read less than with one.
    login_fault: Option<NoAccess>,
}

impl Visitor {
    /// Whether the client may read this of the registry.
    pub(crate) fn check(&self, asked: &Request) -> Result<(), AccessRefusal> {
        let why = match rules::decide(&self.access.rules, &self.identity, asked) {
            Decision::Allow => return Ok(()),
            Decision::Challenge => self.login_fault.clone().unwrap_or(NoAccess::NoLogin),
            Decision::Refuse(refused) => NoAccess::Rule(refused),
        };
        let registry = &self.access.rules.registry;
        let target = match asked.repository() {
            Some(repository) => format!("{registry}/{repository}"),
            None => registry.clone(),
        };
        Err(AccessRefusal { target, why })
    }

    /// Whether a list may name the repository.
    pub(crate) fn may_list(&self, repository: &Repository) -> bool {
        rules::may_list(&self.access.rules, &self.identity, repository)
    }
}

/// Lets a client into a registry that has rules.
pub(crate) async fn admit(
    table: &AccessTable,
    access: &Arc<Access>,
    client: IpAddr,
    head: &request::Parts,
) -> Result<Visitor, AccessRefusal> {
    let session = head.extensions.get::<TlsSession>();
    let certificate = session.and_then(TlsSession::client).cloned();
    let mut identity = Identity { certificate, ..Identity::of_address(client) };
    let own = &access.rules;
    // Where a login changes nothing, no password is checked.
    let may_help = own.admit(&identity) == Decision::Challenge || own.depend_on_logins();
    let verdict = if may_help { prove(table, access, client, &head.headers).await } else { Verdict::Nothing };
    if let Verdict::Proved(login) = &verdict {
        identity.login = Some(login.clone());
    }
    let login_fault = match verdict {
        Verdict::Paced(wait) => Some(NoAccess::Paced(wait)),
        Verdict::Busy(wait) => Some(NoAccess::Busy(wait)),
        Verdict::Wrong => Some(NoAccess::WrongLogin),
        Verdict::Nothing | Verdict::Proved(_) => None,
    };
    let why = match own.admit(&identity) {
        Decision::Allow => return Ok(Visitor { access: Arc::clone(access), identity, login_fault }),
        Decision::Refuse(refused) => NoAccess::Rule(refused),
        Decision::Challenge => login_fault.unwrap_or(NoAccess::NoLogin),
    };
    Err(AccessRefusal { target: own.registry.clone(), why })
}

/// Lets a client see `/v2/` where it names no registry. Clients look there for the challenge, so this
/// challenges if any registry does; any login that lets the client in somewhere is right.
pub(crate) async fn admit_anywhere(
    table: &AccessTable,
    client: IpAddr,
    head: &request::Parts,
) -> Result<Option<Visitor>, AccessRefusal> {
    let (mut is_in, mut challenge, mut refused) = (false, None, None);
    for access in table.all() {
        match admit(table, access, client, head).await {
            Ok(visitor) if visitor.identity.login.is_some() => return Ok(Some(visitor)),
            Ok(_) => is_in = true,
            Err(AccessRefusal { why: NoAccess::Rule(rule), .. }) => {
                // A registry that refuses this client does not close the others to it.
                let is_common = table.common.as_ref().is_some_and(|common| Arc::ptr_eq(common, access));
                refused = refused.or_else(|| is_common.then_some(NoAccess::Rule(rule)));
            }
            Err(refusal) => challenge = challenge.or(Some(refusal.why)),
        }
    }
    match challenge.or(refused.filter(|_| !is_in)) {
        Some(why) => Err(AccessRefusal { target: String::new(), why }),
        None => Ok(None),
    }
}

/// Proves the client's login.
async fn prove(table: &AccessTable, access: &Access, client: IpAddr, headers: &HeaderMap) -> Verdict {
    let Some(logins) = &access.logins else { return Verdict::Nothing };
    let mut values = headers.get_all(header::AUTHORIZATION).iter().map(|value| value.as_bytes());
    let (first, second) = (values.next(), values.next());
    let known = match (first, second) {
        (None, _) => return Verdict::Nothing,
        // A proxy in between may have read either of them, so this server takes none.
        (Some(_), Some(_)) => return Verdict::Wrong,
        (Some(header), None) => header,
    };
    match logins.prove(known) {
        Ok(verdict) => verdict,
        // Boxed, because this future is large and few requests need it.
        Err(unchecked) => Box::pin(logins.check(unchecked, client, &table.verifier)).await,
    }
}

#[cfg(test)]
mod tests;
