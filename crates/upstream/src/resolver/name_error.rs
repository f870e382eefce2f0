//! The error of a name that does not resolve: it names the servers that were asked, and what to check.

use hickory_resolver::net::{DnsError, NetError};

/// The number of servers that the C library asks.
const NAME_SERVER_COUNT_MAX: usize = 3;

/// A name without an address.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.in_words(""))]
pub(crate) struct NameError {
    name: String,
    /// The servers that were asked, as `/etc/resolv.conf` has them.
    asked: Vec<String>,
    kind: NameErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum NameErrorKind {
    Absent,
    /// No server answered.
    Silent,
    /// The code that a server answered.
    Refused(String),
}

impl NameError {
    /// Makes the error for a name that the servers in `resolv_conf` did not resolve.
    pub(super) fn new(name: &str, error: &NetError, resolv_conf: &str) -> Self {
        let kind = match error {
            NetError::Dns(DnsError::NoRecordsFound(_)) => NameErrorKind::Absent,
            NetError::Dns(DnsError::ResponseCode(code)) => NameErrorKind::Refused(code.to_string()),
            NetError::Timeout | NetError::NoConnections | NetError::Io(_) => NameErrorKind::Silent,
            other => NameErrorKind::Refused(other.to_string()),
        };
        let text = std::fs::read_to_string(resolv_conf).unwrap_or_default();
        Self { name: name.to_owned(), asked: name_servers(&text), kind }
    }

    /// Says what happened and what to do for a client, as the rest of a sentence about `host`. It names no
    /// server and no file of this machine.
    pub(crate) fn for_client(&self, host: &str) -> String {
        let subject = self.subject(host);
        match &self.kind {
            NameErrorKind::Absent => format!("{subject}does not resolve; check the name"),
            NameErrorKind::Silent => {
                format!("{subject}does not resolve: no DNS server answers; check wharf's network")
            }
            NameErrorKind::Refused(why) => {
                format!("{subject}does not resolve: the DNS server says {why:?}; check wharf's DNS")
            }
        }
    }

    /// Begins the rest of a sentence about `host`. It names the name that failed if that is another one: a
    /// proxy's.
    fn subject(&self, host: &str) -> String {
        let name = self.name.trim_end_matches('.');
        if name.eq_ignore_ascii_case(host) { String::new() } else { format!("cannot be reached: {name} ") }
    }

    /// Says what happened and what to do for the operator, as the rest of a sentence about `host`.
    pub(crate) fn in_words(&self, host: &str) -> String {
        let subject = self.subject(host);
        let asked = match self.asked.as_slice() {
            [] => "127.0.0.1".to_owned(),
            servers => servers.join(", "),
        };
        match &self.kind {
            NameErrorKind::Absent => {
                format!("{subject}does not resolve (asked {asked}); check the name and /etc/resolv.conf")
            }
            NameErrorKind::Silent => format!(
                "{subject}does not resolve: no DNS server answers (asked {asked}); check /etc/resolv.conf and \
                 the network"
            ),
            NameErrorKind::Refused(why) => format!(
                "{subject}does not resolve: the DNS server {asked} says {why:?}; check it, and \
                 /etc/resolv.conf"
            ),
        }
    }
}

/// The first servers that `/etc/resolv.conf` names: resolv.conf(5), `nameserver`.
fn name_servers(text: &str) -> Vec<String> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.map(|server| server.trim().to_owned()).take(NAME_SERVER_COUNT_MAX).collect()
}

#[cfg(test)]
mod tests;
