//! Routing: decides which registry a request is for.
//!
//! A request can name its registry in three places: its `Host`, a prefix in its path, and the query key `ns`
//! that containerd adds for mirrors. `Host` and `ns` must agree, because a guess would serve one registry's
//! image under another's name. The path may differ: once `Host` or `ns` has chosen, the path names a
//! repository, which may begin with a registry's name, as in projects that cache other registries. Only
//! configured registries are ever chosen.
//!
//! The rule, in order:
//!
//! 1. A virtual host: `<label>.<domain>`, an entry of `hosts`, or, where no domain is set, any host that
//!    begins with a label and a dot, such as `docker.io.localhost`. With a domain, any other host name is
//!    refused, below it and elsewhere, unless it is listed, is an address or has one part.
//! 2. `?ns=` with a registry's name or alias.
//! 3. A host that is itself a registry's name or alias, for networks that resolve it to wharf.
//! 4. A path prefix that is a registry's name or alias: `/P/v2/…`, `/v2/P/…`, `/v2/P/v2/…`, `/P/…`.
//! 5. The default registry; not for a host that names another registry, such as `nvcr.io.localhost`.
//!
//! A registry's *labels* are its names and aliases, and the same with dashes for dots (`docker-io`), which
//! one wildcard certificate covers. A name with a port, `registry.corp.example:8443`, has the labels
//! `registry.corp.example-8443` and `registry-corp-example-8443`, and, unless another registry claims them,
//! those without the port as well. A path prefix has the colon as it is or as `%3A`; since no image reference
//! can have one there, `registry.corp.example-8443` and the name without the port are understood too. `ns`
//! always gives the port, as clients do.
//!
//! The chosen registry's own name is removed from the path once. The rest is not searched for a prefix again,
//! so a repository that begins with the name of its own registry can be reached as `/v2/<own
//! name>/<repository>`.

mod own;
mod table;

use std::collections::{HashMap, HashSet};

use oci::Query;

use crate::host_port::parse_host;

pub use self::own::{is_address_or_listed, registry_name};

/// The names of one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryNames {
    /// The registry's name, `host` or `host:port`, in any case.
    pub name: String,
    /// Further names, of the same form. Docker Hub's need not be given.
    pub aliases: Vec<String>,
    /// Host names beside those made from the labels. A port is ignored.
    pub hosts: Vec<String>,
}

/// The registries and every way to name them. A registry is a `T`: anything that the caller serves requests
/// with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingTable<T = usize> {
    /// The tables below hold positions in this list.
    registries: Vec<T>,
    domain: Option<String>,
    default: Option<usize>,
    /// Names and aliases, lower-case, with their ports.
    names: HashMap<String, usize>,
    /// Path prefixes besides the names.
    prefixes: HashMap<String, usize>,
    /// First parts of host names.
    labels: HashMap<String, usize>,
    /// Whole host names.
    hosts: HashMap<String, usize>,
    /// Host names under which wharf itself is reached, beside its addresses: they name no registry.
    own_hosts: HashSet<String>,
}

/// The result of routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<T = usize> {
    /// To a registry.
    Registry {
        /// The registry, as the table holds it.
        registry: T,
        /// The path without the prefix, `/v2/…`. A path outside the API is returned unchanged.
        path: String,
        /// The form in which the client named the registry, for links in the answer.
        link: LinkShape,
    },
    /// `/v2/` on a host that names no registry: it asks for the API version and for no upstream.
    Version,
}

impl<T> Route<T> {
    /// Returns the request's value of `ns`.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Registry { link, .. } => link.ns.as_deref(),
            Self::Version => None,
        }
    }
}

/// The reasons why a request cannot be routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A name under the domain that belongs to no registry, or an unknown host name.
    #[error("no registry has this host name")]
    UnknownHost,
    /// `ns` names a registry that is not configured.
    #[error("the registry named by `ns` is not configured")]
    UnknownRegistry,
    /// Host, path and `ns` name different registries.
    #[error("the host name, the path and `ns` name different registries")]
    Disagree,
    /// Nothing names a registry, and there is no default.
    #[error("neither the host name, the path nor `ns` names a registry")]
    NoSelector,
    /// The authority is no `host` or `host:port`: a 400, unlike the others.
    #[error("the host name is malformed")]
    BadAuthority,
}

/// A mistake in the registries' names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not `host` or `host:port`, or reserved for a path of the API.
    #[error("`{name}` is no name for a registry")]
    BadName {
        /// The name or alias.
        name: String,
    },
    /// An entry of `hosts` that is no host name.
    #[error("`{host}`, a host of `{registry}`, is no host name")]
    BadHost {
        /// Name of the registry.
        registry: String,
        /// The entry.
        host: String,
    },
    /// The domain is no host name, or has a port.
    #[error("the domain `{0}` is no host name")]
    BadDomain(String),
    /// The default registry is not among the registries.
    #[error("the default registry `{0}` is not configured")]
    UnknownDefault(String),
    /// Two registries claim one name.
    #[error("`{name}` would name both `{first}` and `{second}`")]
    Overlap {
        /// A name, alias, label or host.
        name: String,
        /// Name of the registry that has it.
        first: String,
        /// Name of the registry that claims it too.
        second: String,
    },
}

/// The form in which the client named the registry: a `Link` uses the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkShape {
    /// The client's prefix in place of `/v2`.
    base: String,
    /// The value of `ns`, if the request had one.
    ns: Option<String>,
}

impl LinkShape {
    /// Returns a path `/v2/…` in the client's form.
    pub fn path(&self, path: &str) -> String {
        format!("{}{}", self.base, path.strip_prefix("/v2").unwrap_or(path))
    }

    /// Returns a path `/v2/…` with a query in the client's form, with `ns` if the request had one.
    pub fn target(&self, path: &str, query: &str) -> String {
        let ns = self.ns.as_ref().map(|ns| format!("ns={}", ns.replace(':', "%3A")));
        let query: Vec<&str> =
            [query].into_iter().chain(ns.as_deref()).filter(|part| !part.is_empty()).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", self.path(path), query.join("&"))
    }
}

impl<T> RoutingTable<T> {
    /// Returns the same table with the value that `replace` returns for each registry.
    #[must_use]
    pub fn map<U>(&self, replace: impl FnMut(&T) -> U) -> RoutingTable<U> {
        RoutingTable {
            registries: self.registries.iter().map(replace).collect(),
            domain: self.domain.clone(),
            default: self.default,
            names: self.names.clone(),
            prefixes: self.prefixes.clone(),
            labels: self.labels.clone(),
            hosts: self.hosts.clone(),
            own_hosts: self.own_hosts.clone(),
        }
    }

    /// Tells whether `other` has the same names for wharf itself: the domain, the own hosts, and the default
    /// registry.
    pub fn has_same_own_names(&self, other: &Self) -> bool
    where
        T: PartialEq,
    {
        let default = self.default.map(|index| &self.registries[index]);
        default == other.default.map(|index| &other.registries[index])
            && self.domain == other.domain
            && self.own_hosts == other.own_hosts
    }

    /// Returns the registries, in the order of [`RoutingTable::new`].
    pub fn registries(&self) -> &[T] {
        &self.registries
    }

    /// Chooses the registry for a request.
    ///
    /// `authority` is the `Host` header or `:authority`, as sent; empty for an HTTP/1.0 request without one.
    /// `path` and `query` are as sent, undecoded.
    ///
    /// # Errors
    /// [`RouteError`]. All but [`RouteError::BadAuthority`] become a 404, so that a client goes on to the
    /// registry itself.
    pub fn route(&self, authority: &str, path: &str, query: Option<&str>) -> Result<Route<T>, RouteError>
    where
        T: Clone,
    {
        let route = self.route_or(self.default, authority, path, query)?;
        Ok(match route {
            Route::Registry { registry, path, link } => {
                Route::Registry { registry: self.registries[registry].clone(), path, link }
            }
            Route::Version => Route::Version,
        })
    }

    /// Returns the registry of the requests that name none.
    pub fn default_registry(&self) -> Option<&T> {
        Some(&self.registries[self.default?])
    }

    /// Tells whether a request gets the default registry because it names none.
    pub fn is_by_default(&self, authority: &str, path: &str, query: Option<&str>) -> bool {
        self.default.is_some() && self.route_or(None, authority, path, query) == Err(RouteError::NoSelector)
    }

    fn route_or(
        &self,
        default: Option<usize>,
        authority: &str,
        path: &str,
        query: Option<&str>,
    ) -> Result<Route, RouteError> {
        let host = parse_host(authority).ok_or(RouteError::BadAuthority)?;
        let by_host = self.find_virtual_host(&host)?;
        let by_ns = self.find_ns(query)?;
        let ns = by_ns.as_ref().map(|(index, _)| *index);
        if by_host.is_some() && ns.is_some() && by_host != ns {
            return Err(RouteError::Disagree);
        }
        let chosen = by_host.or(ns).or_else(|| self.names.get(&host).copied());
        let prefix = match self.find_prefix(path) {
            Some(prefix) if chosen.is_some_and(|index| index != prefix.index) => {
                if !prefix.may_be_a_repository {
                    return Err(RouteError::Disagree);
                }
                None
            }
            prefix => prefix,
        };
        let prefixed = prefix.as_ref().map(|prefix| prefix.index);
        // A host that is a registry's name is often the name of wharf's machine too.
        if by_host.or(ns).or(prefixed).is_none() && matches!(path, "/v2" | "/v2/") {
            return Ok(Route::Version);
        }
        let named = chosen.or(prefixed);
        let index = match (named, default) {
            (Some(index), _) => index,
            (None, Some(_)) if own::names_a_registry(&host) => return Err(RouteError::UnknownHost),
            (None, Some(default)) => default,
            (None, None) => return Err(RouteError::NoSelector),
        };
        let (base, path) = match prefix {
            Some(prefix) => (prefix.base, prefix.path),
            None => ("/v2".to_owned(), path.to_owned()),
        };
        let link = LinkShape { base, ns: by_ns.map(|(_, name)| name) };
        Ok(Route::Registry { registry: index, path, link })
    }

    /// Adds host names of wharf itself, beside its addresses. They name no registry. They matter if a domain
    /// is set: no other name is answered then.
    #[must_use]
    pub fn with_own_hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        self.own_hosts.extend(hosts.into_iter().filter_map(|host| parse_host(&host)));
        self
    }

    /// The host names of wharf itself, in alphabetical order.
    pub fn own_hosts(&self) -> impl Iterator<Item = &str> {
        let mut hosts: Vec<&str> = self.own_hosts.iter().map(String::as_str).collect();
        hosts.sort_unstable();
        hosts.into_iter()
    }

    /// Returns the part of a host before the domain, such as `nvcr.io`; without a domain, the part before an
    /// address or `localhost`.
    pub fn label_of(&self, authority: &str) -> Option<String> {
        let host = parse_host(authority)?;
        let label = match &self.domain {
            Some(domain) => host.strip_suffix(domain.as_str())?.strip_suffix('.')?,
            None => own::before_address(&host)?,
        };
        Some(label.to_owned())
    }

    /// Returns the registry with this name or alias, in any case.
    pub fn registry(&self, name: &str) -> Option<&T> {
        self.names.get(&name.to_ascii_lowercase()).map(|index| &self.registries[*index])
    }

    /// Tells whether a registry has this name or alias.
    pub fn knows(&self, name: &str) -> bool {
        self.names.contains_key(&name.to_ascii_lowercase())
    }

    /// Tells whether a host or a `host:port` can only be wharf itself: `localhost`, a loopback address, the
    /// domain, or one of the [own hosts](Self::with_own_hosts).
    pub fn is_own(&self, authority: &str) -> bool {
        let Some(host) = parse_host(authority) else { return false };
        own::is_loopback(&host) || self.domain.as_ref() == Some(&host) || self.own_hosts.contains(&host)
    }

    /// Tells whether a host names a registry: as a virtual host, or by a registry's own name.
    pub fn host_names_registry(&self, authority: &str) -> bool {
        let Some(host) = parse_host(authority) else { return false };
        matches!(self.find_virtual_host(&host), Ok(Some(_))) || self.names.contains_key(&host)
    }

    /// Tells whether a path has a registry's name in front of `/v2/`. A name behind `/v2/` may also be the
    /// first component of a repository's name.
    pub fn path_names_registry(&self, path: &str) -> bool {
        self.find_prefix(path).is_some_and(|prefix| !prefix.may_be_a_repository)
    }

    /// The domain whose subdomains are virtual hosts.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    fn find_virtual_host(&self, host: &str) -> Result<Option<usize>, RouteError> {
        if let Some(index) = self.hosts.get(host) {
            return Ok(Some(*index));
        }
        match &self.domain {
            _ if self.own_hosts.contains(host) => Ok(None),
            Some(domain) if is_below(host, domain) => Err(RouteError::UnknownHost),
            // A web page's owner can point any name at us (DNS rebinding), so only listed names are answered.
            Some(domain) if host != domain && !own::is_local(host) && !self.names.contains_key(host) => {
                Err(RouteError::UnknownHost)
            }
            Some(_) => Ok(None),
            None => Ok(longest_label(&self.labels, host)),
        }
    }

    fn find_prefix(&self, path: &str) -> Option<Prefix> {
        let (head, rest) = match path.strip_prefix("/v2/") {
            Some(rest) => ("/v2", rest),
            None => ("", path.strip_prefix('/')?),
        };
        let segment = rest.split('/').next().unwrap_or_default();
        let mut name = segment.to_ascii_lowercase();
        if name.contains('%') {
            name = name.replace("%3a", ":");
        }
        let index = self.names.get(&name).or_else(|| self.prefixes.get(&name))?;
        let rest = &rest[segment.len()..];
        let mut base = format!("{head}/{segment}");
        let rest = match rest.strip_prefix("/v2") {
            Some(behind) if behind.is_empty() || behind.starts_with('/') => {
                base.push_str("/v2");
                behind
            }
            _ => rest,
        };
        let may_be_a_repository = !head.is_empty();
        Some(Prefix { index: *index, base, path: format!("/v2{rest}"), may_be_a_repository })
    }

    /// Returns the registry that `ns` names, and the name as written there. Several values must agree.
    fn find_ns(&self, query: Option<&str>) -> Result<Option<(usize, String)>, RouteError> {
        let mut found: Option<(usize, String)> = None;
        for value in Query::new(query).values("ns") {
            let name = value.map_err(|_| RouteError::UnknownRegistry)?.to_ascii_lowercase();
            let index = *self.names.get(&name).ok_or(RouteError::UnknownRegistry)?;
            if found.as_ref().is_some_and(|(other, _)| *other != index) {
                return Err(RouteError::Disagree);
            }
            found.get_or_insert((index, name));
        }
        Ok(found)
    }
}

/// A registry's name at the front of a path.
struct Prefix {
    index: usize,
    /// The start of the path as the client wrote it; `path` has `/v2` in its place.
    base: String,
    path: String,
    /// Whether it may also be the first component of a repository's name.
    may_be_a_repository: bool,
}

/// Returns the registry whose label is the start of `host`, up to a dot. The longest label wins.
fn longest_label(labels: &HashMap<String, usize>, host: &str) -> Option<usize> {
    let dots = host.rmatch_indices('.').map(|(dot, _)| dot);
    dots.filter_map(|dot| labels.get(&host[..dot])).next().copied()
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}

#[cfg(test)]
mod tests;
