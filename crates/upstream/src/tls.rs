//! TLS towards upstreams: trusted authorities and the client certificate.
//!
//! The roots are the system's, the bundled ones (a `scratch` image has no others), and the operator's.

mod pinned;

use std::error::Error as StdError;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::DigitallySignedStruct;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use secret::Secret;

use crate::settings::SettingsError;

pub(crate) use self::pinned::is_cause;

/// The certificate authorities that every upstream trusts: the bundled ones and the system's. Cheap to clone.
///
/// Reading them takes longer than the rest of making an upstream (some systems have a file for each), so it
/// happens once for all of them.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// Reads the system's. A `scratch` image has none. Unusable ones are skipped, because the operator did
    /// not write those files.
    pub fn load() -> Self {
        Self::with_system(rustls_native_certs::load_native_certs().certs)
    }

    fn with_system(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        roots.add_parsable_certificates(certificates);
        Self(Arc::new(roots))
    }

    /// Adds the authorities in `extra` (PEM) for one upstream.
    ///
    /// # Errors
    /// [`SettingsError::Ca`] for an extra text without a usable certificate.
    pub(crate) fn and(&self, extra: &[Vec<u8>]) -> Result<Trust, SettingsError> {
        let mut roots = Arc::clone(&self.0);
        let mut pinned = Vec::new();
        for pem in extra {
            let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
                .collect::<Result<_, _>>()
                .map_err(|error| bad_ca(error.to_string(), Some(error)))?;
            if certificates.is_empty() {
                return Err(bad_ca("no certificate in the file".to_owned(), None::<rustls::Error>));
            }
            for certificate in certificates {
                let added = Arc::make_mut(&mut roots).add(certificate.clone());
                added.map_err(|error| {
                    bad_ca("what it holds is no X.509 certificate".to_owned(), Some(error))
                })?;
                pinned.push(certificate);
            }
        }
        Ok(Trust { roots, pinned: pinned.into() })
    }
}

/// The certificates that verify one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// The authorities.
    roots: Arc<RootCertStore>,
    /// The operator's certificates, each of which is also accepted as a server's own.
    pinned: Arc<[CertificateDer<'static>]>,
}

impl Trust {
    fn verifier(&self) -> Arc<dyn ServerCertVerifier> {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), provider()).build();
        let usual = usual.expect("the bundled authorities are always among the roots");
        Arc::new(pinned::Verifier { usual, pinned: Arc::clone(&self.pinned) })
    }
}

/// Makes a configuration for other hosts: verified by `trust`, without a client certificate.
pub(crate) fn verified(trust: &Trust) -> ClientConfig {
    let builder = versions(builder()).dangerous().with_custom_certificate_verifier(trust.verifier());
    http1_only(builder.with_no_client_auth())
}

/// Makes a configuration for the upstream's own hosts.
///
/// # Errors
/// [`SettingsError::ClientIdentity`] if the certificate and the key are no pair.
pub(crate) fn trusted(
    trust: &Trust,
    identity: Option<&Secret<Vec<u8>>>,
    skip_verify: bool,
) -> Result<ClientConfig, SettingsError> {
    let verifier: Arc<dyn ServerCertVerifier> =
        if skip_verify { Arc::new(AcceptAnyCertificate { provider: provider() }) } else { trust.verifier() };
    let builder = versions(builder()).dangerous().with_custom_certificate_verifier(verifier);
    let Some(identity) = identity else { return Ok(http1_only(builder.with_no_client_auth())) };
    let (chain, key) = parse_identity(identity.expose())?;
    let config = builder.with_client_auth_cert(chain, key);
    // rustls's message shows the names of its own values.
    let unfit = "no client can use it: the key must be the one that the certificate was made for";
    config.map(http1_only).map_err(|error| bad_identity(unfit.to_owned(), Some(error)))
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

fn bad_ca<E: StdError + Send + Sync + 'static>(reason: String, source: Option<E>) -> SettingsError {
    SettingsError::Ca { reason, source: source.map(|error| error.into()) }
}

fn bad_identity<E: StdError + Send + Sync + 'static>(reason: String, source: Option<E>) -> SettingsError {
    SettingsError::ClientIdentity { reason, source: source.map(|error| error.into()) }
}

fn parse_identity(
    pem: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), SettingsError> {
    let unreadable = |error: pem::Error| bad_identity(error.to_string(), Some(error));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(unreadable)?;
    if chain.is_empty() {
        return Err(bad_identity("no certificate in the file".to_owned(), None::<rustls::Error>));
    }
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(unreadable)?;
    Ok((chain, key))
}

/// Accepts any certificate, for `insecure_skip_verify`. It still checks that the peer holds the certificate's
/// key.
#[derive(Debug)]
struct AcceptAnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAnyCertificate {
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
