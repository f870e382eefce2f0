//! The mirror as its clients see it.

/// The registries that wharf serves, and the addresses under which clients reach them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The host of all registries, with the port unless it is the scheme's default.
    pub base: String,
    /// Clients connect with TLS.
    pub is_tls: bool,
    /// The private authority that signed the certificate; `None`: clients trust the certificate as it is.
    pub authority: Option<Authority>,
    /// In the order of the configuration.
    pub registries: Vec<Registry>,
}

/// A private authority that clients have to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its certificate, in PEM.
    pub pem: String,
}

/// One registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// The name in image references: `docker.io`.
    pub name: String,
    /// Its virtual host, with the port as in [`Mirror::base`]; `None` if clients cannot use one.
    pub host: Option<String>,
    /// It is Docker Hub.
    pub is_hub: bool,
    /// A request that names no registry means this one.
    pub is_default: bool,
    /// Clients need a login.
    pub needs_login: bool,
}

impl Mirror {
    /// The scheme of all addresses.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// The host for clients that name the registry in `ns`: the virtual host, else the bare address.
    pub(crate) fn host<'a>(&'a self, registry: &'a Registry) -> &'a str {
        registry.host.as_deref().unwrap_or(&self.base)
    }

    /// The URL of [`host`](Self::host).
    pub(crate) fn url(&self, registry: &Registry) -> String {
        format!("{}://{}", self.scheme(), self.host(registry))
    }

    /// The address for clients without `ns`: the virtual host, else the bare address with the registry's name
    /// as a path. `None` for the name of an IPv6 address, which no image reference can hold in a path.
    pub(crate) fn location(&self, registry: &Registry) -> Option<String> {
        let prefixed = || {
            let name = &registry.name;
            (!name.starts_with('[')).then(|| format!("{}/{}", self.base, name.replace(':', "-")))
        };
        registry.host.clone().or_else(prefixed)
    }

    /// The address for clients that take no path and send no `ns`.
    pub(crate) fn plain_host<'a>(&'a self, registry: &'a Registry) -> Option<&'a str> {
        registry.host.as_deref().or_else(|| registry.is_default.then_some(self.base.as_str()))
    }

    /// Docker Hub, if wharf serves it.
    pub(crate) fn hub(&self) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.is_hub)
    }

    /// The URL for clients that mirror Docker Hub alone, as `registry-mirrors` of Docker does.
    pub(crate) fn hub_url(&self) -> Option<String> {
        let hub = self.hub()?;
        let location = self.plain_host(hub).map(str::to_owned).or_else(|| self.location(hub))?;
        Some(format!("{}://{location}", self.scheme()))
    }

    /// The same, if Docker Hub needs no login here: Docker sends none to a mirror.
    pub(crate) fn open_hub_url(&self) -> Option<String> {
        self.hub().filter(|hub| !hub.needs_login)?;
        self.hub_url()
    }

    /// Each host of `hosts` once, in their order.
    pub(crate) fn unique<'a>(hosts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let mut unique = Vec::new();
        for host in hosts {
            if !unique.contains(&host) {
                unique.push(host);
            }
        }
        unique
    }

    /// The hosts for clients with `ns`, each once.
    pub(crate) fn hosts(&self) -> Vec<&str> {
        Self::unique(self.registries.iter().map(|registry| self.host(registry)))
    }

    /// Tells whether some registry needs a login.
    pub(crate) fn needs_login(&self) -> bool {
        self.registries.iter().any(|registry| registry.needs_login)
    }

    /// Tells whether a registry that clients reach at `host` needs a login.
    pub(crate) fn needs_login_at(&self, host: &str) -> bool {
        self.registries.iter().any(|registry| registry.needs_login && self.host(registry) == host)
    }
}

impl Registry {
    /// The real registry, to which clients fall back.
    pub(crate) fn origin(&self) -> String {
        let host = if self.is_hub { "registry-1.docker.io" } else { &self.name };
        format!("https://{host}")
    }

    /// The directory of the registry's `hosts.toml`. containerd accepts underscores around a port on every
    /// system.
    pub(crate) fn directory(&self) -> String {
        match self.name.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => format!("{host}_{port}_"),
            _ => self.name.clone(),
        }
    }
}

/// The host and port of a location or a URL, without its path.
pub(crate) fn host_of(location: &str) -> &str {
    let bare = location.split_once("://").map_or(location, |(_, rest)| rest);
    bare.split_once('/').map_or(bare, |(host, _)| host)
}
