//! TLS towards clients: who we are, and the name under which a client came.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use policy::host_port::HostPort;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The first second that no certificate reaches.
const END_OF_YEAR_9999: u64 = 253_402_300_800;

/// The certificate and the key that clients are shown. Two with the same chain of certificates are equal.
#[derive(Clone)]
pub struct TlsIdentity(Arc<CertifiedKey>);

impl PartialEq for TlsIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }
}

impl Eq for TlsIdentity {}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").field("certificates", &self.0.cert.len()).finish_non_exhaustive()
    }
}

/// A certificate or a key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsIdentityError {
    /// The certificate file holds none.
    #[error("there is no certificate in it, or one that is not PEM")]
    Chain,
    /// The key file holds none.
    #[error("there is no private key in it, or one that is not PEM (encrypted keys are not read)")]
    Key,
    /// The two do not belong together, or are of a kind that is not known.
    #[error("the certificate and the key cannot be used together: {0}")]
    Pair(String),
}

impl TlsIdentity {
    /// Reads a chain of certificates, the server's own first, and its key, both in PEM (RFC 7468).
    ///
    /// # Errors
    /// [`TlsIdentityError`], which says what is wrong with which of them.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsIdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsIdentityError::Chain)?;
        if chain.is_empty() {
            return Err(TlsIdentityError::Chain);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsIdentityError::Key)?;
        let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let pair = pair.map_err(|error| TlsIdentityError::Pair(error.to_string()))?;
        Ok(Self(Arc::new(pair)))
    }

    /// The server's own certificate, without the rest of its chain.
    fn certificate(&self) -> Option<ParsedCertificate<'_>> {
        ParsedCertificate::try_from(self.0.cert.first()?).ok()
    }

    /// When the server's own certificate ends, in seconds since 1970; none where it does not say so readably.
    pub fn ends(&self) -> Option<u64> {
        let certificate = self.certificate()?;
        // Behind every end that a certificate can name (RFC 5280, section 4.1.2.5) it is over, whoever signed it; the
        // refusal says since when.
        let after_all = UnixTime::since_unix_epoch(Duration::from_secs(END_OF_YEAR_9999));
        let nobody = RootCertStore::empty();
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(&certificate, &nobody, &[], after_all, algorithms) {
            Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) => Some(not_after.as_secs()),
            _ => None,
        }
    }

    /// Whether a client that connects to `host`, a name or an IP address, finds it in the certificate (RFC 9525).
    pub fn covers(&self, host: &str) -> bool {
        let (Ok(name), Some(certificate)) = (ServerName::try_from(host), self.certificate()) else {
            return false;
        };
        verify_server_name(&certificate, &name).is_ok()
    }
}

/// The certificate that clients are shown now; another one can take its place while the listeners stay.
#[derive(Debug)]
pub(crate) struct Certificates {
    shown: ArcSwap<CertifiedKey>,
    /// Told when another one is shown.
    pub(crate) changed: Notify,
}

impl Certificates {
    pub(crate) fn new(identity: &TlsIdentity) -> Arc<Self> {
        Arc::new(Self { shown: ArcSwap::new(Arc::clone(&identity.0)), changed: Notify::new() })
    }

    /// Shows `identity` to every client that connects from now on.
    pub(crate) fn show(&self, identity: &TlsIdentity) {
        if self.current() != *identity {
            self.shown.store(Arc::clone(&identity.0));
            self.changed.notify_one();
        }
    }

    pub(crate) fn current(&self) -> TlsIdentity {
        TlsIdentity(self.shown.load_full())
    }

    /// What speaks TLS 1.2 and 1.3 with clients, and offers HTTP/1.1 alone (RFC 7301).
    pub(crate) fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3");
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load_full())
    }
}

/// The server name that a client named in its TLS hello (RFC 6066, section 3); kept with each of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsName(Arc<str>);

impl TlsName {
    /// None: the client named no server, as those do that connect to an address.
    pub(crate) fn of(stream: &TlsStream<TcpStream>) -> Option<Self> {
        stream.get_ref().1.server_name().map(|name| Self(name.into()))
    }

    #[cfg(test)]
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Whether the `Host` of a request, with or without a port, is this name.
    pub(crate) fn is_host(&self, authority: &str) -> bool {
        let host = HostPort::split(authority).map_or(authority, |(host, _)| host);
        host.trim_end_matches('.').eq_ignore_ascii_case(self.0.trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests;
