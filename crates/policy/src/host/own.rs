//! Which hosts cannot be anybody else's name for us, and which texts look like a registry's name.

use std::net::{IpAddr, Ipv4Addr};

use super::parse_host;
use crate::host_port::HostPort;

/// The domains whose names mean whatever address stands in them.
const ADDRESS_DOMAINS: [&str; 2] = [".nip.io", ".sslip.io"];

/// Whether the host, in lower case and without a port, is an address, `localhost` or a name of one part: nobody's
/// web page has such a name and leads it to us. An empty one, of an HTTP/1.0 client, is local too.
pub(super) fn is_local(host: &str) -> bool {
    host.starts_with('[')
        || !host.contains('.')
        || host.ends_with(".localhost")
        || host.parse::<Ipv4Addr>().is_ok()
}

/// Whether the host, in lower case and without a port, is `localhost` or an address that never leaves a machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bracketed.unwrap_or(host).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// Tells whether `authority`, as a client wrote it, is an address, `localhost` or one of the `listed` names. An empty one,
/// of an HTTP/1.0 client, is as good as an address.
pub fn is_address_or_listed(authority: &str, listed: &[String]) -> bool {
    let Some(host) = parse_host(authority) else { return false };
    let is_listed = || listed.iter().any(|name| parse_host(name).as_ref() == Some(&host));
    host.is_empty()
        || host == "localhost"
        || host.starts_with('[')
        || host.parse::<Ipv4Addr>().is_ok()
        || is_listed()
}

/// Whether the host is `<name>.localhost`, `<name>.<address>.nip.io` or the like, where the name has a dot and so is
/// a registry's: whoever asks there wants that registry and no other.
pub(super) fn names_a_registry(host: &str) -> bool {
    before_address(host).is_some_and(|name| name.contains('.'))
}

/// The name in `<name>.localhost`, `<name>.<address>.nip.io` and the like.
pub(super) fn before_address(host: &str) -> Option<&str> {
    host.strip_suffix(".localhost").or_else(|| {
        let front = ADDRESS_DOMAINS.iter().find_map(|domain| host.strip_suffix(domain))?;
        strip_address(front)
    })
}

/// What stands before an address, in digits with dots or dashes or in hexadecimal.
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

/// The text as the name of a registry, in lower case: a host name with a dot, or any host with a port. None when it
/// cannot be one, or is rather the name of a user or a project.
pub fn registry_name(text: &str) -> Option<String> {
    let name = HostPort::parse(text)?;
    let has_dot = name.host().contains('.') || name.host().starts_with('[');
    let is_one = !name.host().is_empty() && (has_dot || name.port().is_some());
    is_one.then(|| name.to_string())
}

#[cfg(test)]
mod tests;
