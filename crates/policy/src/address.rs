//! Which network addresses foreign text may lead us to.
//!
//! Redirects and token realms are written by others; an address inside our own network must not be reached
//! through them. The caller asks for every address after name resolution, just before it connects, so that a
//! name cannot be swapped for another address in between.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

/// Why an address may not be reached through foreign text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inside {
    /// This host: `0.0.0.0/8` and `::`.
    Unspecified,
    /// `127.0.0.0/8` and `::1`.
    Loopback,
    /// RFC 1918, RFC 6598 (shared, where some clouds keep their metadata) and unique local IPv6.
    Private,
    /// `169.254.0.0/16` and `fe80::/10`.
    LinkLocal,
    /// A cloud's metadata service on an address that looks public.
    Metadata,
    /// Multicast and broadcast.
    Multicast,
    /// Set aside by the registries of addresses: reserved, documentation, translation within a site.
    Reserved,
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a metadata service's address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

/// Whether `address` lies outside, where anyone may send us.
///
/// An IPv6 address that carries an IPv4 address (mapped, compatible, translated, 6to4) is as good as what it
/// carries.
///
/// # Errors
/// What kind of inside address it is.
pub fn check(address: IpAddr) -> Result<(), Inside> {
    match address {
        IpAddr::V4(address) => check_v4(address),
        IpAddr::V6(address) => check_v6(address),
    }
}

/// Like [`check`] for the host of a URL. A name passes here: its addresses are checked once they are known.
///
/// `url` has already read the hexadecimal, octal, decimal, shortened and dot-ended spellings of IPv4.
///
/// # Errors
/// What kind of inside address stands in the URL.
pub fn check_host<S>(host: &Host<S>) -> Result<(), Inside> {
    match host {
        Host::Domain(_) => Ok(()),
        Host::Ipv4(address) => check_v4(*address),
        Host::Ipv6(address) => check_v6(*address),
    }
}

/// Azure's platform service and Oracle's metadata service, which sit outside the private ranges.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// RFC 6890. `198.18.0.0/15` (benchmarks) is let through: local proxies answer every name out of it, and
/// refusing it would break all pulls behind one.
fn check_v4(address: Ipv4Addr) -> Result<(), Inside> {
    if METADATA_V4.contains(&address) {
        return Err(Inside::Metadata);
    }
    match address.octets() {
        [0, ..] => Err(Inside::Unspecified),
        [127, ..] => Err(Inside::Loopback),
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Err(Inside::Private),
        [169, 254, ..] => Err(Inside::LinkLocal),
        [224..=239, ..] | [255, 255, 255, 255] => Err(Inside::Multicast),
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [240..=255, ..] => Err(Inside::Reserved),
        _ => Ok(()),
    }
}

fn check_v6(address: Ipv6Addr) -> Result<(), Inside> {
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        check_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Err(Inside::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Err(Inside::Loopback),
        // Mapped (RFC 4291, section 2.5.5.2), compatible (2.5.5.1) and "translated" (RFC 2765).
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => carried(high, low),
        // NAT64 (RFC 6052) and 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => carried(high, low),
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Err(Inside::Private),
        [0xfe80..=0xfebf, ..] => Err(Inside::LinkLocal),
        [0xff00..=0xffff, ..] => Err(Inside::Multicast),
        // NAT64 within a site, discard, Teredo, benchmarks, documentation, segment routing.
        [0x64, 0xff9b, 1, ..]
        | [0x100, 0, 0, 0, ..]
        | [0x2001, 0 | 2 | 0xdb8, ..]
        | [0x3fff, 0..=0x0fff, ..]
        | [0x5f00, ..] => Err(Inside::Reserved),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
