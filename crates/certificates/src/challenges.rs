//! The answers to challenges by which an authority checks who controls a name (ACME, RFC 8555 section 8).
//!
//! An order puts them here while it is under way, and the listeners give them: a text over plain HTTP
//! (HTTP-01), or a certificate in a handshake (TLS-ALPN-01, RFC 8737).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::authority::AuthorityError;
use crate::certificate::CertificateError;

/// The protocol that the authority names in its hello (RFC 8737, section 6.2).
pub const TLS_PROTOCOL: &[u8] = b"acme-tls/1";

/// The path before the token of HTTP-01 (RFC 8555, section 8.3).
const HTTP_PREFIX: &str = "/.well-known/acme-challenge/";

/// The answers to challenges that are pending now. The authority's orders bound their number.
#[derive(Debug, Default)]
pub struct Challenges {
    /// By token.
    http: RwLock<HashMap<String, String>>,
    /// By name, in lower case.
    tls: RwLock<HashMap<String, Arc<CertifiedKey>>>,
    http_count: AtomicUsize,
    tls_count: AtomicUsize,
}

/// An answer that is given until this is dropped.
#[derive(Debug)]
pub struct Offer {
    challenges: Arc<Challenges>,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Http(String),
    Tls(String),
}

impl Challenges {
    /// Answers requests for `token` with `text`.
    pub fn offer_http(self: &Arc<Self>, token: &str, text: &str) -> Offer {
        let mut http = self.http.write();
        http.insert(token.to_owned(), text.to_owned());
        self.http_count.store(http.len(), Ordering::Relaxed);
        Offer { challenges: Arc::clone(self), key: Key::Http(token.to_owned()) }
    }

    /// Answers handshakes for `name` with a certificate that carries `digest`, the SHA-256 of the key
    /// authorization (RFC 8737, section 3).
    ///
    /// # Errors
    /// [`AuthorityError`] if the certificate cannot be made.
    pub fn offer_tls(self: &Arc<Self>, name: &str, digest: &[u8]) -> Result<Offer, AuthorityError> {
        let name = name.to_ascii_lowercase();
        let key = certificate(&name, digest)?;
        let mut tls = self.tls.write();
        tls.insert(name.clone(), Arc::new(key));
        self.tls_count.store(tls.len(), Ordering::Relaxed);
        Ok(Offer { challenges: Arc::clone(self), key: Key::Tls(name) })
    }

    /// The text for a request of `path`, if it is for a pending challenge.
    pub fn http_answer(&self, path: &str) -> Option<String> {
        if self.http_count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.http.read().get(path.strip_prefix(HTTP_PREFIX)?).cloned()
    }

    /// Whether an authority may connect now with [`TLS_PROTOCOL`].
    pub fn has_tls(&self) -> bool {
        self.tls_count.load(Ordering::Relaxed) > 0
    }
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.tls.read().get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        match &self.key {
            Key::Http(token) => {
                let mut http = self.challenges.http.write();
                http.remove(token);
                self.challenges.http_count.store(http.len(), Ordering::Relaxed);
            }
            Key::Tls(name) => {
                let mut tls = self.challenges.tls.write();
                tls.remove(name);
                self.challenges.tls_count.store(tls.len(), Ordering::Relaxed);
            }
        }
    }
}

/// The self-signed certificate of a challenge.
fn certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, AuthorityError> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let signer = aws_lc_rs::sign::any_supported_type(&der)
        .map_err(|error| AuthorityError::Pair(CertificateError::Pair(error.to_string())))?;
    // Without the check whether both belong together: it refuses the extension, which is critical and
    // unknown to it.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
}

#[cfg(test)]
mod tests;
