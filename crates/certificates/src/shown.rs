//! The certificates in force, as rustls asks for them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::Certificate;
use crate::set::{CertificateSet, Hello};

/// The set in force: the certificates of the configuration, and those that were obtained from an authority.
/// Both can be replaced at any time; a handshake takes the set that it finds, and a connection keeps the
/// certificate of its handshake.
#[derive(Debug, Default)]
pub struct Certificates {
    in_force: ArcSwap<CertificateSet>,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    configured: CertificateSet,
    obtained: Vec<Certificate>,
}

impl Certificates {
    /// Shows the certificates of `set`.
    pub fn new(set: CertificateSet) -> Self {
        let parts = Parts { configured: set.clone(), obtained: Vec::new() };
        Self { in_force: ArcSwap::from_pointee(set), parts: Mutex::new(parts) }
    }

    /// Shows the certificates of the configuration, `set`, in every later handshake. Returns whether the set
    /// in force differs from before.
    pub fn replace(&self, set: CertificateSet) -> bool {
        self.change(|parts| parts.configured = set)
    }

    /// Shows the certificates that were obtained in every later handshake, beside those of the configuration.
    /// Returns whether the set in force differs from before.
    pub fn obtain(&self, obtained: Vec<Certificate>) -> bool {
        self.change(|parts| parts.obtained = obtained)
    }

    /// The set in force.
    pub fn current(&self) -> CertificateSet {
        CertificateSet::clone(&self.in_force.load())
    }

    fn change(&self, change: impl FnOnce(&mut Parts)) -> bool {
        let mut parts = self.parts.lock();
        change(&mut parts);
        let set = if parts.obtained.is_empty() {
            parts.configured.clone()
        } else {
            let all = parts.configured.all().iter().chain(&parts.obtained);
            CertificateSet::new(all.cloned().collect())
        };
        let differs = **self.in_force.load() != set;
        if differs {
            self.in_force.store(Arc::new(set));
        }
        differs
    }

    fn choose(&self, hello: &ClientHello<'_>, address: Option<IpAddr>) -> Option<Arc<CertifiedKey>> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (name, offered) = (hello.server_name(), hello.signature_schemes());
        let hello = Hello { name, address, offered, now: now.as_secs() };
        self.in_force.load().choose(hello).cloned()
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

#[cfg(test)]
mod tests;
