//! Decides whether a certificate of the authority is taken in use.

use certificates::Certificate;
use policy::issuance::Held;

/// The most certificates of one chain. A client reads all of it in each handshake.
const CHAIN_COUNT_MAX: usize = 10;

/// A new certificate that ends within this time, in seconds, is of no use beside one that ends later.
const LIFE_SECONDS_MIN: u64 = 3600;

/// Refuses a certificate that does not do for an order of `names` at `now`, while those of `held` are in use.
///
/// # Errors
/// The rest of a sentence about the certificate.
pub(crate) fn check(
    certificate: &Certificate,
    names: &[String],
    held: &[Held],
    now: u64,
) -> Result<(), String> {
    let count = certificate.key().cert.len();
    if count > CHAIN_COUNT_MAX {
        return Err(format!("it has {count} certificates, and every client reads each of them"));
    }
    // Otherwise the same order would follow at once.
    if let Some(name) = names.iter().find(|name| !certificate.dns_names().contains(name)) {
        return Err(format!("it does not cover {name}"));
    }
    let Some(validity) = certificate.validity().filter(|validity| validity.holds(now)) else {
        return Err("it is not valid now; check this machine's clock".to_owned());
    };
    let is_better = |it: &Held| it.ends > validity.ends && names.iter().any(|name| it.names.contains(name));
    if validity.ends < now + LIFE_SECONDS_MIN && held.iter().any(is_better) {
        return Err("it ends within the hour, before the certificate in use".to_owned());
    }
    Ok(())
}
