//! The host in a `Host` header or `:authority` (RFC 3986, section 3.2), in the one form that tables hold.

use std::net::Ipv6Addr;

/// The longest host name, in bytes (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// The host without its port: lower-case, without the dot that may end it, an IPv6 address in brackets and in
/// its canonical form. An empty text stays empty. None when it is no `host` or `host:port`.
pub(super) fn parse_host(authority: &str) -> Option<String> {
    Some(split_port(authority)?.0)
}

/// The host as [`parse_host`] has it, and the port behind it; `host:` has none.
pub(super) fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    if authority.is_empty() {
        return Some((String::new(), None));
    }
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let port = if port.is_empty() { None } else { parse_port(port.strip_prefix(':')?)? };
        return Some((format!("[{address}]"), port));
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let port = parse_port(port)?;
    let host = host.strip_suffix('.').unwrap_or(host);
    (host.len() <= HOST_BYTES_MAX && host.split('.').all(is_label)).then(|| (host.to_ascii_lowercase(), port))
}

/// `Some(None)` for an empty port, which RFC 3986 allows.
fn parse_port(digits: &str) -> Option<Option<u16>> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    match (is_number, digits) {
        (false, _) => None,
        (true, "") => Some(None),
        (true, digits) => digits.parse().ok().map(Some),
    }
}

/// Underscores are no part of host names, but container networks have them.
fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
