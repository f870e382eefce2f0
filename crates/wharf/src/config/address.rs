//! Reads hosts, authorities and URLs of the configuration.
//!
//! No error repeats the text: a URL may hold a password.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use oci::Repository;
use policy::host_port::HostPort;
use url::{Host, Url};

/// A host name or an IPv4 address, in lower case, without port, scheme or path.
pub(crate) fn parse_host(text: &str) -> Result<String, &'static str> {
    let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if host.contains("://") {
        return Err("a scheme is not allowed here; write the host name alone");
    }
    if host.contains(':') {
        return Err("a port is not allowed here; write the host name alone");
    }
    if host.is_empty() || host.len() > 253 || !host.split('.').all(is_label) {
        return Err("this is not a host name; use letters, digits, \"-\" and dots");
    }
    Ok(host)
}

/// A host with or without a port: `ghcr.io`, `registry.corp.example:8443`, `[fd00::1]:5000`. Returns it in
/// the spelling of the routing table.
pub(crate) fn parse_authority(text: &str) -> Result<String, &'static str> {
    if text.contains('/') {
        return Err("this is a URL or a path; write the host alone, with a port if it needs one");
    }
    if text.starts_with('[') {
        return parse_bracketed(text)
            .ok_or("this is not an IPv6 address; write \"[fd00::1]\" or \"[fd00::1]:5000\"");
    }
    let Some((host, port)) = text.rsplit_once(':') else { return parse_host(text) };
    let host = parse_host(host).map_err(|_| "this is not a host; write \"host\" or \"host:port\"")?;
    match parse_port(port) {
        Some(port) => Ok(format!("{host}:{port}")),
        None => Err("the port is not a number from 1 to 65535; correct it, or leave it out"),
    }
}

/// An IPv6 address in brackets. Port 0 and an empty port are typing mistakes here.
fn parse_bracketed(text: &str) -> Option<String> {
    let parsed = HostPort::parse(text).filter(|it| it.port() != Some(0) && !text.ends_with(':'))?;
    Some(parsed.to_string())
}

/// An upstream: `http` or `https`, a host, a port if it needs one, and a path if the registry shares its
/// host.
pub(crate) fn parse_upstream(text: &str) -> Result<Url, &'static str> {
    let url = parse_url(text, &["https", "http"])
        .ok_or("this is not the URL of a registry; write one such as \"https://ghcr.io\"")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials are not allowed in a URL; use username and password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query is not allowed here; write scheme and host alone, such as \"https://ghcr.io\"");
    }
    if !is_path_of_registry(url.path()) {
        return Err(
            "this path leads to no registry: the part after /v2 starts each repository name and must be a valid \
             one, in lower case, such as \"https://harbor.corp.example/v2/hub-proxy\"",
        );
    }
    Ok(url)
}

/// Whether the path has no escapes, and the part behind `v2` is a valid start of repository names.
fn is_path_of_registry(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let is_plain = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let behind = parts.iter().position(|part| *part == "v2").map_or(&[][..], |at| &parts[at + 1..]);
    parts.iter().all(is_plain) && (behind.is_empty() || behind.join("/").parse::<Repository>().is_ok())
}

/// A proxy for requests to an upstream; it may hold credentials.
pub(crate) fn parse_proxy(text: &str) -> Result<Url, &'static str> {
    parse_url(text, &["http", "https", "socks5", "socks5h"]).ok_or(
        "this is not the URL of a proxy; write one such as \"http://proxy.example:3128\" or \"socks5://...\"",
    )
}

/// An address to listen on.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| match text.rsplit_once(':').unwrap_or(("", text)) {
        ("", port) if parse_port(port).is_some() => PORT_ALONE,
        ("localhost", port) if parse_port(port).is_some() => {
            "write the address as a number, not as a name: \"127.0.0.1:5000\" for localhost, with your port"
        }
        (host, port) if parse_port(port).is_some() && parse_host(host).is_ok() => {
            "write the address as a number, not as a name, such as \"0.0.0.0:5000\" with your port"
        }
        _ => "this is not an address to listen on; write one such as \"0.0.0.0:5000\" or \"[::]:5000\"",
    })
}

/// The longest path of a Unix socket, in bytes (unix(7), `sun_path`).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The path of a Unix socket, without the `unix:` before it.
pub(crate) fn parse_socket_path(path: &str) -> Result<PathBuf, &'static str> {
    if path.starts_with('@') {
        return Err("a socket without a file has no permissions; write a path such as \
                    \"unix:/run/wharf/admin.sock\"");
    }
    if !path.starts_with('/') || path.ends_with('/') {
        return Err("write the whole path of a file behind unix:, such as \"unix:/run/wharf/admin.sock\"");
    }
    let path = format!("/{}", path.trim_start_matches('/'));
    if path.len() > SOCKET_PATH_BYTES_MAX || path.contains('\0') {
        return Err("the path of a socket has at most 107 bytes; use a shorter one");
    }
    Ok(path.into())
}

/// Permissions in octal digits, as `chmod` takes them, such as `0660`.
pub(crate) fn parse_mode(text: &str) -> Result<u32, &'static str> {
    let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text);
    let is_octal = digits.len() == 3 && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if is_octal && mode & 0o600 == 0o600 => Ok(mode),
        Ok(_) if is_octal => Err("the owner needs the right to read and to write; write \"0600\" or more"),
        _ => Err("these are no permissions; write three octal digits as for chmod, such as \"0660\""),
    }
}

/// The advice on a port without an address.
pub(crate) const PORT_ALONE: &str = "write an address and a port, such as \"0.0.0.0:5000\"";

/// Whether two listeners would accept the same connections, so that the second could not be opened.
pub(crate) fn listeners_overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    let covers = |a: &SocketAddr, b: &SocketAddr| {
        // A listener on [::] accepts IPv4 connections as well; one on 0.0.0.0 accepts only those.
        a.ip() == b.ip() || (a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4()))
    };
    one.port() != 0 && one.port() == other.port() && (covers(one, other) || covers(other, one))
}

/// Whether `upstream` leads to one of these listeners, by an address of this machine, or by one of its `own`
/// names or a name below them. An own name without a port leads to wharf through a proxy.
pub(crate) fn leads_to(upstream: &Url, listeners: &[SocketAddr], own: &[&str]) -> bool {
    let Some(port) = upstream.port_or_known_default() else { return false };
    let ip = match upstream.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost") => {
            return listeners
                .iter()
                .any(|it| it.port() == port && (it.ip().is_loopback() || it.ip().is_unspecified()));
        }
        Some(Host::Domain(name)) => {
            let listens = listeners.iter().any(|it| it.port() == port);
            let is_below = |own: &str| name.strip_suffix(own).is_some_and(|front| front.ends_with('.'));
            return own.iter().any(|own| {
                (name == *own && (listens || upstream.port().is_none())) || (listens && is_below(own))
            });
        }
        None => return false,
    };
    let is_here = ip.is_loopback() || ip.is_unspecified();
    let accepts = |it: &SocketAddr| {
        it.ip() == ip
            || (is_here && it.ip().is_unspecified())
            || (ip.is_unspecified() && it.ip().is_loopback())
    };
    listeners.iter().any(|it| it.port() == port && accepts(it))
}

fn parse_url(text: &str, schemes: &[&str]) -> Option<Url> {
    // A URL parser corrects many texts; one that needs a correction is more likely a mistake.
    let (scheme, _) = text.split_once("://")?;
    if !schemes.contains(&scheme) || !text.chars().all(|c| c.is_ascii_graphic() && c != '\\') {
        return None;
    }
    Url::parse(text).ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty()))
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn parse_port(port: &str) -> Option<u16> {
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|port| is_number && *port != 0)
}

#[cfg(test)]
mod tests;
