//! Hosts, authorities and URLs as the configuration may name them.
//!
//! No refusal repeats what it refuses: a URL may carry a password.

use std::net::{IpAddr, SocketAddr};

use oci::Repository;
use policy::host_port::HostPort;
use url::{Host, Url};

/// A host name or an IPv4 address, in lower case, without port, scheme or path.
pub(crate) fn parse_host(text: &str) -> Result<String, &'static str> {
    let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if host.contains("://") {
        return Err("a scheme has no place here; write the host name alone");
    }
    if host.contains(':') {
        return Err("a port has no place here; write the host name alone");
    }
    if host.is_empty() || host.len() > 253 || !host.split('.').all(is_label) {
        return Err("this is no host name; use letters, digits, \"-\" and dots");
    }
    Ok(host)
}

/// A host with or without a port: `ghcr.io`, `registry.corp.example:8443`, `[fd00::1]:5000`. It comes back in
/// the one spelling that the table of names knows.
pub(crate) fn parse_authority(text: &str) -> Result<String, &'static str> {
    if text.contains('/') {
        return Err("this is a URL or a path; write the host alone, with a port where it needs one");
    }
    if text.starts_with('[') {
        return parse_bracketed(text)
            .ok_or("this is no IPv6 address; write \"[fd00::1]\" or \"[fd00::1]:5000\"");
    }
    let Some((host, port)) = text.rsplit_once(':') else { return parse_host(text) };
    let host = parse_host(host).map_err(|_| "this is no host; write \"host\" or \"host:port\"")?;
    match parse_port(port) {
        Some(port) => Ok(format!("{host}:{port}")),
        None => Err("the port is no number from 1 to 65535; correct it, or leave it out"),
    }
}

/// An IPv6 address in brackets. Port 0 and an empty port are slips here.
fn parse_bracketed(text: &str) -> Option<String> {
    let parsed = HostPort::parse(text).filter(|it| it.port() != Some(0) && !text.ends_with(':'))?;
    Some(parsed.to_string())
}

/// An upstream: `http` or `https`, a host, a port where it needs one, and a path where the registry shares
/// its host.
pub(crate) fn parse_upstream(text: &str) -> Result<Url, &'static str> {
    let url = parse_url(text, &["https", "http"])
        .ok_or("this is no URL of a registry; write one such as \"https://ghcr.io\"")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials have no place in a URL; use username and password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query has no place here; write scheme and host alone, such as \"https://ghcr.io\"");
    }
    if !is_path_of_registry(url.path()) {
        return Err(
            "this path leads to no registry: in front of repository names it is one itself, in lower case, \
             such as \"https://harbor.corp.example/v2/hub-proxy\"",
        );
    }
    Ok(url)
}

/// Parts without escapes, of which those behind `v2` stand in front of each repository's name.
fn is_path_of_registry(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let is_plain = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let behind = parts.iter().position(|part| *part == "v2").map_or(&[][..], |at| &parts[at + 1..]);
    parts.iter().all(is_plain) && (behind.is_empty() || behind.join("/").parse::<Repository>().is_ok())
}

/// A proxy for requests to an upstream; it may carry credentials.
pub(crate) fn parse_proxy(text: &str) -> Result<Url, &'static str> {
    parse_url(text, &["http", "https", "socks5", "socks5h"]).ok_or(
        "this is no URL of a proxy; write one such as \"http://proxy.example:3128\" or \"socks5://...\"",
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
        _ => "this is no address to listen on; write one such as \"0.0.0.0:5000\" or \"[::]:5000\"",
    })
}

/// What to write instead of a port without an address.
pub(crate) const PORT_ALONE: &str = "write an address and a port, such as \"0.0.0.0:5000\"";

/// Whether two listeners would take the same connections, so that the second could not be opened.
pub(crate) fn listeners_overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    let covers = |a: &SocketAddr, b: &SocketAddr| {
        // A listener on [::] takes IPv4 connections as well; one on 0.0.0.0 takes nothing else.
        a.ip() == b.ip() || (a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4()))
    };
    one.port() != 0 && one.port() == other.port() && (covers(one, other) || covers(other, one))
}

/// Whether `upstream` is one of these listeners, by an address of this machine or by one of its `own` names
/// and the names below them. A name without a port leads to whatever stands in front of wharf.
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
    let takes = |it: &SocketAddr| {
        it.ip() == ip
            || (is_here && it.ip().is_unspecified())
            || (ip.is_unspecified() && it.ip().is_loopback())
    };
    listeners.iter().any(|it| it.port() == port && takes(it))
}

fn parse_url(text: &str, schemes: &[&str]) -> Option<Url> {
    // A URL parser mends much; what needs mending is more likely a mistake than meant.
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
