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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use certificates::authority::Authority;
    use http::{Request, Response};

    use super::*;
    use crate::client::{Client, Transport};

    const NOW: u64 = 1_800_000_000;

    /// An authority that answers each question about a window with this text and a pause.
    struct Suggesting(&'static str, &'static str);

    #[async_trait]
    impl Transport for Suggesting {
        async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
            let url = |name: &str| format!("\"{name}\": \"https://ca.example/{name}\"");
            let all = ["newNonce", "newAccount", "newOrder", "renewalInfo"].map(url).join(", ");
            let text = match request.uri().path() {
                "/dir" => format!("{{{all}}}"),
                path if path.starts_with("/renewalInfo/") => self.0.to_owned(),
                path => return Err(format!("asked for {path}")),
            };
            Ok(Response::builder().header("retry-after", self.1).body(text.into()).unwrap())
        }
    }

    async fn asked(text: &'static str, pause: &'static str) -> Answer {
        let made = Authority::make("test", &["example".to_owned()], NOW).unwrap();
        let pair = Authority::open(&made, NOW).unwrap().sign(&["a.example".to_owned()], NOW).unwrap();
        let certificate =
            Certificate::from_pem("", pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap();
        let (_, key) = instant_acme::Key::generate_pkcs8().unwrap();
        let client = Client::new(Arc::new(Suggesting(text, pause)));
        let builder = Account::builder_with_http(Box::new(client));
        let directory = "https://ca.example/dir".to_owned();
        let account = builder.from_parts("https://ca.example/account/1".to_owned(), key, directory).await;
        ask(&account.unwrap(), &certificate).await
    }

    #[tokio::test]
    async fn the_window_of_the_authority_is_taken_and_its_pause_is_kept_within_bounds() {
        let suggestion =
            "{\"suggestedWindow\": {\"start\": \"2027-01-15T08:00:00Z\", \"end\": \"2027-01-16T08:00:00Z\"}}";
        for (pause, hours) in [("1", 1), ("9999999", 24)] {
            let answer = asked(suggestion, pause).await;
            assert_eq!(answer.window, Some(Window { start: NOW, end: NOW + 86_400 }));
            assert_eq!(answer.recheck_after, Duration::from_secs(hours * 3600));
        }
        for text in ["{}", "", "{\"suggestedWindow\": {\"start\": \"soon\", \"end\": \"late\"}}"] {
            assert_eq!(asked(text, "21600").await.window, None, "{text}");
        }
    }
}
