//! Whom we believe, and who we say we are, when a connection is encrypted.
//!
//! Roots are the system's, those compiled in (an image made from scratch has no others), and the operator's.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::DigitallySignedStruct;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use secret::Secret;

use crate::settings::SettingsError;

/// The certificate authorities that the system has; an image made from scratch has none.
pub(crate) fn system_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// The certificate authorities for one upstream: the bundled ones, the `system`'s, and those in `extra` (PEM).
///
/// # Errors
/// [`SettingsError::Ca`] for an extra text without a usable certificate. A system certificate that cannot be
/// used is left out: others wrote that file.
pub(crate) fn roots(
    system: Vec<CertificateDer<'static>>,
    extra: &[Vec<u8>],
) -> Result<Arc<RootCertStore>, SettingsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    roots.add_parsable_certificates(system);
    for pem in extra {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| SettingsError::Ca(error.to_string()))?;
        if certificates.is_empty() {
            return Err(SettingsError::Ca("no certificate in the file".to_owned()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| SettingsError::Ca(error.to_string()))?;
        }
    }
    Ok(Arc::new(roots))
}

/// A configuration for hosts that are verified against `roots` and learn nothing about us.
pub(crate) fn verified(roots: &Arc<RootCertStore>) -> ClientConfig {
    let builder = versions(builder()).with_root_certificates(roots.clone());
    http1_only(builder.with_no_client_auth())
}

/// A configuration for the upstream's own hosts.
///
/// # Errors
/// [`SettingsError::ClientIdentity`].
pub(crate) fn trusted(
    roots: &Arc<RootCertStore>,
    identity: Option<&Secret<Vec<u8>>>,
    skip_verify: bool,
) -> Result<ClientConfig, SettingsError> {
    let builder = versions(builder());
    let builder = if skip_verify {
        let anyone = Anyone { provider: provider() };
        builder.dangerous().with_custom_certificate_verifier(Arc::new(anyone))
    } else {
        builder.with_root_certificates(roots.clone())
    };
    let Some(identity) = identity else { return Ok(http1_only(builder.with_no_client_auth())) };
    let (chain, key) = parse_identity(identity.expose())?;
    let config = builder.with_client_auth_cert(chain, key);
    config.map(http1_only).map_err(|error| SettingsError::ClientIdentity(error.to_string()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVersions> {
    ClientConfig::builder_with_provider(provider())
}

fn versions(
    builder: rustls::ConfigBuilder<ClientConfig, rustls::WantsVersions>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    builder.with_safe_default_protocol_versions().expect("aws-lc-rs has suites for TLS 1.2 and 1.3")
}

fn http1_only(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn parse_identity(
    pem: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), SettingsError> {
    let refused = |what: &dyn std::fmt::Display| SettingsError::ClientIdentity(what.to_string());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| refused(&error))?;
    if chain.is_empty() {
        return Err(refused(&"no certificate in the file"));
    }
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| refused(&error))?;
    Ok((chain, key))
}

/// Takes any certificate, as `insecure_skip_verify` says. That the peer holds the certificate's key is
/// checked all the same.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
