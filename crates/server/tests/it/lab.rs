//! The lab of this suite, which stores and sends blobs in the mode of its test program.

use certificates::{Certificate, CertificateSet};
use testkit::Identity;
pub(crate) use testlab::{DOMAIN, HUB, QUAY, loopback};

/// The certificates of these identities, the default first.
pub(crate) fn certificates(identities: &[Identity]) -> CertificateSet {
    let certificate = |identity: &Identity| {
        let (chain, key) = (identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes());
        Certificate::from_pem("cert.pem", chain, key).unwrap()
    };
    CertificateSet::new(identities.iter().map(certificate).collect())
}

pub(crate) type Lab = testlab::Lab<crate::Mode>;

pub(crate) const STORES_FILES: bool = <crate::Mode as testlab::Mode>::STORES_FILES;

/// Whether the kernel sends stored blobs.
pub(crate) const SENDS_FILES: bool = STORES_FILES && <crate::Mode as testlab::Mode>::SENDFILE;
