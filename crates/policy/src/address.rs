//! Decides which network addresses foreign text may lead to.
//!
//! Redirects and token realms are foreign text. They must not lead to an address inside our own network. The
//! caller checks every address after name resolution, just before it connects, so that a name cannot change
//! its address in between.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

/// An address that foreign text may not lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InternalAddress {
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
    /// Reserved by IANA: reserved, documentation, translation within a site.
    Reserved,
}

impl fmt::Display for InternalAddress {
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

/// Checks that `address` is public, so that foreign text may lead to it.
///
/// An IPv6 address that embeds an IPv4 address (mapped, compatible, translated, 6to4) counts as that address.
///
/// # Errors
/// [`InternalAddress`] names the kind of address.
pub fn check(address: IpAddr) -> Result<(), InternalAddress> {
    match address {
        IpAddr::V4(address) => check_v4(address),
        IpAddr::V6(address) => check_v6(address),
    }
}

/// Like [`check`] for the host of a URL. A name passes: the caller checks its addresses after resolving it.
///
/// `url` has already read the hexadecimal, octal, decimal, shortened and dot-ended spellings of IPv4.
///
/// # Errors
/// [`InternalAddress`] names the kind of address in the URL.
pub fn check_host<S>(host: &Host<S>) -> Result<(), InternalAddress> {
    match host {
        Host::Domain(_) => Ok(()),
        Host::Ipv4(address) => check_v4(*address),
        Host::Ipv6(address) => check_v6(*address),
    }
}

/// The reasons why a name belongs to a private network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InternalName {
    /// One label: the resolver adds a local domain.
    Label,
    /// Under a suffix that is closed to registration: reserved (RFC 6761, RFC 6762, RFC 7686, RFC 8375), or
    /// invented.
    Suffix,
    /// The name resolves to an internal address that is written in it, as names under `nip.io` do.
    Carries(InternalAddress),
}

impl fmt::Display for InternalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label => f.write_str("a name without a domain"),
            Self::Suffix => f.write_str("a name of a private network"),
            Self::Carries(inside) => write!(f, "a name for {inside}"),
        }
    }
}

/// Domains whose names resolve to the address that is written in them, in hexadecimal too.
const CARRIERS: [&str; 2] = ["nip.io", "sslip.io"];

/// Checks that a name can be public, judging by the name alone. Where a proxy resolves it, the caller may
/// know nothing else.
///
/// # Errors
/// [`InternalName`] says why the name is refused.
pub fn check_name(name: &str) -> Result<(), InternalName> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = name.split('.').collect();
    let (&[_, .., last], Some(is_listed)) = (&labels[..], suffix::is_listed(&name)) else {
        return Err(InternalName::Label);
    };
    // The domain for documentation (RFC 2606) leads nowhere.
    let is_public = is_listed && !matches!(last, "arpa" | "onion" | "local" | "internal");
    if !is_public && last != "example" {
        return Err(InternalName::Suffix);
    }
    carried(&name, &labels).try_for_each(|address| check(address).map_err(InternalName::Carries))
}

/// Returns the addresses that are written in a name: `10.0.0.1`, `app-10-0-0-1`, `fd00--1`, and under the
/// domains above also `0a000001`.
fn carried<'a>(name: &'a str, labels: &'a [&'a str]) -> impl Iterator<Item = IpAddr> + 'a {
    let dotted = labels.windows(4).filter_map(read_quad);
    let dashed = labels.iter().flat_map(|label| {
        let parts: Vec<_> = label.split('-').collect();
        parts.windows(4).filter_map(read_quad).collect::<Vec<_>>()
    });
    let is_carrier =
        CARRIERS.iter().any(|domain| name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')));
    let hex = labels.iter().filter(move |label| is_carrier && label.len() == 8);
    let hex = hex.filter_map(|label| Some(IpAddr::V4(u32::from_str_radix(label, 16).ok()?.into())));
    let v6 = labels.iter().filter(|label| label.contains('-'));
    let v6 = v6.filter_map(|label| Some(IpAddr::V6(label.replace('-', ":").parse().ok()?)));
    dotted.chain(dashed).chain(hex).chain(v6)
}

fn read_quad(parts: &[&str]) -> Option<IpAddr> {
    let mut octets = [0; 4];
    for (octet, part) in octets.iter_mut().zip(parts) {
        *octet = part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()))?;
    }
    Some(IpAddr::from(octets))
}

/// Azure's platform service and Oracle's metadata service, which have addresses outside the private ranges.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// RFC 6890. `198.18.0.0/15` (benchmarks) is allowed: some local proxies resolve every name to it, and
/// refusing it would break all pulls behind one.
fn check_v4(address: Ipv4Addr) -> Result<(), InternalAddress> {
    if METADATA_V4.contains(&address) {
        return Err(InternalAddress::Metadata);
    }
    match address.octets() {
        [0, ..] => Err(InternalAddress::Unspecified),
        [127, ..] => Err(InternalAddress::Loopback),
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Err(InternalAddress::Private),
        [169, 254, ..] => Err(InternalAddress::LinkLocal),
        [224..=239, ..] | [255, 255, 255, 255] => Err(InternalAddress::Multicast),
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [240..=255, ..] => {
            Err(InternalAddress::Reserved)
        }
        _ => Ok(()),
    }
}

fn check_v6(address: Ipv6Addr) -> Result<(), InternalAddress> {
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        check_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Err(InternalAddress::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Err(InternalAddress::Loopback),
        // Mapped (RFC 4291, section 2.5.5.2), compatible (2.5.5.1) and "translated" (RFC 2765).
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => carried(high, low),
        // NAT64 (RFC 6052) and 6to4 (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => carried(high, low),
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Err(InternalAddress::Private),
        [0xfe80..=0xfebf, ..] => Err(InternalAddress::LinkLocal),
        [0xff00..=0xffff, ..] => Err(InternalAddress::Multicast),
        // NAT64 within a site, discard, Teredo, benchmarks, documentation, segment routing.
        [0x64, 0xff9b, 1, ..]
        | [0x100, 0, 0, 0, ..]
        | [0x2001, 0 | 2 | 0xdb8, ..]
        | [0x3fff, 0..=0x0fff, ..]
        | [0x5f00, ..] => Err(InternalAddress::Reserved),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
