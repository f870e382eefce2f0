//! Detects clients that speak TLS to a plain port or plain HTTP to a TLS port. They can never pull, and
//! without this their failures would appear nowhere. The operator gets a warning, and an HTTP client gets a
//! refusal.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use oci::ErrorCode;
use telemetry::Answered;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::body::Outgoing;
use crate::respond::Answer;

/// The first byte of a TLS record that begins a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// Between two warnings of one kind.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Limits the warnings of each kind.
#[derive(Debug, Default)]
pub(crate) struct WrongPorts {
    tls_at_plain: WarningLimiter,
    plain_at_tls: WarningLimiter,
}

/// Lets one warning pass per [`WARNING_INTERVAL`]. Holds the time of the last one.
#[derive(Debug, Default)]
struct WarningLimiter(Mutex<Option<Instant>>);

impl WrongPorts {
    /// Warns if the bytes `first`, which `client` sent to a plain port, begin a TLS handshake.
    pub(crate) fn at_plain(&self, first: &[u8], client: std::net::SocketAddr) {
        if first.first() == Some(&HANDSHAKE) && self.tls_at_plain.is_due() {
            tracing::warn!(
                %client,
                "a client speaks TLS to a port for plain HTTP; configure it with http:// (many clients call that \
                 an insecure registry), or give wharf a certificate in [server.tls]"
            );
        }
    }

    /// Warns that `client` sent plain HTTP to a TLS port.
    pub(crate) fn at_tls(&self, client: std::net::SocketAddr) {
        if self.plain_at_tls.is_due() {
            tracing::warn!(
                %client,
                "a client speaks plain HTTP to a port for TLS; configure it with https://, or with the port of \
                 listen in [server]"
            );
        }
    }
}

impl WarningLimiter {
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = last.is_none_or(|last| now.duration_since(last) >= WARNING_INTERVAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

/// Whether the first byte begins a request in plain HTTP. Methods begin with a capital letter, TLS records do
/// not.
pub(crate) async fn is_http(stream: &TcpStream) -> bool {
    let mut first = [0];
    stream.peek(&mut first).await.is_ok_and(|count| count == 1 && first[0].is_ascii_uppercase())
}

/// The refusal for plain HTTP at a TLS port.
pub(crate) fn answer(method: &Method) -> Response<Outgoing> {
    let document = serde_json::json!({
        "errors": [{
            "code": ErrorCode::Unsupported.as_str(),
            "message": "this port requires TLS, but the request is plain HTTP; use https:// (wharf cache)",
            "detail": null,
        }]
    });
    let json = HeaderValue::from_static("application/json");
    let answer = Answer::whole(StatusCode::BAD_REQUEST, Answered::Malformed, document.to_string());
    answer.with(header::CONTENT_TYPE, json).closing().into_response(method, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_warning_is_logged_at_most_once_a_minute() {
        let ports = WrongPorts::default();
        assert!(ports.tls_at_plain.is_due() && ports.plain_at_tls.is_due());
        tokio::time::advance(WARNING_INTERVAL - Duration::from_secs(1)).await;
        assert!(!ports.tls_at_plain.is_due() && !ports.plain_at_tls.is_due());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ports.tls_at_plain.is_due() && !ports.tls_at_plain.is_due());
    }
}
