//! The window in which the authority suggests to renew a certificate (ARI, RFC 9773).

use std::time::Duration;

use certificates::Certificate;
use instant_acme::{Account, CertificateIdentifier, Error};
use policy::issuance::Window;

/// The shortest time between two questions about one certificate.
const RECHECK_MIN: Duration = Duration::from_secs(3600);

/// The longest time between two questions, and the time after a failed one.
const RECHECK_MAX: Duration = Duration::from_secs(24 * 3600);

/// An answer of the authority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// `None`: it suggests none.
    pub(crate) window: Option<Window>,
    pub(crate) recheck_after: Duration,
}

/// The name of a certificate for the authority (section 4.1). `None` for one that does not name its issuer's
/// key.
pub(crate) fn id_of(certificate: &Certificate) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(certificate.key().cert.first()?)
        .ok()
        .map(CertificateIdentifier::into_owned)
}

/// Asks about a certificate. A failure costs nothing but the suggestion.
pub(crate) async fn ask(account: &Account, certificate: &Certificate) -> Answer {
    let none = Answer { window: None, recheck_after: RECHECK_MAX };
    let Some(id) = id_of(certificate) else { return none };
    match account.renewal_info(&id).await {
        Ok((info, recheck)) => {
            let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
            let window = info.suggested_window;
            let window = Window {
                start: seconds(window.start.unix_timestamp()),
                end: seconds(window.end.unix_timestamp()),
            };
            Answer { window: Some(window), recheck_after: recheck.clamp(RECHECK_MIN, RECHECK_MAX) }
        }
        Err(Error::Unsupported(_)) => none,
        Err(error) => {
            tracing::debug!(%error, "the authority suggests no time of renewal");
            none
        }
    }
}
