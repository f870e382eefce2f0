//! Watches the expiry of the TLS certificate: a metric, and warnings in the log before it expires.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use telemetry::Metrics;

use crate::tls::Certificates;

/// The time before expiry at which warnings begin. Automatic renewal happens weeks earlier.
const WARNING_TIME: Duration = Duration::from_secs(14 * 24 * 3600);

/// Between two checks.
const INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Watches for ever. Warns at once and then daily.
pub(crate) async fn watch(certificates: Arc<Certificates>, metrics: Arc<Metrics>) {
    loop {
        let ends = certificates.current().ends();
        metrics.tls_certificate_ends(ends);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if let Some(warning) = ends.and_then(|ends| warning(Duration::from_secs(ends), now)) {
            tracing::warn!("{warning}");
        }
        tokio::select! {
            () = certificates.changed.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// The warning for a certificate that expires at `ends`, if one is due. Both times are since 1970.
fn warning(ends: Duration, now: Duration) -> Option<String> {
    let advice = "renew cert_file of [server.tls]; wharf loads the new file by itself";
    match ends.checked_sub(now) {
        None => Some(format!("the TLS certificate has expired; {advice}")),
        Some(left) if left <= WARNING_TIME => {
            let days = left.as_secs() / (24 * 3600);
            Some(format!("the TLS certificate expires in {days} days; {advice}"))
        }
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
        assert_eq!(warning(now + WARNING_TIME + Duration::from_secs(1), now), None);
        for (ends, words) in [
            (now + WARNING_TIME, "expires in 14 days"),
            (now + day, "expires in 1 days"),
            (now, "expires in 0 days"),
            (now - Duration::from_secs(1), "has expired"),
        ] {
            let text = warning(ends, now).unwrap();
            assert!(text.contains(words) && text.contains("cert_file"), "{text}");
        }
    }
}
