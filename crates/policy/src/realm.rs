//! Decides which hosts belong to an upstream, and which token realms may see its credentials.
//!
//! A realm is foreign text. Clients that sent credentials to any realm gave them away (CVE-2020-15157,
//! CVE-2026-33540). Requiring the same origin breaks Docker Hub, whose realm is another host of the same
//! domain.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::host_port::HostPort;

/// A host that the operator lists as part of the upstream: `auth.corp.example`, `10.1.2.3:9000` or
/// `[fd00::1]:5000`. Without a port it means the default port of the URL's scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHost {
    host: Host,
    port: Option<u16>,
}

/// The text names no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trusted host reads <host> or <host>:<port>, without scheme or path")]
pub struct TrustedHostError;

/// The hosts of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamScope {
    upstream: Url,
    trusted: Vec<TrustedHost>,
}

/// The credentials that a token request to a realm may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealmPlan {
    /// The configured credentials, if any.
    Trusted(Url),
    /// None: the realm may not belong to the upstream.
    Anonymous(Url),
    /// No request at all.
    Refused(RealmError),
}

/// The reasons not to send a token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// The realm is no absolute URL with a host.
    #[error("the token realm is not a URL")]
    Url,
    /// The scheme is neither `http` nor `https`.
    #[error("the token realm is neither http nor https")]
    Scheme,
    /// The URL has a user or a password.
    #[error("the token realm has a user in its URL")]
    Userinfo,
    /// The request would carry the token of an `https` upstream in the clear.
    #[error("the token realm is http while the upstream is https")]
    Downgrade,
}

impl TrustedHost {
    /// Returns the host, as URLs have it, and its port, if one was given.
    pub fn with_port(&self) -> Option<(String, u16)> {
        Some((self.host.to_string(), self.port?))
    }

    fn covers(&self, url: &Url) -> bool {
        let port = match (self.port, url.scheme()) {
            (Some(port), _) => Some(port),
            (None, "https") => Some(443),
            (None, _) => Some(80),
        };
        url.port_or_known_default() == port && url.host().is_some_and(|host| same_host(&self.host, &host))
    }
}

impl FromStr for TrustedHost {
    type Err = TrustedHostError;

    fn from_str(text: &str) -> Result<Self, TrustedHostError> {
        if text.is_empty() || text.contains(['/', '@', '?', '#', '\\']) || text.contains(char::is_whitespace)
        {
            return Err(TrustedHostError);
        }
        // The port is read apart, because a URL forgets a port that is its scheme's default.
        let (host, port) = HostPort::split(text).ok_or(TrustedHostError)?;
        let port = port.map(|port| port.parse().map_err(|_| TrustedHostError)).transpose()?;
        let url = Url::parse(&format!("https://{host}/")).map_err(|_| TrustedHostError)?;
        let host = url.host().ok_or(TrustedHostError)?.to_owned();
        Ok(Self { host, port })
    }
}

impl fmt::Display for TrustedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

impl UpstreamScope {
    /// Makes the scope of `upstream` (an `http` or `https` URL) and its trusted hosts.
    pub fn new(upstream: Url, trusted: Vec<TrustedHost>) -> Self {
        Self { upstream, trusted }
    }

    /// Tells whether the URL's host and port belong to the upstream or are trusted.
    pub fn contains(&self, url: &Url) -> bool {
        self.is_upstream(url) || self.trusted.iter().any(|trusted| trusted.covers(url))
    }

    /// Decides which credentials a token request to the realm of a challenge may carry.
    ///
    /// Credentials go to the upstream's host and port, to trusted hosts, and over `https` to hosts of the
    /// same registrable domain. That domain must end in a suffix on the public suffix list: under an invented
    /// one (`corp.lan`, `cluster.local`) the boundary between owners is unknown.
    pub fn plan_realm(&self, realm: &str) -> RealmPlan {
        match Url::parse(realm).map_err(|_| RealmError::Url).and_then(|url| self.check_realm(url)) {
            Err(error) => RealmPlan::Refused(error),
            Ok(url) if self.may_see_credentials(&url) => RealmPlan::Trusted(url),
            Ok(url) => RealmPlan::Anonymous(url),
        }
    }

    /// As [`plan_realm`](Self::plan_realm), for a challenge by `host`: the upstream, or a host that it
    /// redirected to. The token goes to that host, so credentials are sent for it only if the host may see
    /// them itself.
    ///
    /// A registry behind a proxy that terminates TLS often names itself with `http`. If that is its own host,
    /// `https` is used: it has just answered over it. Any other `http` realm of an `https` host is refused.
    pub fn plan_realm_for(&self, host: &Url, realm: &str) -> RealmPlan {
        let Ok(mut url) = Url::parse(realm) else { return RealmPlan::Refused(RealmError::Url) };
        if url.scheme() == "http"
            && host.scheme() == "https"
            && (!is_same_host(host, &url) || url.set_scheme("https").is_err())
        {
            return RealmPlan::Refused(RealmError::Downgrade);
        }
        match self.plan_realm(url.as_str()) {
            RealmPlan::Trusted(url) if !self.may_see_credentials(host) => RealmPlan::Anonymous(url),
            plan => plan,
        }
    }

    /// Tells whether the upstream's credentials may be sent to the URL's host.
    pub fn may_see_credentials(&self, url: &Url) -> bool {
        self.contains(url) || (url.scheme() == "https" && self.is_same_domain(url))
    }

    fn check_realm(&self, mut url: Url) -> Result<Url, RealmError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(RealmError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RealmError::Userinfo);
        }
        if url.scheme() == "http" && self.upstream.scheme() == "https" {
            return Err(RealmError::Downgrade);
        }
        url.set_fragment(None);
        Ok(url)
    }

    fn is_upstream(&self, url: &Url) -> bool {
        is_same_host(&self.upstream, url)
            && self.upstream.port_or_known_default() == url.port_or_known_default()
    }

    fn is_same_domain(&self, url: &Url) -> bool {
        let ours = self.upstream.domain().and_then(suffix::registrable_domain);
        let theirs = url.domain().and_then(suffix::registrable_domain);
        ours.is_some() && ours == theirs
    }
}

/// Tells whether two URLs have the same host. The dot of the root behind a name changes nothing (RFC 1034,
/// section 3.1). A second dot does: no name ends in two.
pub fn is_same_host(one: &Url, other: &Url) -> bool {
    match (one.host(), other.host()) {
        (Some(one), Some(other)) => same_host(&one, &other),
        _ => false,
    }
}

fn same_host<S: AsRef<str>>(one: &Host<S>, other: &Host<&str>) -> bool {
    match (one, other) {
        (Host::Domain(one), Host::Domain(other)) => without_root(one.as_ref()) == without_root(other),
        (Host::Ipv4(one), Host::Ipv4(other)) => one == other,
        (Host::Ipv6(one), Host::Ipv6(other)) => one == other,
        _ => false,
    }
}

fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests;
