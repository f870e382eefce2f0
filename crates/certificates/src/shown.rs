//! The certificates in force, as rustls asks for them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::set::{CertificateSet, Hello};

/// The set in force. It can be replaced at any time; a handshake takes the set that it finds, and a
/// connection keeps the certificate of its handshake.
#[derive(Debug, Default)]
pub struct Certificates(ArcSwap<CertificateSet>);

impl Certificates {
    /// Shows the certificates of `set`.
    pub fn new(set: CertificateSet) -> Self {
        Self(ArcSwap::from_pointee(set))
    }

    /// Shows the certificates of `set` in every later handshake. Returns whether they are others than before.
    pub fn replace(&self, set: CertificateSet) -> bool {
        let differs = **self.0.load() != set;
        if differs {
            self.0.store(Arc::new(set));
        }
        differs
    }

    /// The set in force.
    pub fn current(&self) -> CertificateSet {
        CertificateSet::clone(&self.0.load())
    }

    fn choose(&self, hello: &ClientHello<'_>, address: Option<IpAddr>) -> Option<Arc<CertifiedKey>> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (name, offered) = (hello.server_name(), hello.signature_schemes());
        let hello = Hello { name, address, offered, now: now.as_secs() };
        self.0.load().choose(hello).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(&hello, None)
    }
}

/// The certificates for clients that connect to one address of this machine. A client that names no server
/// gets a certificate for the address.
#[derive(Debug)]
pub struct ForAddress {
    certificates: Arc<Certificates>,
    address: IpAddr,
}

impl ForAddress {
    /// Chooses among `certificates`.
    pub fn new(certificates: Arc<Certificates>, address: IpAddr) -> Self {
        Self { certificates, address }
    }
}

impl ResolvesServerCert for ForAddress {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificates.choose(&hello, Some(self.address))
    }
}
