//! Describes to the operator why wharf cannot listen on an address.

use std::io;
use std::net::SocketAddr;

use server::BindError;

use crate::config::Config;

/// The lowest port that an unprivileged process may listen on by default (ip(7),
/// `ip_unprivileged_port_start`).
const UNPRIVILEGED_PORT_MIN: u16 = 1024;

/// Names the address, the cause, and what to do.
pub(crate) fn describe(error: &BindError, config: &Config) -> String {
    let BindError { address, source } = error;
    let key = key_of(address, config);
    let port = address.port();
    let advice = match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program uses this port, often another wharf or an older registry; stop it \
             (`ss -ltnp sport = :{port}` as root names it), or change {key}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "this machine has no such address; correct {key}, or use 0.0.0.0 for all of its addresses"
            )
        }
        io::ErrorKind::PermissionDenied if port < UNPRIVILEGED_PORT_MIN => format!(
            "ports below {UNPRIVILEGED_PORT_MIN} need the capability CAP_NET_BIND_SERVICE; grant it, or change \
             {key}"
        ),
        _ if address.is_ipv6() => format!("if this machine has no IPv6, change {key} to an IPv4 address"),
        _ => format!("change {key}"),
    };
    format!("{error}: {source}; {advice}")
}

/// The key that names this address.
fn key_of(address: &SocketAddr, config: &Config) -> &'static str {
    let is_tls = config.server.tls.as_ref().is_some_and(|tls| tls.listen.contains(address));
    let is_admin = config.admin.as_ref().is_some_and(|admin| admin.listen == *address);
    match (is_tls, is_admin) {
        (true, _) => "listen of [server.tls]",
        (_, true) => "listen of [admin]",
        _ => "listen of [server]",
    }
}

#[cfg(test)]
mod tests;
