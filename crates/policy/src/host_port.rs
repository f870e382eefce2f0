//! `host` and `host:port` (RFC 3986, section 3.2), as requests and the configuration write them.
//!
//! Every parser of such a text splits it here. They differ on purpose in the hosts that they accept:
//!
//! - A `Host` header and a registry's name: [`HostPort::parse`]. It allows underscores, which container
//!   networks have, and an empty port, which the RFC allows.
//! - A trusted host ([`crate::realm::TrustedHost`]): the host goes through the URL parser, because it is
//!   compared with hosts of URLs. So `bücher.example` and `0x7f.1` mean what they mean there. An empty port
//!   is a mistake.
//! - The configuration of wharf: it also refuses what no host name may be (RFC 1123: a label of 64 bytes, a
//!   hyphen at its end) and port 0, because it is more likely a typing mistake.

use std::fmt;
use std::net::Ipv6Addr;

/// The longest host name, in bytes (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// A host and, where one was given, its port. Two that are equal print the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: Option<u16>,
}

impl HostPort {
    /// Reads `host`, `host:port` or an empty text, which stays an empty host. `host:` has no port.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = Self::split(text)?;
        let port = match port.unwrap_or_default() {
            "" => None,
            digits => Some(digits.parse().ok()?),
        };
        if let Some(bracketed) = host.strip_prefix('[') {
            let address: Ipv6Addr = bracketed.strip_suffix(']')?.parse().ok()?;
            return Some(Self { host: format!("[{address}]"), port });
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_name = host.len() <= HOST_BYTES_MAX && host.split('.').all(is_label);
        (is_name || text.is_empty()).then(|| Self { host: host.to_ascii_lowercase(), port })
    }

    /// Splits a text into its host, an IPv6 address with its brackets, and the digits behind the colon.
    /// `None` where something other than digits stands there, or a colon in the host.
    pub fn split(text: &str) -> Option<(&str, Option<&str>)> {
        let (host, port) = match text.rfind(']') {
            Some(bracket) => {
                let (host, rest) = text.split_at(bracket + 1);
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
                (host, port)
            }
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit())).then_some((host, port))
    }

    /// The host: lower-case, without the dot that may end it, an IPv6 address in brackets and in its
    /// canonical form.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host alone.
    pub fn into_host(self) -> String {
        self.host
    }

    /// The port.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The host of an authority, without its port.
pub(crate) fn parse_host(authority: &str) -> Option<String> {
    HostPort::parse(authority).map(HostPort::into_host)
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::HostPort;

    #[test]
    fn a_host_prints_in_one_spelling() {
        for (text, printed) in [
            ("", Some("")),
            ("GHCR.io", Some("ghcr.io")),
            ("ghcr.io.", Some("ghcr.io")),
            ("ghcr.io:", Some("ghcr.io")),
            ("ghcr.io.:0443", Some("ghcr.io:443")),
            ("my_host:5000", Some("my_host:5000")),
            ("[FD00:0::1]", Some("[fd00::1]")),
            ("[fd00::1]:5000", Some("[fd00::1]:5000")),
            ("[fd00::1]:", Some("[fd00::1]")),
            (".", None),
            (":80", None),
            ("a..b", None),
            ("a b", None),
            ("host:+5", None),
            ("host:65536", None),
            ("host:5000:1", None),
            ("fd00::1", None),
            ("[fd00::1", None),
            ("[fd00::1]x:80", None),
            ("x[fd00::1]:80", None),
            ("[ghcr.io]", None),
            ("user@host", None),
        ] {
            assert_eq!(HostPort::parse(text).map(|it| it.to_string()).as_deref(), printed, "{text:?}");
        }
    }

    #[test]
    fn the_port_is_split_off_whatever_the_host_is() {
        for (text, parts) in [
            ("bücher.example:80", Some(("bücher.example", Some("80")))),
            ("host:", Some(("host", Some("")))),
            ("[fd00::1]:5", Some(("[fd00::1]", Some("5")))),
            ("host:http", None),
        ] {
            assert_eq!(HostPort::split(text), parts, "{text:?}");
        }
    }
}
