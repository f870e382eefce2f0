//! Decides which hosts are reached without a proxy, as curl and Go read `NO_PROXY`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

use crate::access::{Network, NetworkError};
use crate::host_port::HostPort;

/// The hosts that are reached without a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(pub Vec<NoProxyRule>);

/// One rule: `corp.example`, `.corp.example`, `10.0.0.0/8`, `192.0.2.7:5000`, `[fd00::1]:5000` or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoProxyRule {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// The name, in lower case and without dots around it, and all names below it.
    Name(String),
    /// Hosts that the URL names by an address.
    Network(Network),
}

/// The text is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProxyError {
    /// It names neither hosts nor addresses.
    #[error(
        "this names no hosts; write a name such as \"corp.example\" (with all names below it), an address, a network \
         such as \"10.0.0.0/8\", any of them with a port, or \"*\""
    )]
    Form,
    /// A network whose host bits are set.
    #[error("{0}")]
    Network(NetworkError),
}

impl NoProxy {
    /// Tells whether the host of `url` is reached without a proxy. Networks contain only hosts that the URL
    /// names by an address, because names may be for the proxy to resolve.
    pub fn covers(&self, url: &Url) -> bool {
        let Some(host) = url.host() else { return false };
        let port = url.port_or_known_default();
        self.0.iter().any(|rule| rule.port.is_none_or(|own| Some(own) == port) && rule.hosts.contain(&host))
    }
}

impl Hosts {
    fn contain(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Name(own), Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                name == *own || name.strip_suffix(own.as_str()).is_some_and(|front| front.ends_with('.'))
            }
            (Self::Network(network), Host::Ipv4(address)) => network.contains(IpAddr::V4(*address)),
            (Self::Network(network), Host::Ipv6(address)) => network.contains(IpAddr::V6(*address)),
            (Self::Name(_), Host::Ipv4(_) | Host::Ipv6(_)) | (Self::Network(_), Host::Domain(_)) => false,
        }
    }
}

impl FromStr for NoProxyRule {
    type Err = NoProxyError;

    fn from_str(text: &str) -> Result<Self, NoProxyError> {
        match text.parse::<Network>() {
            Ok(network) => return Ok(Self { hosts: Hosts::Network(network), port: None }),
            Err(error @ NetworkError::HostBits(_)) => return Err(NoProxyError::Network(error)),
            Err(NetworkError::Form) => {}
        }
        let (host, port) = HostPort::split(text).ok_or(NoProxyError::Form)?;
        let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0));
        let port = port.map(|port| port.ok_or(NoProxyError::Form)).transpose()?;
        if host == "*" {
            return Ok(Self { hosts: Hosts::All, port });
        }
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(network) = address.parse::<Network>() {
            return Ok(Self { hosts: Hosts::Network(network), port });
        }
        let name = host.strip_prefix("*.").unwrap_or(host).trim_matches('.').to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if !name.split('.').all(is_label) {
            return Err(NoProxyError::Form);
        }
        Ok(Self { hosts: Hosts::Name(name), port })
    }
}

impl fmt::Display for NoProxyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::All => f.write_str("*")?,
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Network(network) => write!(f, "{network}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests;
