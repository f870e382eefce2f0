//! How clients find the registries at one of our listeners.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use policy::host::Route;

use crate::config::{Config, Registry};

/// The name that stands for this machine where nobody has told what it is called.
pub(super) const UNKNOWN_ADDRESS: &str = "<address>";

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

    /// The virtual host of `registry`, if it can have one that clients accept: over TLS, one in the certificate.
    pub(super) fn virtual_host(&self, registry: &Registry) -> Option<String> {
        let name = &registry.names.name;
        if name.starts_with('[') {
            return None;
        }
        let label = name.replace(':', "-");
        // A wildcard certificate covers one label: that of the name with dashes for dots (RFC 9525, section 6.3).
        let labels = [label.clone(), label.replace('.', "-")];
        labels.into_iter().find_map(|label| {
            let host = self.host_below(&label);
            let tls = self.config.server.tls.as_ref().filter(|_| self.is_tls);
            tls.is_none_or(|tls| tls.identity.covers(&host)).then(|| self.with_port(&host))
        })
    }

    fn host_below(&self, label: &str) -> String {
        match (&self.config.domain, self.address.ip()) {
            (Some(domain), _) => format!("{label}.{domain}"),
            (None, ip) if ip.is_loopback() => format!("{label}.localhost"),
            // nip.io answers for any IPv4 address in a name; for others a name has to exist already.
            (None, IpAddr::V4(ip)) if !ip.is_unspecified() => format!("{label}.{ip}.nip.io"),
            (None, _) => format!("{label}.{}.nip.io", self.own()),
        }
    }

    /// Where Docker finds the Hub: at the bare address, if that means the Hub, for then no name has to resolve.
    pub(super) fn docker_mirror(&self) -> Option<String> {
        let base = self.base();
        // Any address is routed like any other; in a container the own one is not known.
        let address = self.with_port("127.0.0.1");
        let bare = self.config.routes.route(&address, "/v2/library/alpine/manifests/latest", None);
        if let Ok(Route::Registry { index, .. }) = bare
            && self.config.registries[index].cache.hub_names
        {
            return Some(self.url(&base));
        }
        let hub = self.config.registries.iter().find(|registry| registry.cache.hub_names)?;
        Some(self.url(&self.virtual_host(hub)?))
    }

    pub(super) fn describe(&self, registry: &Registry) -> String {
        let ns = format!("{}/v2/?ns={}", self.base_url(), registry.names.name);
        match self.virtual_host(registry) {
            Some(host) => format!("{} or {ns}", self.url(&host)),
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
