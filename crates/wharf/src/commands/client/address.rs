//! The address that the operator gives.

use std::net::Ipv6Addr;

use crate::report::GivenAddress;

const WANTED: &str = "write HOST, HOST:PORT or https://HOST, without a path";

/// Reads `HOST[:PORT]`, with or without a scheme.
pub(super) fn parse(text: &str) -> Result<GivenAddress, &'static str> {
    let (is_tls, rest) = match text.split_once("://") {
        Some(("https", rest)) => (Some(true), rest),
        Some(("http", rest)) => (Some(false), rest),
        Some(_) => return Err(WANTED),
        None => (None, text),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let port: u16 = port.parse().map_err(|_| WANTED)?;
            (host, Some(port))
        }
        _ => (rest, None),
    };
    let is_address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_name = !host.is_empty() && host.chars().all(is_letter);
    if port == Some(0) || !(is_address || is_name) {
        return Err(WANTED);
    }
    Ok(GivenAddress { is_tls, host: host.to_ascii_lowercase(), port })
}
