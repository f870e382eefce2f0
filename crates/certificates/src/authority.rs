//! A private authority, for people without a public name: it signs certificates for the names of one wharf.
//!
//! Clients that trust the authority trust it for these names alone (name constraints; RFC 5280, section
//! 4.2.1.10), so its stolen key opens no other site.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use time::OffsetDateTime;

use crate::certificate::{Certificate, CertificateError};

const DAY: u64 = 24 * 3600;

/// The validity of an authority, in seconds. Replacing one means to visit every client.
const AUTHORITY_SECONDS: u64 = 10 * 365 * DAY;

/// The validity of a certificate, in seconds. Apple's systems refuse more than 825 days, public authorities
/// more than 398.
const CERTIFICATE_SECONDS: u64 = 397 * DAY;

/// A certificate is renewed when less than this share of its validity is left: one part in three.
const RENEWAL_PARTS: u64 = 3;

/// Certificates begin this much before now, in seconds, because the clocks of clients differ.
const BACKDATED_SECONDS: u64 = 3600;

/// The addresses that every authority may sign for besides those of its scope: private networks (RFC 1918,
/// RFC 6598, RFC 4193), this machine, and the local link. An address there may change without a new
/// authority.
const PRIVATE_NETWORKS: [(IpAddr, u8); 9] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
];

/// The host name that every authority may sign for.
const LOCALHOST: &str = "localhost";

/// A certificate and its key, both in PEM. It has no `Debug`, because it holds a secret.
pub struct PemPair {
    /// The certificate.
    pub certificate: String,
    /// The key (PKCS #8).
    pub key: String,
}

/// An authority, or a certificate of it, that cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate or the key of the authority.
    #[error(transparent)]
    Pair(#[from] CertificateError),
    /// A certificate that is none of an authority.
    #[error("the certificate is not that of an authority")]
    NoAuthority,
    /// The authority is not valid now.
    #[error("the authority has expired, or is not valid yet")]
    Expired,
    /// Names outside its name constraints.
    #[error("its name constraints do not allow {}", .0.join(", "))]
    Outside(Vec<String>),
    /// Making a key or a certificate failed.
    #[error("cannot make a certificate")]
    Making(#[from] rcgen::Error),
}

/// An authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Its end, in seconds since 1970.
    ends: u64,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority called `name` at `now`, in seconds since 1970. It may sign for `names`, host names
    /// with everything below them, and IP addresses; and for private addresses and `localhost`.
    ///
    /// # Errors
    /// [`AuthorityError::Making`].
    pub fn make(name: &str, names: &[String], now: u64) -> Result<PemPair, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        // It signs no further authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = at(now.saturating_sub(BACKDATED_SECONDS));
        params.not_after = at(now + AUTHORITY_SECONDS);
        params.name_constraints = Some(constraints(names));
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(PemPair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Opens an authority from its certificate and its key.
    ///
    /// # Errors
    /// [`AuthorityError`] unless both belong together, to an authority that is valid at `now`.
    pub fn open(pair: &PemPair, now: u64) -> Result<Self, AuthorityError> {
        let parsed = Certificate::from_pem("", pair.certificate.as_bytes(), pair.key.as_bytes())?;
        let validity = parsed.validity().filter(|validity| validity.holds(now));
        let ends = validity.ok_or(AuthorityError::Expired)?.ends;
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes())
            .map_err(|_| AuthorityError::Pair(CertificateError::Chain))?;
        let key = KeyPair::from_pem(&pair.key)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        if !issuer.key_usages().contains(&KeyUsagePurpose::KeyCertSign) {
            return Err(AuthorityError::NoAuthority);
        }
        Ok(Self { issuer, certificate, ends })
    }

    /// Its end, in seconds since 1970.
    pub fn ends(&self) -> u64 {
        self.ends
    }

    /// Signs a certificate for these names and IP addresses, with a new key.
    ///
    /// # Errors
    /// [`AuthorityError::Outside`] with the names that clients would not accept from this authority.
    pub fn sign(&self, names: &[String], now: u64) -> Result<PemPair, AuthorityError> {
        let key = KeyPair::generate()?;
        let outside: Vec<String> = {
            let accepted = |name: &String| -> Result<bool, AuthorityError> {
                Ok(self.vouches_for(&self.signed(std::slice::from_ref(name), &key, now)?, now))
            };
            let mut outside = Vec::new();
            for name in names {
                if !accepted(name)? {
                    outside.push(name.clone());
                }
            }
            outside
        };
        if !outside.is_empty() {
            return Err(AuthorityError::Outside(outside));
        }
        let certificate = self.signed(names, &key, now)?;
        Ok(PemPair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Whether `certificate` needs no renewal at `now`: this authority signed it, it covers `names`, and a
    /// third of its validity is left.
    pub fn is_fresh(&self, certificate: &Certificate, names: &[String], now: u64) -> bool {
        let Some(validity) = certificate.validity() else { return false };
        let left = validity.ends.saturating_sub(now);
        let is_long = left >= validity.ends.saturating_sub(validity.begins) / RENEWAL_PARTS;
        let is_ours = certificate.key().cert.first().is_some_and(|own| self.vouches(own, now));
        is_long && is_ours && names.iter().all(|name| certificate.covers(name))
    }

    fn signed(
        &self,
        names: &[String],
        key: &KeyPair,
        now: u64,
    ) -> Result<rcgen::Certificate, AuthorityError> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        // Some clients show it. Its longest form has 64 characters (RFC 5280, appendix A.1).
        let shown = names.iter().find(|name| name.len() <= 64).map_or("wharf", String::as_str);
        params.distinguished_name.push(DnType::CommonName, shown);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = at(now.saturating_sub(BACKDATED_SECONDS));
        params.not_after = at((now + CERTIFICATE_SECONDS).min(self.ends));
        Ok(params.signed_by(key, &self.issuer)?)
    }

    fn vouches_for(&self, certificate: &rcgen::Certificate, now: u64) -> bool {
        self.vouches(certificate.der(), now)
    }

    /// Whether a client that trusts this authority accepts the certificate, apart from its name.
    fn vouches(&self, certificate: &CertificateDer<'_>, now: u64) -> bool {
        let mut roots = RootCertStore::empty();
        let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        roots.add(self.certificate.clone()).is_ok()
            && verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms).is_ok()
    }
}

fn constraints(names: &[String]) -> NameConstraints {
    let subtree =
        |address: IpAddr, prefix| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, prefix));
    let named = names.iter().map(|name| match name.parse::<IpAddr>() {
        Ok(address) => subtree(address, if address.is_ipv4() { 32 } else { 128 }),
        Err(_) => GeneralSubtree::DnsName(name.clone()),
    });
    let private = PRIVATE_NETWORKS.into_iter().map(|(address, prefix)| subtree(address, prefix));
    let localhost = GeneralSubtree::DnsName(LOCALHOST.to_owned());
    NameConstraints {
        permitted_subtrees: named.chain([localhost]).chain(private).collect(),
        excluded_subtrees: Vec::new(),
    }
}

/// A time in seconds since 1970. Later times than a certificate can name count as the last one.
fn at(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
