//! Answers to requests that name no configured registry. They quote the name and show how to configure it.

use http::StatusCode;
use oci::{ErrorCode, Query};
use policy::host::{RouteError, RoutingTable, registry_name};
use telemetry::Answered;

use super::error::{ErrorAnswer, Extra};
use crate::quote::quoted;

/// The places in which a request names a registry, as the client wrote them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

/// Returns the answer to a request that `routes` could not route.
pub(crate) fn answer<T>(error: RouteError, named: Named<'_>, routes: &RoutingTable<T>) -> ErrorAnswer {
    // An unconfigured registry has one outcome, wherever the request names it.
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

/// Suggests the registry that the client may have meant by the first component of a repository's name, if the
/// request names no other, with the line that would configure it.
pub(crate) fn hint<T>(named: Named<'_>, routes: &RoutingTable<T>) -> Option<String> {
    let name = named.first_component()?;
    let advice = match named.is_own(&name, routes) {
        true => own_address(&name),
        false => format!("if {} is a registry, {}", quoted(&name), add(&name)),
    };
    Some(format!("no registry was named, so the default registry was used; {advice}"))
}

impl Named<'_> {
    fn describe<T>(&self, error: RouteError, routes: &RoutingTable<T>) -> String {
        let host = quoted(self.authority);
        match error {
            RouteError::UnknownHost => self.describe_host(routes),
            RouteError::UnknownRegistry => self.describe_ns(routes),
            RouteError::Disagree => self.describe_disagreement(routes),
            RouteError::NoSelector => match self.first_component() {
                Some(name) if self.is_own(&name, routes) => own_address(&name),
                Some(name) => format!(
                    "the path begins with {}, which is not configured here; {}",
                    quoted(&name),
                    add(&name)
                ),
                None => format!(
                    "the request names no registry: Host is {host}, the path {} does not begin with a registry's \
                     name, and there is no `ns`; use the registry's own host name, put its name first in the \
                     path, or set `default_registry` in [server] of wharf's configuration",
                    quoted(self.path),
                ),
            },
            RouteError::BadAuthority => format!("the request's Host, {host}, is not a valid host name"),
        }
    }

    /// Lists only the places that do name a registry.
    fn describe_disagreement<T>(&self, routes: &RoutingTable<T>) -> String {
        let is_host = routes.host_names_registry(self.authority);
        let names = self.namespaces().collect::<Vec<_>>().join(",");
        let mut places = Vec::new();
        if is_host {
            places.push(format!("the host {}", quoted(self.authority)));
        }
        if routes.path_names_registry(self.path) {
            places.push(format!("the path {}", quoted(self.path)));
        }
        if !names.is_empty() {
            places.push(format!("`ns` {}", quoted(&names)));
        }
        let advice = if is_host {
            "a mirror for several registries must use wharf's own address, not one registry's host"
        } else {
            "name the registry in one place only"
        };
        format!(
            "{} name different registries, and serving either could deliver the wrong image; {advice}",
            places.join(" and ")
        )
    }

    fn describe_host<T>(&self, routes: &RoutingTable<T>) -> String {
        let host = quoted(self.authority);
        if let Some(name) = self.registry_in_host(routes) {
            return format!("no registry is served at {host}; to cache {}, {}", quoted(&name), add(&name));
        }
        match routes.domain().filter(|_| routes.label_of(self.authority).is_none()) {
            Some(domain) => format!(
                "{host} is not a name of this cache; use a name below {}, or add it to hosts of [server] in \
                 wharf's configuration if it is wharf's own",
                quoted(domain),
            ),
            None => format!("no registry is served at {host}; check the name"),
        }
    }

    /// The name before the domain or before an address, if it can name a registry.
    fn registry_in_host<T>(&self, routes: &RoutingTable<T>) -> Option<String> {
        registry_name(&routes.label_of(self.authority)?)
    }

    fn describe_ns<T>(&self, routes: &RoutingTable<T>) -> String {
        let Some(unknown) = self.namespaces().find(|ns| !routes.knows(ns)) else {
            return format!("the query {} has a malformed `ns`", quoted(self.query.unwrap_or_default()));
        };
        let shown = quoted(&unknown);
        match registry_name(&unknown) {
            Some(name) if self.is_own(&name, routes) => own_address(&name),
            Some(name) => format!("`ns` names {shown}, which is not configured here; {}", add(&name)),
            None => format!("`ns` names {shown}, which is not configured here and is not a host name"),
        }
    }

    /// Whether the name is wharf's own, which is never a registry: the request's host, or a configured name.
    fn is_own<T>(&self, name: &str, routes: &RoutingTable<T>) -> bool {
        name.eq_ignore_ascii_case(self.authority) || routes.is_own(name)
    }

    /// The values of `ns`, without those that cannot be decoded.
    fn namespaces(&self) -> impl Iterator<Item = String> {
        Query::new(self.query).values("ns").filter_map(Result::ok)
    }

    /// The first component of the path, if it can name a registry.
    fn first_component(&self) -> Option<String> {
        let rest = self.path.strip_prefix("/v2/").or_else(|| self.path.strip_prefix('/'))?;
        let (first, _) = rest.split_once('/')?;
        registry_name(&first.replace("%3A", ":").replace("%3a", ":"))
    }
}

/// Advice for a request that puts wharf's own address in place of a registry's name.
fn own_address(name: &str) -> String {
    format!(
        "{} is this cache's own address, not a registry; write the registry's name after it, such as {}",
        quoted(name),
        quoted(&format!("{name}/docker.io/library/alpine"))
    )
}

/// Advice on how to configure this registry.
fn add(name: &str) -> String {
    format!("add [[registry]] name = '{name}' to wharf's configuration")
}

#[cfg(test)]
mod tests;
