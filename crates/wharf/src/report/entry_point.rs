//! The addresses by which clients reach the registries at one listener.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use policy::host::Route;

use crate::config::{Config, Registry};
use crate::obtaining;

/// Stands for this machine if neither a name nor an address of it is known.
pub(super) const UNKNOWN_ADDRESS: &str = "<address>";

/// The mirror of Docker Hub for Docker.
pub(super) struct Mirror {
    pub(super) url: String,
    /// Whether it works only once Docker Hub is the default registry.
    pub(super) needs_default: bool,
}

/// One listener, and the name of this machine there.
pub(super) struct EntryPoint<'a> {
    pub(super) config: &'a Config,
    pub(super) address: SocketAddr,
    /// Whether the listener uses TLS.
    pub(super) is_tls: bool,
    /// The address by which other machines reach this one, if it is known.
    pub(super) own: Option<Ipv4Addr>,
    /// The address that the operator gives, which outweighs all others.
    pub(super) given: Option<GivenAddress>,
}

/// The address by which clients reach wharf where the configuration cannot know it, such as that of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenAddress {
    /// Clients use TLS; `None`: as the listener says.
    pub(crate) is_tls: Option<bool>,
    /// The host; an IPv6 address has brackets.
    pub(crate) host: String,
    /// `None`: the scheme's own port if a scheme is given, else the listener's.
    pub(crate) port: Option<u16>,
}

impl<'a> EntryPoint<'a> {
    /// The listener that clients should use: one with TLS, if there is one.
    pub(super) fn of(
        config: &'a Config,
        plain: &[SocketAddr],
        tls: &[SocketAddr],
        own: Option<Ipv4Addr>,
    ) -> Option<Self> {
        let (address, is_tls) = match (tls.first(), plain.first()) {
            (Some(address), _) => (*address, true),
            (None, Some(address)) => (*address, false),
            (None, None) => return None,
        };
        Some(Self { config, address, is_tls, own, given: None })
    }

    /// The same listener, which clients reach by `given`.
    pub(super) fn reached_by(self, given: GivenAddress) -> Self {
        Self { is_tls: given.is_tls.unwrap_or(self.is_tls), given: Some(given), ..self }
    }

    /// Tells whether a proxy in front of wharf ends TLS.
    fn is_behind_tls(&self) -> bool {
        self.is_tls && self.config.server.tls.is_none()
    }

    /// The host of all registries, with the port unless it is the scheme's default.
    pub(super) fn base(&self) -> String {
        let host = match (&self.config.domain, self.address.ip()) {
            _ if self.given.is_some() => self.given.iter().map(|given| given.host.clone()).collect(),
            (Some(domain), _) => domain.clone(),
            (None, ip) if ip.is_unspecified() => self.own(),
            (None, IpAddr::V6(ip)) => format!("[{ip}]"),
            (None, IpAddr::V4(ip)) => ip.to_string(),
        };
        self.with_port(&host)
    }

    /// The URL of [`base`](Self::base).
    pub(super) fn base_url(&self) -> String {
        self.url(&self.base())
    }

    /// The virtual host of `registry`, if clients accept one: with TLS, the certificate must cover it. `None`
    /// without a domain: curl and browsers resolve `docker.io.localhost`, but Debian's resolver and so every
    /// container client does not; and names below `nip.io` depend on a foreign DNS server, whose answers with
    /// private addresses many routers block.
    pub(super) fn virtual_host(&self, registry: &Registry) -> Option<String> {
        let (name, domain) = (&registry.names.name, self.config.domain.as_ref()?);
        if name.starts_with('[') {
            return None;
        }
        let label = name.replace(':', "-");
        // A wildcard certificate covers one label, such as the name with dashes for dots (RFC 9525, section
        // 6.3).
        let mut labels = [label.clone(), label.replace('.', "-")];
        if self.is_behind_tls() {
            // Nobody here knows the proxy's certificate, and a wildcard is the most likely.
            labels.reverse();
        }
        labels.into_iter().find_map(|label| {
            let host = format!("{label}.{domain}");
            let tls = self.config.server.tls.as_ref().filter(|_| self.is_tls);
            let is_covered = tls.is_none_or(|tls| tls.certificates.all().iter().any(|it| it.covers(&host)));
            (is_covered || obtaining::gives(self.config, &host)).then(|| self.with_port(&host))
        })
    }

    /// The registry of requests that name none, if there is one.
    pub(super) fn bare(&self) -> Option<&'a Registry> {
        // All addresses are routed alike; in a container wharf does not know its own.
        let address = self.with_port("127.0.0.1");
        let route = self.config.routes.route(&address, "/v2/library/alpine/manifests/latest", None);
        let Ok(Route::Registry { registry: index, .. }) = route else { return None };
        Some(&self.config.registries[index])
    }

    /// The mirror for Docker: the bare address, if Docker Hub is the default registry, for then no name has
    /// to resolve.
    pub(super) fn docker_mirror(&self) -> Option<Mirror> {
        let hub = self.config.registries.iter().find(|registry| registry.cache.hub_names)?;
        if self.bare().is_some_and(|bare| bare.cache.hub_names) {
            return Some(Mirror { url: self.base_url(), needs_default: false });
        }
        match self.virtual_host(hub) {
            Some(host) => Some(Mirror { url: self.url(&host), needs_default: false }),
            // Docker accepts a mirror with a path from version 25 on, and Debian has an older one.
            None if self.bare().is_none() => Some(Mirror { url: self.base_url(), needs_default: true }),
            None => None,
        }
    }

    /// The registry's part of an image reference: its virtual host, else the address followed by its name.
    pub(super) fn address_of(&self, registry: &Registry) -> Option<String> {
        self.virtual_host(registry).or_else(|| self.prefixed(registry))
    }

    /// The address with the registry's name as a path prefix. A dash replaces the colon before a port, which
    /// an image reference cannot have there; an IPv6 address has no such form.
    fn prefixed(&self, registry: &Registry) -> Option<String> {
        let name = &registry.names.name;
        (!name.starts_with('[')).then(|| format!("{}/{}", self.base(), name.replace(':', "-")))
    }

    pub(super) fn describe(&self, registry: &Registry) -> String {
        let ns = format!("{}/v2/?ns={}", self.base_url(), registry.names.name);
        match self.address_of(registry) {
            Some(address) => format!("{} or {ns}", self.url(&address)),
            None => ns,
        }
    }

    fn url(&self, host: &str) -> String {
        format!("{}://{host}", if self.is_tls { "https" } else { "http" })
    }

    fn with_port(&self, host: &str) -> String {
        let own_port = if self.is_tls { 443 } else { 80 };
        let port = match &self.given {
            Some(GivenAddress { port: Some(port), .. }) => *port,
            Some(GivenAddress { is_tls: Some(_), .. }) => own_port,
            _ => self.address.port(),
        };
        match port {
            port if port == own_port => host.to_owned(),
            port => format!("{host}:{port}"),
        }
    }

    /// The host of this machine if wharf listens on all of its addresses.
    fn own(&self) -> String {
        self.own.map_or_else(|| UNKNOWN_ADDRESS.to_owned(), |own| own.to_string())
    }
}
