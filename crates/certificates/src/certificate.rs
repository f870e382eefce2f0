//! A certificate chain with its key.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Every signature scheme of TLS 1.2 and 1.3 that a key here can sign with (RFC 8446, section 4.2.3).
const SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// A certificate chain, the server's own certificate first, and its key. Two with the same chain are equal.
#[derive(Clone)]
pub struct Certificate(Arc<Parsed>);

struct Parsed {
    /// The file of the chain, which tells it from others in messages and metrics. Empty if there is none.
    source: String,
    key: Arc<CertifiedKey>,
    names: Names,
    validity: Option<Validity>,
    /// The schemes that the key signs with.
    schemes: Vec<SignatureScheme>,
}

/// The names of a certificate (RFC 5280, section 4.2.1.6), in lower case.
#[derive(Debug, Default)]
struct Names {
    /// With wildcards, such as `*.example.com`.
    dns: Vec<String>,
    addresses: Vec<IpAddr>,
}

/// The time in which a certificate is valid, in seconds since 1970. Both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub begins: u64,
    /// The last second.
    pub ends: u64,
}

/// A chain or a key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is no certificate.
    #[error("the file holds no certificate in PEM")]
    Chain,
    /// There is no key.
    #[error("the file holds no private key in PEM (encrypted keys are not supported)")]
    Key,
    /// The key belongs to another certificate of the chain.
    #[error(
        "the key belongs to certificate {0} of the file, not to the first; put the server's own certificate first"
    )]
    Order(usize),
    /// The two do not belong together, or are of an unsupported kind.
    #[error("the certificate and the key cannot be used together: {0}")]
    Pair(String),
}

impl Validity {
    /// Whether the certificate is valid at `now`.
    pub fn holds(self, now: u64) -> bool {
        (self.begins..=self.ends).contains(&now)
    }
}

impl Certificate {
    /// Parses a chain and its key, both in PEM (RFC 7468). `source` is the name of the chain's file.
    ///
    /// # Errors
    /// [`CertificateError`], which says which of the two is faulty.
    pub fn from_pem(source: &str, chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::Chain)?;
        let Some(own) = chain.first().cloned() else { return Err(CertificateError::Chain) };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::Key)?;
        let others = chain.get(1..).unwrap_or_default().to_vec();
        let provider = aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key.clone_key(), &provider).map_err(|error| {
            let fits = |other: &CertificateDer<'static>| {
                CertifiedKey::from_der(vec![other.clone()], key.clone_key(), &provider).is_ok()
            };
            match others.iter().position(fits) {
                Some(index) => CertificateError::Order(index + 2),
                None => CertificateError::Pair(error.to_string()),
            }
        })?;
        let (names, validity) = describe(&own);
        let signs = |scheme: &SignatureScheme| certified.key.choose_scheme(&[*scheme]).is_some();
        let schemes = SCHEMES.into_iter().filter(signs).collect();
        let parsed = Parsed { source: source.to_owned(), key: Arc::new(certified), names, validity, schemes };
        Ok(Self(Arc::new(parsed)))
    }

    /// The name of the file of the chain; empty if there is none.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The chain and the key, for a handshake.
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.0.key
    }

    /// The time in which the server's own certificate is valid; `None` if that cannot be parsed.
    pub fn validity(&self) -> Option<Validity> {
        self.0.validity
    }

    /// The host names that it covers, in lower case, with wildcards.
    pub fn dns_names(&self) -> &[String] {
        &self.0.names.dns
    }

    /// The IP addresses that it covers.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.0.names.addresses
    }

    /// Whether the certificate covers `host`, a name or an IP address (RFC 9525).
    pub fn covers(&self, host: &str) -> bool {
        let own = self.0.key.cert.first();
        let parsed = own.and_then(|own| ParsedCertificate::try_from(own).ok());
        let (Ok(name), Some(parsed)) = (ServerName::try_from(host), parsed) else { return false };
        verify_server_name(&parsed, &name).is_ok()
    }

    /// Whether a client that can check signatures of these kinds can check one of the key.
    pub(crate) fn signs_for(&self, offered: &[SignatureScheme]) -> bool {
        offered.iter().any(|scheme| self.0.schemes.contains(scheme))
    }

    /// Whether the key is an RSA key, whose signatures take the server several times as long as others.
    pub(crate) fn is_rsa(&self) -> bool {
        self.0.schemes.contains(&SignatureScheme::RSA_PSS_SHA256)
    }

    pub(crate) fn is_valid_at(&self, now: u64) -> bool {
        self.0.validity.is_none_or(|validity| validity.holds(now))
    }

    /// The end of the validity, in seconds since 1970; 0 if it is unknown.
    pub(crate) fn end(&self) -> u64 {
        self.0.validity.map_or(0, |validity| validity.ends)
    }
}

/// The names and the validity of a certificate. A certificate that this parser does not read can still be
/// shown to clients.
fn describe(certificate: &CertificateDer<'_>) -> (Names, Option<Validity>) {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return (Names::default(), None) };
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let validity = parsed.validity();
    let validity = Validity { begins: seconds(validity.not_before), ends: seconds(validity.not_after) };
    let mut names = Names::default();
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.dns.push(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => names.addresses.extend(address_of(bytes)),
            _ => {}
        }
    }
    (names, Some(validity))
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source && self.0.key.cert == other.0.key.cert
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("source", &self.0.source)
            .field("names", &self.0.names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
