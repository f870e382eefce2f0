//! Watches the expiry of the TLS certificates: a metric for each, and warnings in the log before they expire.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certificates::{Certificate, Validity};
use telemetry::Metrics;

use crate::tls::Tls;

/// The time before expiry at which warnings begin. Automatic renewal happens weeks earlier.
const WARNING_TIME: Duration = Duration::from_secs(14 * 24 * 3600);

/// Warnings for certificates with a short life begin when this share of it is left: one part in four.
/// Automatic renewal happens when a third is left.
const WARNING_PARTS: u32 = 4;

/// Between two checks.
const INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// The most names of a certificate in a warning.
const NAMED_COUNT_MAX: usize = 3;

/// Watches for ever. Warns at once and then daily.
pub(crate) async fn watch(tls: Arc<Tls>, metrics: Arc<Metrics>) {
    loop {
        let certificates = tls.certificates();
        let ends = |it: &Certificate| Some((it.source().to_owned(), it.validity()?.ends));
        metrics.tls_certificates_end(certificates.all().iter().filter_map(ends).collect());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        for certificate in certificates.all() {
            if let Some(words) = certificate.validity().and_then(|validity| warning(validity, now)) {
                let (file, names) = (certificate.source(), names_of(certificate));
                tracing::warn!(
                    "the TLS certificate {file} for {names} {words}; wharf uses a renewed one by itself"
                );
            }
        }
        tokio::select! {
            () = tls.changed.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// The names that it covers, cut.
fn names_of(certificate: &Certificate) -> String {
    let dns = certificate.dns_names().iter().cloned();
    let all: Vec<String> = dns.chain(certificate.addresses().iter().map(ToString::to_string)).collect();
    match all.len().checked_sub(NAMED_COUNT_MAX) {
        _ if all.is_empty() => "no name".to_owned(),
        Some(more) if more > 0 => format!("{} and {more} more", all[..NAMED_COUNT_MAX].join(", ")),
        _ => all.join(", "),
    }
}

/// The warning for a certificate that is valid in this time, if one is due. `now` is since 1970.
fn warning(validity: Validity, now: Duration) -> Option<String> {
    let [begins, ends] = [validity.begins, validity.ends].map(Duration::from_secs);
    let early = (ends.saturating_sub(begins) / WARNING_PARTS).min(WARNING_TIME);
    match ends.checked_sub(now) {
        None => Some("has expired".to_owned()),
        Some(left) if left <= early => Some(format!("expires in {} days", left.as_secs() / (24 * 3600))),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_begin_fourteen_days_before_expiry() {
        let now = Duration::from_secs(1_795_966_813);
        let day = Duration::from_secs(24 * 3600);
        let warning = |ends: Duration, days: u64| {
            let ends = ends.as_secs();
            warning(Validity { begins: ends - days * day.as_secs(), ends }, now)
        };
        assert_eq!(warning(now + WARNING_TIME + Duration::from_secs(1), 90), None);
        for (ends, words) in [
            (now + WARNING_TIME, "expires in 14 days"),
            (now + day, "expires in 1 days"),
            (now, "expires in 0 days"),
            (now - Duration::from_secs(1), "has expired"),
        ] {
            assert_eq!(warning(ends, 90).unwrap(), words);
        }
        // A certificate of eight days is renewed later than 14 days before its end.
        assert_eq!(warning(now + 2 * day + Duration::from_secs(1), 8), None);
        assert_eq!(warning(now + 2 * day, 8).unwrap(), "expires in 2 days");
    }

    #[test]
    fn a_warning_names_a_few_names() {
        let authority = testkit::Authority::new();
        let identity = authority.server_identity(testkit::Certificate::Valid);
        let (chain, key) = (identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes());
        let certificate = Certificate::from_pem("one.pem", chain, key).unwrap();
        assert_eq!(names_of(&certificate), "localhost, 127.0.0.1, ::1");
    }
}
