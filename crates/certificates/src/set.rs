//! Chooses one of several certificates for a handshake.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;

use crate::certificate::Certificate;

/// The parts of a client's hello that choose the certificate.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// The server name (RFC 6066, section 3), in lower case. Clients that connect to an IP address send none.
    pub name: Option<&'a str>,
    /// The address that the client connected to, if it is known.
    pub address: Option<IpAddr>,
    /// The signatures that the client can check.
    pub offered: &'a [SignatureScheme],
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// Any number of certificates, of which each handshake gets one. The first is the default, for clients whose
/// name none covers.
///
/// A name in a certificate comes before a wildcard that covers it. Among several certificates for one name, a
/// valid one comes first, then one without an RSA key if the client can check its signatures, then the one
/// that expires later.
#[derive(Clone, Debug, Default)]
pub struct CertificateSet(Arc<Indexed>);

#[derive(Debug, Default)]
struct Indexed {
    all: Vec<Certificate>,
    /// Positions in `all`, the preferred one first.
    by_name: HashMap<Box<str>, Vec<usize>>,
    /// The same by the parent of wildcards: `example.com` for `*.example.com`.
    by_parent: HashMap<Box<str>, Vec<usize>>,
    by_address: HashMap<IpAddr, Vec<usize>>,
    /// The default and every other certificate that shares a name with it.
    by_default: Vec<usize>,
}

impl CertificateSet {
    /// A set of these certificates, the default first. Without any, no handshake succeeds.
    pub fn new(all: Vec<Certificate>) -> Self {
        let mut index = Indexed::default();
        for (position, certificate) in all.iter().enumerate() {
            for name in certificate.dns_names() {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut index.by_parent, parent),
                    None => (&mut index.by_name, name.as_str()),
                };
                add(names.entry(name.into()).or_default(), position);
            }
            for address in certificate.addresses() {
                add(index.by_address.entry(address.to_canonical()).or_default(), position);
            }
        }
        let rank = |position: &usize| (all[*position].is_rsa(), u64::MAX - all[*position].end());
        let groups = index.by_name.values_mut().chain(index.by_parent.values_mut());
        for group in groups.chain(index.by_address.values_mut()) {
            group.sort_by_key(rank);
        }
        if let Some(default) = all.first() {
            let is_twin = |other: &Certificate| {
                other.dns_names().iter().any(|name| default.dns_names().contains(name))
                    || other.addresses().iter().any(|address| default.addresses().contains(address))
            };
            index.by_default =
                (0..all.len()).filter(|position| *position == 0 || is_twin(&all[*position])).collect();
            index.by_default.sort_by_key(rank);
        }
        Self(Arc::new(Indexed { all, ..index }))
    }

    /// The certificates, the default first.
    pub fn all(&self) -> &[Certificate] {
        &self.0.all
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.all.is_empty()
    }

    /// The addresses that certificates name.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.0.by_address.keys().copied()
    }

    /// Whether one of them covers `host` and is valid at `now`.
    pub fn covers(&self, host: &str, now: u64) -> bool {
        self.0.all.iter().any(|certificate| certificate.is_valid_at(now) && certificate.covers(host))
    }

    /// The certificate for a handshake; `None` if the set is empty.
    pub fn choose(&self, hello: Hello<'_>) -> Option<&Arc<CertifiedKey>> {
        let index = &*self.0;
        let (exact, wildcard) = match hello.name.map(|name| name.trim_end_matches('.')) {
            Some(name) => {
                let parent = name.split_once('.').map(|(_, parent)| parent);
                (index.by_name.get(name), parent.and_then(|parent| index.by_parent.get(parent)))
            }
            None => {
                let address = hello.address.map(|address| address.to_canonical());
                (address.and_then(|address| index.by_address.get(&address)), None)
            }
        };
        let named = || exact.into_iter().chain(wildcard).flatten().map(|it| &index.all[*it]);
        let candidates = || index.by_default.iter().map(|it| &index.all[*it]);
        let signs = |certificate: &&Certificate| certificate.signs_for(hello.offered);
        let chosen = named()
            .find(|it| signs(it) && it.is_valid_at(hello.now))
            // An expired certificate for the right name tells a person more than one for another name.
            .or_else(|| named().find(signs))
            .or_else(|| candidates().find(|it| signs(it) && it.is_valid_at(hello.now)))
            .or_else(|| candidates().find(signs))
            .or_else(|| index.all.first());
        chosen.map(Certificate::key)
    }
}

fn add(group: &mut Vec<usize>, position: usize) {
    if group.last() != Some(&position) {
        group.push(position);
    }
}

/// Two sets of the same certificates in the same order are equal.
impl PartialEq for CertificateSet {
    fn eq(&self, other: &Self) -> bool {
        self.0.all == other.0.all
    }
}

impl Eq for CertificateSet {}

#[cfg(test)]
mod tests;
