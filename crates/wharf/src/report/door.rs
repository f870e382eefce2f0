//! How clients find the registries at one of our listeners.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use policy::host::Route;

use crate::config::{Config, Registry};

/// The name that stands for this machine where nobody has told what it is called.
pub(super) const UNKNOWN_ADDRESS: &str = "<address>";

/// Where Docker finds the Hub.
pub(super) struct Mirror {
    pub(super) url: String,
    /// Whether that is so only once the Hub is the default registry.
    pub(super) needs_default: bool,
}

/// One listener, and what this machine is called there.
pub(super) struct Door<'a> {
    pub(super) config: &'a Config,
    pub(super) address: SocketAddr,
    /// Whether TLS is spoken at `address`.
    pub(super) is_tls: bool,
    /// What others reach this machine by, if that is known.
    pub(super) own: Option<Ipv4Addr>,
}

impl<'a> Door<'a> {
    /// The door that clients are shown: the one with TLS, if there is one.
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
        Some(Self { config, address, is_tls, own })
    }

    /// What all registries share: a host, and a port where it is not the scheme's own.
    pub(super) fn base(&self) -> String {
        let host = match (&self.config.domain, self.address.ip()) {
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

    /// The virtual host of `registry`, if it can have one that clients accept: over TLS, one in the certificate. None
    /// without a domain: `docker.io.localhost` is a name that curl and browsers know by themselves, and Debian's resolver,
    /// and so every container client, does not; and names below `nip.io` depend on somebody else's DNS, which many
    /// routers block for addresses of the own network.
    fn virtual_host(&self, registry: &Registry) -> Option<String> {
        let (name, domain) = (&registry.names.name, self.config.domain.as_ref()?);
        if name.starts_with('[') {
            return None;
        }
        let label = name.replace(':', "-");
        // A wildcard certificate covers one label: that of the name with dashes for dots (RFC 9525, section 6.3).
        let labels = [label.clone(), label.replace('.', "-")];
        labels.into_iter().find_map(|label| {
            let host = format!("{label}.{domain}");
            let tls = self.config.server.tls.as_ref().filter(|_| self.is_tls);
            tls.is_none_or(|tls| tls.identity.covers(&host)).then(|| self.with_port(&host))
        })
    }

    /// The registry that the bare address means, if any.
    pub(super) fn bare(&self) -> Option<&'a Registry> {
        // Any address is routed like any other; in a container the own one is not known.
        let address = self.with_port("127.0.0.1");
        let route = self.config.routes.route(&address, "/v2/library/alpine/manifests/latest", None);
        let Ok(Route::Registry { registry: index, .. }) = route else { return None };
        Some(&self.config.registries[index])
    }

    /// Where Docker finds the Hub: at the bare address, if that means the Hub, for then no name has to resolve.
    pub(super) fn docker_mirror(&self) -> Option<Mirror> {
        let hub = self.config.registries.iter().find(|registry| registry.cache.hub_names)?;
        if self.bare().is_some_and(|bare| bare.cache.hub_names) {
            return Some(Mirror { url: self.base_url(), needs_default: false });
        }
        match self.virtual_host(hub) {
            Some(host) => Some(Mirror { url: self.url(&host), needs_default: false }),
            // Docker takes a path for a mirror from 25 on, and Debian has an older one.
            None if self.bare().is_none() => Some(Mirror { url: self.base_url(), needs_default: true }),
            None => None,
        }
    }

    /// What stands for the registry in front of an image's name: its virtual host, else the address with its name
    /// behind it.
    pub(super) fn address_of(&self, registry: &Registry) -> Option<String> {
        self.virtual_host(registry).or_else(|| self.prefixed(registry))
    }

    /// The address with the registry's name as a prefix of the path. A name with a port has a dash for the colon, which
    /// no image's name can hold; one that is an IPv6 address has no such form.
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
        match self.address.port() {
            port if port == own_port => host.to_owned(),
            port => format!("{host}:{port}"),
        }
    }

    /// This machine, where we listen on all of its addresses.
    fn own(&self) -> String {
        self.own.map_or_else(|| UNKNOWN_ADDRESS.to_owned(), |own| own.to_string())
    }
}
