//! Accepts a server whose own certificate is in `ca_file`, although no authority signed it.
//!
//! `openssl req -x509` marks its certificates as authorities, and RFC 5280 forbids an authority's certificate
//! for a server. An operator who lists such a certificate in `ca_file` means exactly that one.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

/// Verifies as usual, and accepts the operator's own certificates if name and dates fit.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) usual: Arc<WebPkiServerVerifier>,
    pub(super) pinned: Arc<[CertificateDer<'static>]>,
}

/// Tells whether `error` says only that no authority signed the certificate. Its dates are right then: they
/// are checked before the signer.
fn is_only_unsigned(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        rustls::Error::InvalidCertificate(error) => {
            is_cause(error, |cause| matches!(cause, webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}

/// Tells whether `error` wraps a cause of this kind, for which rustls has no variant.
pub(crate) fn is_cause(error: &CertificateError, is_meant: impl Fn(&webpki::Error) -> bool) -> bool {
    let CertificateError::Other(other) = error else { return false };
    other.0.downcast_ref().is_some_and(is_meant)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let usual = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match usual {
            Err(error)
                if is_only_unsigned(&error)
                    && self.pinned.iter().any(|own| own.as_ref() == end_entity.as_ref()) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
