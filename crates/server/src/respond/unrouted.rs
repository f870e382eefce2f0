//! Answers to requests that mean no registry of ours: they name what was asked for, and the line that would serve it.

use http::StatusCode;
use oci::{ErrorCode, Query};
use policy::host::{RouteError, RoutingTable, registry_name};
use telemetry::Answered;

use super::error::{ErrorAnswer, Extra};
use super::foreign::foreign;

/// The places in which a request names a registry, as the client wrote them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

/// The answer to a request that `routes` led nowhere.
pub(crate) fn answer<T>(error: RouteError, named: Named<'_>, routes: &RoutingTable<T>) -> ErrorAnswer {
    // A registry that is not configured has one word, wherever the request names it.
    let (status, code, outcome) = match error {
        RouteError::BadAuthority => (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid, Answered::Malformed),
        RouteError::Disagree => (StatusCode::NOT_FOUND, ErrorCode::NameUnknown, Answered::Disagree),
        RouteError::UnknownRegistry => {
            (StatusCode::NOT_FOUND, ErrorCode::NameUnknown, Answered::UnknownRegistry)
        }
        RouteError::UnknownHost if named.registry_in_host(routes).is_some() => {
            (StatusCode::NOT_FOUND, ErrorCode::NameUnknown, Answered::UnknownRegistry)
        }
        RouteError::UnknownHost => (StatusCode::NOT_FOUND, ErrorCode::NameUnknown, Answered::UnknownHost),
        RouteError::NoSelector if named.first_component().is_some() => {
            (StatusCode::NOT_FOUND, ErrorCode::NameUnknown, Answered::UnknownRegistry)
        }
        RouteError::NoSelector => (StatusCode::NOT_FOUND, ErrorCode::NameUnknown, Answered::NoSelector),
    };
    ErrorAnswer { status, code, message: named.describe(error, routes), outcome, extra: Extra::Warns }
}

/// The registry that the client perhaps meant by the first component of a repository's name, where nothing else
/// named one; with the line that would serve it.
pub(crate) fn hint<T>(named: Named<'_>, routes: &RoutingTable<T>) -> Option<String> {
    let name = named.first_component()?;
    let advice = match named.is_own(&name, routes) {
        true => own_address(&name),
        false => format!("if {} is a registry, {}", foreign(&name), add(&name)),
    };
    Some(format!("no registry was named, so the default registry was used; {advice}"))
}

impl Named<'_> {
    fn describe<T>(&self, error: RouteError, routes: &RoutingTable<T>) -> String {
        let host = foreign(self.authority);
        match error {
            RouteError::UnknownHost => self.describe_host(routes),
            RouteError::UnknownRegistry => self.describe_ns(routes),
            RouteError::Disagree => self.describe_disagreement(routes),
            RouteError::NoSelector => match self.first_component() {
                Some(name) if self.is_own(&name, routes) => own_address(&name),
                Some(name) => format!(
                    "{}, with which the path begins, is not configured here; {}",
                    foreign(&name),
                    add(&name)
                ),
                None => format!(
                    "cannot tell which registry is meant: Host was {host}, the path {} begins with no registry's \
                     name, and there is no `ns`; use a registry's own host name, put its name first in the path, \
                     or set `default_registry` in [server] of wharf's configuration",
                    foreign(self.path),
                ),
            },
            RouteError::BadAuthority => format!("the request's Host, {host}, is no host name"),
        }
    }

    /// Names the places that name a registry, and no other.
    fn describe_disagreement<T>(&self, routes: &RoutingTable<T>) -> String {
        let is_host = routes.host_names_registry(self.authority);
        let names = self.namespaces().collect::<Vec<_>>().join(",");
        let mut places = Vec::new();
        if is_host {
            places.push(format!("the host {}", foreign(self.authority)));
        }
        if routes.path_names_registry(self.path) {
            places.push(format!("the path {}", foreign(self.path)));
        }
        if !names.is_empty() {
            places.push(format!("`ns` {}", foreign(&names)));
        }
        let advice = if is_host {
            "a mirror for several registries uses wharf's own address, not one registry's host"
        } else {
            "name the registry in one place only"
        };
        format!(
            "{} name different registries, and serving one of them could hand out the wrong image; {advice}",
            places.join(" and ")
        )
    }

    fn describe_host<T>(&self, routes: &RoutingTable<T>) -> String {
        let host = foreign(self.authority);
        if let Some(name) = self.registry_in_host(routes) {
            return format!("no registry is served at {host}; to cache {}, {}", foreign(&name), add(&name));
        }
        match routes.domain().filter(|_| routes.label_of(self.authority).is_none()) {
            Some(domain) => format!(
                "{host} is no name of this cache: ask a name below {}; if it is one of wharf's own, add \
                 it to hosts of [server] in wharf's configuration",
                foreign(domain),
            ),
            None => format!("no registry is served at {host}; check the name"),
        }
    }

    /// The name before the domain, or before an address, if a registry can be called that.
    fn registry_in_host<T>(&self, routes: &RoutingTable<T>) -> Option<String> {
        registry_name(&routes.label_of(self.authority)?)
    }

    fn describe_ns<T>(&self, routes: &RoutingTable<T>) -> String {
        let Some(unknown) = self.namespaces().find(|ns| !routes.knows(ns)) else {
            return format!("the query {} has a malformed `ns`", foreign(self.query.unwrap_or_default()));
        };
        let shown = foreign(&unknown);
        match registry_name(&unknown) {
            Some(name) if self.is_own(&name, routes) => own_address(&name),
            Some(name) => format!("{shown}, which `ns` names, is not configured here; {}", add(&name)),
            None => format!("{shown}, which `ns` names, is not configured here, and is no host name"),
        }
    }

    /// Whether the name is wharf's own, under which it caches nothing: what the client asked, or a name that is always
    /// its own.
    fn is_own<T>(&self, name: &str, routes: &RoutingTable<T>) -> bool {
        name.eq_ignore_ascii_case(self.authority) || routes.is_own(name)
    }

    /// The values of `ns` that can be decoded.
    fn namespaces(&self) -> impl Iterator<Item = String> {
        Query::new(self.query).values("ns").filter_map(Result::ok)
    }

    /// The first component of the path, if a registry can be called that.
    fn first_component(&self) -> Option<String> {
        let rest = self.path.strip_prefix("/v2/").or_else(|| self.path.strip_prefix('/'))?;
        let (first, _) = rest.split_once('/')?;
        registry_name(&first.replace("%3A", ":").replace("%3a", ":"))
    }
}

/// What to do where wharf's own address stands where a registry's name belongs.
fn own_address(name: &str) -> String {
    format!(
        "{} is this cache's own address and no registry; write the registry's name behind it once, such as {}",
        foreign(name),
        foreign(&format!("{name}/docker.io/library/alpine"))
    )
}

/// What to do to have the registry of this name.
fn add(name: &str) -> String {
    format!("add [[registry]] name = '{name}' to wharf's configuration")
}

#[cfg(test)]
mod tests;
