//! A certificate authority for one test, which signs valid and invalid certificates.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use time::OffsetDateTime;

/// The certificate of a TLS server of the testkit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Valid for `localhost`, `127.0.0.1` and `::1`.
    #[default]
    Valid,
    /// For the right names, but expired.
    Expired,
    /// Not expired, but for `elsewhere.example`.
    WrongName,
    /// The authority's own: self-signed and marked as an authority, as `openssl req -x509` makes them.
    SelfSigned,
}

/// The names in valid certificates.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// One certificate.
    pub certificate_pem: String,
    /// Its PKCS #8 key.
    pub key_pem: String,
}

/// An authority that only clients with its [`Authority::pem`] trust.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    /// A new authority with a new key.
    pub fn new() -> Self {
        let names = NAMES.map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("the names are well formed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "testkit authority");
        let key = KeyPair::generate().expect("a key of the default kind can be made");
        let certificate = params.self_signed(&key).expect("fixed parameters can be signed");
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// The authority's own certificate, PEM, which clients must trust.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A server certificate of the given kind.
    pub fn server_identity(&self, certificate: Certificate) -> Identity {
        let (certificate, key) = self.sign(certificate, ExtendedKeyUsagePurpose::ServerAuth);
        Identity { certificate_pem: certificate.pem(), key_pem: key }
    }

    /// A valid server certificate for these names and addresses.
    pub fn identity_for(&self, names: &[&str]) -> Identity {
        let (certificate, key) = self.sign_for(names, ExtendedKeyUsagePurpose::ServerAuth, None);
        Identity { certificate_pem: certificate.pem(), key_pem: key }
    }

    /// A client certificate that servers with this authority accept.
    pub fn client_identity(&self) -> Identity {
        let (certificate, key) = self.sign(Certificate::Valid, ExtendedKeyUsagePurpose::ClientAuth);
        Identity { certificate_pem: certificate.pem(), key_pem: key }
    }

    /// A server's TLS configuration; with `client_certificate`, clients must present one that this authority
    /// signed.
    pub(crate) fn server_config(
        &self,
        certificate: Certificate,
        client_certificate: bool,
    ) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions");
        let builder = if client_certificate {
            let roots = Arc::new(trusting(self.certificate.der().clone()));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .expect("the authority is a usable root");
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = self.sign(certificate, ExtendedKeyUsagePurpose::ServerAuth);
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key that was just written");
        let config = builder
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("the key belongs to the certificate");
        Arc::new(config)
    }

    /// A certificate, and its key as PEM.
    fn sign(&self, certificate: Certificate, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, String) {
        let names: &[&str] = match certificate {
            Certificate::Valid | Certificate::Expired => &NAMES,
            Certificate::WrongName => &["elsewhere.example"],
            Certificate::SelfSigned => return (self.certificate.clone(), self.issuer.key().serialize_pem()),
        };
        let past = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        self.sign_for(names, usage, (certificate == Certificate::Expired).then_some(past))
    }

    fn sign_for(
        &self,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        validity: Option<(OffsetDateTime, OffsetDateTime)>,
    ) -> (rcgen::Certificate, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are well formed");
        params.distinguished_name.push(DnType::CommonName, "testkit");
        params.extended_key_usages = vec![usage];
        if let Some(validity) = validity {
            (params.not_before, params.not_after) = validity;
        }
        let key = KeyPair::generate().expect("a key of the default kind can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("fixed parameters can be signed");
        (certificate, key.serialize_pem())
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// A client's TLS configuration that trusts only `root` and presents `identity`, if given.
pub(crate) fn client_config(root: CertificateDer<'static>, identity: Option<Certified>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions")
        .with_root_certificates(trusting(root));
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).expect("the key belongs to the certificate")
        }
    })
}

/// A chain and its key in the types of rustls.
pub(crate) type Certified = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Named in every configuration: tests must not depend on a provider installed for the whole process.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn trusting(root: CertificateDer<'static>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("the authority is a usable root");
    roots
}
