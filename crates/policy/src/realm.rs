//! Decides which hosts are an upstream's own, and which token realms may see its credentials.
//!
//! A realm is written by whoever answers in the upstream's name. Sending credentials wherever it points gave
//! them away in several registries' clients (CVE-2020-15157, CVE-2026-33540); exact origin alone breaks
//! Docker Hub, whose realm is another host of the same domain.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::host_port::HostPort;

/// A host that the operator says is part of the upstream: `auth.corp.example`, `10.1.2.3:9000` or
/// `[fd00::1]:5000`. Without a port it means the default port of the URL's scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHost {
    host: Host,
    port: Option<u16>,
}

/// A text that names no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trusted host reads <host> or <host>:<port>, without scheme or path")]
pub struct TrustedHostError;

/// The hosts of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamScope {
    upstream: Url,
    trusted: Vec<TrustedHost>,
}

/// What a token request to a realm may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealmPlan {
    /// Credentials, when there are any.
    Trusted(Url),
    /// Nothing: the realm is not known to belong to the upstream.
    Anonymous(Url),
    /// No request at all.
    Refused(RealmError),
}

/// Why a realm is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RealmError {
    /// No absolute URL with a host.
    #[error("the token realm is not a URL")]
    Url,
    /// Neither `http` nor `https`.
    #[error("the token realm is neither http nor https")]
    Scheme,
    /// A user or a password stands in it.
    #[error("the token realm has a user in its URL")]
    Userinfo,
    /// It would carry the token of an `https` upstream in the clear.
    #[error("the token realm is http while the upstream is https")]
    Downgrade,
}

impl TrustedHost {
    /// The host, as URLs have it, and its port, where it was given one.
    pub fn with_port(&self) -> Option<(String, u16)> {
        Some((self.host.to_string(), self.port?))
    }

    fn covers(&self, url: &Url) -> bool {
        let port = match (self.port, url.scheme()) {
            (Some(port), _) => Some(port),
            (None, "https") => Some(443),
            (None, _) => Some(80),
        };
        url.port_or_known_default() == port
            && same_host(Some(&self.host), url.host().map(host_to_owned).as_ref())
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
        let host = url.host().map(host_to_owned).ok_or(TrustedHostError)?;
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
    /// The territory of `upstream` (an `http` or `https` URL) and the hosts listed with it.
    pub fn new(upstream: Url, trusted: Vec<TrustedHost>) -> Self {
        Self { upstream, trusted }
    }

    /// Tells whether the URL's host and port are the upstream's own, or listed with it.
    pub fn contains(&self, url: &Url) -> bool {
        self.is_upstream(url) || self.trusted.iter().any(|trusted| trusted.covers(url))
    }

    /// What a token request to the realm of a challenge may carry.
    ///
    /// Credentials go to the upstream's own host and port, to hosts listed with it, and over `https` to hosts
    /// of the same registrable domain. That domain must end in a suffix on the public suffix list: under an
    /// invented one (`corp.lan`, `cluster.local`) nobody can tell where one owner ends.
    pub fn plan_realm(&self, realm: &str) -> RealmPlan {
        match Url::parse(realm).map_err(|_| RealmError::Url).and_then(|url| self.check_realm(url)) {
            Err(error) => RealmPlan::Refused(error),
            Ok(url) if self.may_see_credentials(&url) => RealmPlan::Trusted(url),
            Ok(url) => RealmPlan::Anonymous(url),
        }
    }

    /// As [`plan_realm`](Self::plan_realm), for the challenge that `host` gave: the upstream, or a host that it
    /// redirected to. What the credentials earn is sent to that host, so they are sent for it only if it may see them
    /// itself.
    ///
    /// A registry behind a proxy that takes TLS off often names itself by `http`. Where that is its own host, `https`
    /// is meant: it has just answered by it. Any other `http` realm of an `https` host is refused.
    pub fn plan_realm_for(&self, host: &Url, realm: &str) -> RealmPlan {
        let Ok(mut url) = Url::parse(realm) else { return RealmPlan::Refused(RealmError::Url) };
        if url.scheme() == "http" && host.scheme() == "https" {
            let is_own =
                same_host(host.host().map(host_to_owned).as_ref(), url.host().map(host_to_owned).as_ref());
            if !is_own || url.set_scheme("https").is_err() {
                return RealmPlan::Refused(RealmError::Downgrade);
            }
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
        same_host(self.upstream.host().map(host_to_owned).as_ref(), url.host().map(host_to_owned).as_ref())
            && self.upstream.port_or_known_default() == url.port_or_known_default()
    }

    fn is_same_domain(&self, url: &Url) -> bool {
        let ours = self.upstream.domain().and_then(suffix::registrable_domain);
        let theirs = url.domain().and_then(suffix::registrable_domain);
        ours.is_some() && ours == theirs
    }
}

/// Whether two hosts are one; a trailing dot makes no difference.
fn same_host(one: Option<&Host>, other: Option<&Host>) -> bool {
    match (one, other) {
        (Some(Host::Domain(one)), Some(Host::Domain(other))) => {
            one.trim_end_matches('.') == other.trim_end_matches('.')
        }
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

fn host_to_owned(host: Host<&str>) -> Host {
    host.to_owned()
}

#[cfg(test)]
mod tests;
