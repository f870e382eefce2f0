//! Certificates of clients: the authorities that sign them, and the names in them.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The most names that count of one certificate, and the longest, in bytes.
const NAME_COUNT_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 255;

/// A file of authorities that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientAuthorityError {
    /// There is no certificate.
    #[error("the file holds no certificate in PEM")]
    Empty,
    /// A certificate is no authority's.
    #[error("a certificate cannot be trusted as an authority: {0}")]
    Certificate(String),
}

/// Verifies certificates of clients by the authorities in `pem`. A client without a certificate passes: the
/// rules of access decide what it may read. A client with a certificate that does not hold is refused.
///
/// # Errors
/// [`ClientAuthorityError`].
pub fn verifier(pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, ClientAuthorityError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| ClientAuthorityError::Empty)?;
        let added = roots.add(certificate);
        added.map_err(|error| ClientAuthorityError::Certificate(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(ClientAuthorityError::Empty);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = builder.allow_unauthenticated().build();
    verifier
        .map(|it| it as Arc<dyn ClientCertVerifier>)
        .map_err(|error| ClientAuthorityError::Certificate(error.to_string()))
}

/// The names of a client's certificate, in lower case: the common name of its subject, and the host names,
/// mail addresses and URIs among its alternative names (RFC 5280, section 4.2.1.6). None if it cannot be
/// parsed.
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let general = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    let alternative = general.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some(*name),
        _ => None,
    });
    let mut names: Vec<String> = Vec::new();
    for name in common.chain(alternative).map(str::to_lowercase) {
        let is_name = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control);
        if is_name && names.len() < NAME_COUNT_MAX && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair, SanType};

    use super::*;

    fn authority() -> (Issuer<'static, KeyPair>, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        (Issuer::new(params, key), pem)
    }

    #[test]
    fn a_clients_names_are_its_common_name_and_its_alternative_names_in_lower_case() {
        let (issuer, _) = authority();
        let mut params = CertificateParams::new(vec!["Node-1.Example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Build Server");
        params.subject_alt_names.push(SanType::Rfc822Name("CI@example.com".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://example/ci".try_into().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress("192.0.2.7".parse().unwrap()));
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let expected = ["build server", "node-1.example", "ci@example.com", "spiffe://example/ci"];
        assert_eq!(names(certificate.der()), expected);
        assert!(names(&CertificateDer::from(vec![1, 2, 3])).is_empty());
    }

    #[test]
    fn a_file_without_authorities_is_refused() {
        let (_, pem) = authority();
        assert!(verifier(pem.as_bytes()).is_ok());
        assert!(verifier(format!("{pem}{pem}").as_bytes()).is_ok());
        for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(verifier(pem.as_bytes()).is_err(), "{pem}");
        }
    }
}
