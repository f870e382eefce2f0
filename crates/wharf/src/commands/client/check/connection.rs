//! One request to wharf over a connection of its own, and the words for each way in which it fails.

use std::io::{self, ErrorKind};
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use clients::Mirror;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::exchange::{Answer, Socket, whole};

/// The longest wait for one request, with its connection.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A host that has an address.
pub(super) struct Endpoint<'a> {
    /// As in the `Host` header.
    authority: &'a str,
    host: &'a str,
    port: u16,
    /// The authority, with the addresses of the host.
    place: String,
    /// `None`: plain HTTP.
    trust: Option<Arc<ClientConfig>>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: u16,
    /// The message of the first error of its body.
    pub(super) message: Option<String>,
}

/// Why there is no answer. Each variant has another cure.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the name {0} has no address here: add it to the DNS, or to /etc/hosts, with wharf's address")]
    Name(String),
    #[error("nothing listens at {0}: start wharf there, or correct the address or the port")]
    Refused(String),
    #[error("{0} does not answer within {WAIT_MAX:?}: look for a firewall, or correct the address")]
    Silent(String),
    #[error(
        "an authority that is not trusted here signed the certificate of {0}: name its certificate with --ca"
    )]
    Issuer(String),
    #[error(
        "the certificate of {0} does not cover that name: renew it with this name, such as by `wharf cert`"
    )]
    Covers(String),
    #[error("the certificate of {0} has expired, or is not valid yet: renew it, or set this machine's clock")]
    Expired(String),
    #[error("{0} does not speak TLS: write http:// in --address, or configure [server.tls]")]
    Plain(String),
    #[error("{0} does not speak HTTP: another program may listen there")]
    Foreign(String),
    #[error("the connection to {0} failed: {1}")]
    Other(String, io::Error),
}

impl<'a> Endpoint<'a> {
    /// # Errors
    /// [`Fault::Name`].
    pub(super) fn find(authority: &'a str, is_tls: bool, trust: &Arc<ClientConfig>) -> Result<Self, Fault> {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, None),
        };
        let host = host.trim_matches(['[', ']']);
        let port = port.unwrap_or(if is_tls { 443 } else { 80 });
        let found = (host, port).to_socket_addrs().map_err(|_| Fault::Name(host.to_owned()))?;
        let mut addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
        addresses.dedup();
        let place = match addresses.join(" and ") {
            none if none.is_empty() => return Err(Fault::Name(host.to_owned())),
            same if same == host => authority.to_owned(),
            addresses => format!("{authority} ({addresses})"),
        };
        Ok(Self { authority, host, port, place, trust: is_tls.then(|| Arc::clone(trust)) })
    }

    fn fault(&self, error: io::Error) -> Fault {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let name = || self.authority.to_owned();
        match (error.kind(), tls) {
            (_, Some(rustls::Error::InvalidCertificate(reason))) => match reason {
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Fault::Covers(name())
                }
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Fault::Expired(name()),
                _ => Fault::Issuer(name()),
            },
            (_, Some(rustls::Error::InvalidMessage(_))) => Fault::Plain(name()),
            (ErrorKind::ConnectionRefused, _) => Fault::Refused(self.place.clone()),
            (ErrorKind::TimedOut | ErrorKind::WouldBlock, _) => Fault::Silent(self.place.clone()),
            _ => Fault::Other(self.place.clone(), error),
        }
    }
}

/// The authorities that the client trusts: the system's, and the private one.
///
/// # Errors
/// A line for the user: the private one cannot be read.
pub(super) fn trust(mirror: &Mirror) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(authority) = &mirror.authority {
        for certificate in CertificateDer::pem_slice_iter(authority.pem.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("--ca: not a certificate: {error}"))?;
            roots.add(certificate).map_err(|error| format!("--ca: not an authority: {error}"))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Sends one request.
///
/// # Errors
/// [`Fault`].
pub(super) fn ask(
    endpoint: &Endpoint<'_>,
    method: &str,
    target: &str,
    accept: &str,
    authorization: Option<&str>,
) -> Result<Told, Fault> {
    let socket = Socket::connect(endpoint.host, endpoint.port, WAIT_MAX);
    let socket = socket.map_err(|error| endpoint.fault(error))?;
    let login = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\n{login}User-Agent: wharf-check\r\n\
         Connection: close\r\n\r\n",
        endpoint.authority
    );
    let answer = match &endpoint.trust {
        None => whole(socket, &request),
        Some(trust) => {
            let name = ServerName::try_from(endpoint.host.to_owned());
            let name = name.map_err(|_| Fault::Name(endpoint.host.to_owned()))?;
            let client = ClientConnection::new(Arc::clone(trust), name);
            let client = client.map_err(|error| endpoint.fault(io::Error::other(error)))?;
            whole(StreamOwned::new(client, socket), &request)
        }
    };
    let answer = answer.map_err(|error| endpoint.fault(error))?;
    told(&answer).ok_or_else(|| Fault::Foreign(endpoint.authority.to_owned()))
}

/// `None`: it is no HTTP.
fn told(answer: &Answer) -> Option<Told> {
    let status = answer.line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let message = body["errors"][0]["message"].as_str().map(str::to_owned);
    Some(Told { status, message })
}

#[cfg(test)]
mod tests;
