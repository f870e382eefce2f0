//! Clients that speak TLS to the port for plain HTTP, or the other way round: they are refused, and so is every
//! later try of theirs, while the log of a mirror that nobody reaches stays empty. So the operator is told, and
//! who speaks HTTP reads why.

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

/// When the operator was last told, for each way round.
#[derive(Debug, Default)]
pub(crate) struct WrongPorts {
    tls_at_plain: Sparse,
    plain_at_tls: Sparse,
}

/// What happens often and is told seldom.
#[derive(Debug, Default)]
struct Sparse(Mutex<Option<Instant>>);

impl WrongPorts {
    /// A client at `client` sent `first`, which is no HTTP, to a plain port.
    pub(crate) fn at_plain(&self, first: &[u8], client: std::net::SocketAddr) {
        if first.first() == Some(&HANDSHAKE) && self.tls_at_plain.is_due() {
            tracing::warn!(
                %client,
                "a client speaks TLS to a port for plain HTTP; have it use http:// (an insecure registry, as many \
                 clients call it), or give wharf a certificate in [server.tls]"
            );
        }
    }

    /// A client at `client` sent plain HTTP to a port that speaks TLS.
    pub(crate) fn at_tls(&self, client: std::net::SocketAddr) {
        if self.plain_at_tls.is_due() {
            tracing::warn!(
                %client,
                "a client speaks plain HTTP to a port that speaks TLS; have it use https://, or the port of listen \
                 in [server]"
            );
        }
    }
}

impl Sparse {
    fn is_due(&self) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = told.is_none_or(|told| now.duration_since(told) >= WARNING_INTERVAL);
        if is_due {
            *told = Some(now);
        }
        is_due
    }
}

/// Whether the first byte that comes begins a request in plain HTTP: methods are capital letters, and no TLS record
/// begins with one.
pub(crate) async fn is_http(stream: &TcpStream) -> bool {
    let mut first = [0];
    stream.peek(&mut first).await.is_ok_and(|count| count == 1 && first[0].is_ascii_uppercase())
}

/// What a client reads that speaks plain HTTP to a port that speaks TLS.
pub(crate) fn answer(method: &Method) -> Response<Outgoing> {
    let document = serde_json::json!({
        "errors": [{
            "code": ErrorCode::Unsupported.as_str(),
            "message": "this port speaks TLS, and the request came in plain HTTP: use https:// (wharf cache)",
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
    async fn the_operator_is_told_once_a_minute_of_each() {
        let ports = WrongPorts::default();
        assert!(ports.tls_at_plain.is_due() && ports.plain_at_tls.is_due());
        tokio::time::advance(WARNING_INTERVAL - Duration::from_secs(1)).await;
        assert!(!ports.tls_at_plain.is_due() && !ports.plain_at_tls.is_due());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ports.tls_at_plain.is_due() && !ports.tls_at_plain.is_due());
    }
}
