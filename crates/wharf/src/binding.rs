//! Describes to the operator why wharf cannot listen on an address.

use std::io;
use std::net::SocketAddr;

use server::{BindError, ListenAddress, SocketFile};

use crate::config::Config;

/// The lowest port that an unprivileged process may listen on by default (ip(7),
/// `ip_unprivileged_port_start`).
const UNPRIVILEGED_PORT_MIN: u16 = 1024;

/// Names the address, the cause, and what to do.
pub(crate) fn describe(error: &BindError, config: &Config) -> String {
    let BindError { address, source } = error;
    let advice = match address {
        ListenAddress::Ip(address) => advice_on_port(*address, source, config),
        ListenAddress::File(file) => advice_on_file(file, source),
    };
    format!("{error}: {source}; {advice}")
}

fn advice_on_port(address: SocketAddr, source: &io::Error, config: &Config) -> String {
    let key = key_of(&address, config);
    let port = address.port();
    match source.kind() {
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
    }
}

fn advice_on_file(file: &SocketFile, source: &io::Error) -> String {
    let directory = file.path.parent().unwrap_or(&file.path).display();
    let key = "listen of [admin]";
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another wharf uses this file; stop it, or give this one another path in {key}")
        }
        io::ErrorKind::AlreadyExists => format!("remove that file, or change {key}"),
        io::ErrorKind::NotFound => format!(
            "make the directory {directory} (`RuntimeDirectory=` does so in a unit of systemd), or change {key}"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("let the user of wharf write to {directory}, or change {key}")
        }
        _ => format!("change {key}"),
    }
}

/// The key that names this address.
fn key_of(address: &SocketAddr, config: &Config) -> &'static str {
    let is_tls = config.server.tls.as_ref().is_some_and(|tls| tls.listen.contains(address));
    let is_admin = config.admin.as_ref().is_some_and(|admin| admin.listen.ip() == Some(*address));
    match (is_tls, is_admin) {
        (true, _) => "listen of [server.tls]",
        (_, true) => "listen of [admin]",
        _ => "listen of [server]",
    }
}

#[cfg(test)]
mod tests;
