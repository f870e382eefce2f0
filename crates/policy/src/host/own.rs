//! Recognises wharf's own host names, and texts that look like a registry's name.

use std::net::{IpAddr, Ipv4Addr};

use crate::host_port::{HostPort, parse_host};

/// Domains whose names resolve to the address that is written in them.
const ADDRESS_DOMAINS: [&str; 2] = [".nip.io", ".sslip.io"];

/// Tells whether the host, in lower case and without a port, is an address, `localhost` or a name of one
/// part. No foreign web page can point such a name at us. An empty host, of an HTTP/1.0 client, is local too.
pub(super) fn is_local(host: &str) -> bool {
    host.starts_with('[')
        || !host.contains('.')
        || host.ends_with(".localhost")
        || host.parse::<Ipv4Addr>().is_ok()
}

/// Tells whether the host, in lower case and without a port, is `localhost`, a loopback address or an
/// unspecified one.
pub(super) fn is_loopback(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bracketed.unwrap_or(host).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// Tells whether `authority`, as a client wrote it, is an address, `localhost` or one of the `listed` names.
/// An empty host, of an HTTP/1.0 client, counts as an address.
pub fn is_address_or_listed(authority: &str, listed: &[String]) -> bool {
    let Some(host) = parse_host(authority) else { return false };
    let is_listed = || listed.iter().any(|name| parse_host(name).as_ref() == Some(&host));
    host.is_empty()
        || host == "localhost"
        || host.starts_with('[')
        || host.parse::<Ipv4Addr>().is_ok()
        || is_listed()
}

/// Tells whether the host is `<name>.localhost`, `<name>.<address>.nip.io` or similar, and the name has a dot
/// and so belongs to a registry. Such a request is for that registry and no other.
pub(super) fn names_a_registry(host: &str) -> bool {
    before_address(host).is_some_and(|name| name.contains('.'))
}

/// Returns the name in `<name>.localhost`, `<name>.<address>.nip.io` and similar hosts.
pub(super) fn before_address(host: &str) -> Option<&str> {
    host.strip_suffix(".localhost").or_else(|| {
        let front = ADDRESS_DOMAINS.iter().find_map(|domain| host.strip_suffix(domain))?;
        strip_address(front)
    })
}

/// Returns the part before an address in digits with dots or dashes, or in hexadecimal.
fn strip_address(front: &str) -> Option<&str> {
    let dots: Vec<usize> = front.rmatch_indices('.').map(|(dot, _)| dot).take(4).collect();
    let (last, fourth) = (*dots.first()?, dots.get(3));
    if let Some(fourth) = fourth
        && front[fourth + 1..].parse::<Ipv4Addr>().is_ok()
    {
        return Some(&front[..*fourth]);
    }
    let part = &front[last + 1..];
    let is_hex = part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_dashed = part.replace('-', ".").parse::<Ipv4Addr>().is_ok();
    (is_hex || is_dashed).then(|| &front[..last])
}

/// Returns the text as a registry's name, in lower case: a host name with a dot, or any host with a port.
/// Returns `None` for other texts, which are more likely the name of a user or a project.
pub fn registry_name(text: &str) -> Option<String> {
    let name = HostPort::parse(text)?;
    let has_dot = name.host().contains('.') || name.host().starts_with('[');
    let is_one = !name.host().is_empty() && (has_dot || name.port().is_some());
    is_one.then(|| name.to_string())
}

#[cfg(test)]
mod tests;
