//! The end of the certificate that clients are shown: in the metrics, and in the log before it comes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use telemetry::Metrics;

use crate::tls::Certificates;

/// So long before its end a certificate should have been renewed: what renews itself does so weeks before.
const WARNING_TIME: Duration = Duration::from_secs(14 * 24 * 3600);

/// Between two looks at it.
const INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Watches for ever, and warns at once and every day.
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

/// What is to be said of a certificate that ends at `ends`, both since 1970.
fn warning(ends: Duration, now: Duration) -> Option<String> {
    let advice = "renew cert_file of [server.tls]; wharf takes up the new file by itself";
    match ends.checked_sub(now) {
        None => Some(format!("the certificate that clients are shown has ended; {advice}")),
        Some(left) if left <= WARNING_TIME => {
            let days = left.as_secs() / (24 * 3600);
            Some(format!("the certificate that clients are shown ends in {days} days; {advice}"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_fourteen_days_ahead() {
        let now = Duration::from_secs(1_795_966_813);
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(warning(now + WARNING_TIME + Duration::from_secs(1), now), None);
        for (ends, words) in [
            (now + WARNING_TIME, "ends in 14 days"),
            (now + day, "ends in 1 days"),
            (now, "ends in 0 days"),
            (now - Duration::from_secs(1), "has ended"),
        ] {
            let text = warning(ends, now).unwrap();
            assert!(text.contains(words) && text.contains("cert_file"), "{text}");
        }
    }
}
