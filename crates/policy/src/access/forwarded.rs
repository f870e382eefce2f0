//! Finds a client's address behind trusted proxies, from `X-Forwarded-For` and `Forwarded` (RFC 7239).
//!
//! A proxy adds the address of its own client at the right end. So the list is read from the right: trusted
//! proxies are passed over, and the first other address is the client. Whatever stands further left is the
//! client's own text and is never read. A proxy writes one of the two headers and may hand on a client's
//! forgery of the other, so if a request has both, they must name the same client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::network::{Network, contains};

/// The address of a client that the proxies do not name. No rule but one for all addresses contains it.
const UNKNOWN: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The values of the headers with which proxies name their clients, each in the order of its lines.
#[derive(Clone, Debug, Default)]
pub struct Forwarding<'a> {
    /// `X-Forwarded-For`.
    pub x_forwarded_for: Vec<&'a [u8]>,
    /// `Forwarded`.
    pub forwarded: Vec<&'a [u8]>,
}

/// Returns the address of the client behind `peer`. Only a peer in `trusted` is believed.
pub fn client_address(peer: IpAddr, trusted: &[Network], headers: &Forwarding<'_>) -> IpAddr {
    let peer = peer.to_canonical();
    if !contains(trusted, peer) {
        return peer;
    }
    let listed = list(&headers.x_forwarded_for, parse_listed);
    let forwarded = list(&headers.forwarded, parse_element);
    match (headers.x_forwarded_for.is_empty(), headers.forwarded.is_empty()) {
        (true, true) => peer,
        (false, true) => nearest(peer, trusted, &listed),
        (true, false) => nearest(peer, trusted, &forwarded),
        (false, false) => {
            let (one, other) = (nearest(peer, trusted, &listed), nearest(peer, trusted, &forwarded));
            if one == other { one } else { UNKNOWN }
        }
    }
}

/// The first address from the right that is no trusted proxy; the leftmost one if all are.
fn nearest(peer: IpAddr, trusted: &[Network], hops: &[Option<IpAddr>]) -> IpAddr {
    let mut client = peer;
    for hop in hops.iter().rev() {
        match hop {
            Some(address) if contains(trusted, *address) => client = *address,
            Some(address) => return *address,
            None => return UNKNOWN,
        }
    }
    client
}

/// The entries of all lines, from left to right.
fn list(lines: &[&[u8]], parse: fn(&str) -> Option<IpAddr>) -> Vec<Option<IpAddr>> {
    let mut entries = Vec::new();
    for line in lines {
        match std::str::from_utf8(line) {
            Ok(line) => entries.extend(line.split(',').map(|entry| parse(entry.trim()))),
            Err(_) => entries.push(None),
        }
    }
    entries
}

/// An entry of `X-Forwarded-For`: an address, with or without a port.
fn parse_listed(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse::<IpAddr>().or_else(|_| entry.parse::<SocketAddr>().map(|it| it.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// An element of `Forwarded`, by its `for`. A comma or a semicolon in a quoted text makes an element
/// unreadable, which counts as an unknown client.
fn parse_element(element: &str) -> Option<IpAddr> {
    let mut values = element.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    let (value, None) = (values.next()?, values.next()) else { return None };
    let plain = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    parse_listed(plain)
}

#[cfg(test)]
mod tests;
