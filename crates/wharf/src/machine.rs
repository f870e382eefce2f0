//! Facts about the machine.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;

use oci::Platform;

/// An address for documentation (RFC 5737): it takes the default route.
const FAR_AWAY: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Whether this process runs in a container, whose own addresses mean nothing to clients.
pub(crate) fn is_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].into_iter().any(|path| Path::new(path).exists())
        || ["container", "KUBERNETES_SERVICE_HOST"].into_iter().any(|name| std::env::var_os(name).is_some())
}

/// The platform of the images that run on this machine.
pub(crate) fn image_platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    };
    Platform::new("linux", architecture, None)
}

/// The address by which other machines reach this one: the source address of its route to the internet, else
/// any other reachable address of this machine. `None` if neither is known.
pub(crate) fn own_address() -> Option<Ipv4Addr> {
    if is_container() {
        return None;
    }
    let towards_the_internet = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        // This sends nothing; the system only chooses the route.
        socket.connect(FAR_AWAY).ok()?;
        match socket.local_addr().ok()?.ip() {
            IpAddr::V4(ip) if is_reachable(ip) => Some(ip),
            _ => None,
        }
    };
    let local = || local_addresses(&std::fs::read_to_string("/proc/net/fib_trie").ok()?).into_iter().next();
    towards_the_internet().or_else(local)
}

fn is_reachable(ip: Ipv4Addr) -> bool {
    !ip.is_loopback() && !ip.is_unspecified() && !ip.is_link_local()
}

/// The addresses of this machine that others may reach. `/proc/net/fib_trie` lists each on one line, with
/// `host LOCAL` on the next.
fn local_addresses(trie: &str) -> Vec<Ipv4Addr> {
    let lines: Vec<&str> = trie.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for pair in lines.windows(2) {
        let address = pair[0].strip_prefix("|-- ").and_then(|text| text.parse().ok());
        let is_local = pair[1].ends_with("host LOCAL");
        if let Some(ip) = address.filter(|ip| is_local && is_reachable(*ip) && !found.contains(ip)) {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests;
