//! TLS towards clients: the server's certificate, and the server name that a client asked for.

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

/// The first second after 9999, which no certificate reaches.
const END_OF_YEAR_9999: u64 = 253_402_300_800;

/// The server's certificate chain and key. Two identities with the same chain are equal.
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
    #[error("the file holds no certificate in PEM")]
    Chain,
    /// The key file holds none.
    #[error("the file holds no private key in PEM (encrypted keys are not supported)")]
    Key,
    /// The two do not belong together, or are of an unsupported kind.
    #[error("the certificate and the key cannot be used together: {0}")]
    Pair(String),
}

impl TlsIdentity {
    /// Parses a certificate chain, the server's own first, and its key, both in PEM (RFC 7468).
    ///
    /// # Errors
    /// [`TlsIdentityError`], which names the faulty file.
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

    /// When the server's own certificate expires, in seconds since 1970; `None` if that cannot be parsed.
    pub fn ends(&self) -> Option<u64> {
        let certificate = self.certificate()?;
        // rustls has no accessor for the expiry. At a time after every possible expiry (RFC 5280, section
        // 4.1.2.5) verification fails whatever the signer, and the error tells the expiry.
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

    /// Whether the certificate is valid for `host`, a name or an IP address (RFC 9525).
    pub fn covers(&self, host: &str) -> bool {
        let (Ok(name), Some(certificate)) = (ServerName::try_from(host), self.certificate()) else {
            return false;
        };
        verify_server_name(&certificate, &name).is_ok()
    }
}

/// The current certificate. It can be replaced while the listeners stay.
#[derive(Debug)]
pub(crate) struct Certificates {
    shown: ArcSwap<CertifiedKey>,
    /// Notified when the certificate is replaced.
    pub(crate) changed: Notify,
}

impl Certificates {
    pub(crate) fn new(identity: &TlsIdentity) -> Arc<Self> {
        Arc::new(Self { shown: ArcSwap::new(Arc::clone(&identity.0)), changed: Notify::new() })
    }

    /// Uses `identity` for every later connection.
    pub(crate) fn show(&self, identity: &TlsIdentity) {
        if self.current() != *identity {
            self.shown.store(Arc::clone(&identity.0));
            self.changed.notify_one();
        }
    }

    pub(crate) fn current(&self) -> TlsIdentity {
        TlsIdentity(self.shown.load_full())
    }

    /// An acceptor for TLS 1.2 and 1.3 that offers only HTTP/1.1 (RFC 7301).
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

/// The server name in a client's TLS hello (RFC 6066, section 3). Each of its requests carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsName(Arc<str>);

impl TlsName {
    /// `None` if the client sent no server name, as clients do that connect to an IP address.
    pub(crate) fn of(stream: &TlsStream<TcpStream>) -> Option<Self> {
        stream.get_ref().1.server_name().map(|name| Self(name.into()))
    }

    #[cfg(test)]
    pub(crate) fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Whether a `Host`, with or without a port, is this name.
    pub(crate) fn is_host(&self, authority: &str) -> bool {
        let host = HostPort::split(authority).map_or(authority, |(host, _)| host);
        host.trim_end_matches('.').eq_ignore_ascii_case(self.0.trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests;
