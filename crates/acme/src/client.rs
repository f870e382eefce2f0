//! The HTTP client behind the protocol: what `instant-acme` needs of the one that wharf has.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;

/// Sends a request to the authority.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends it once and reads the whole answer.
    ///
    /// # Errors
    /// A sentence that names the host, if there is no whole answer.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String>;
}

/// The client of one account.
#[derive(Clone)]
pub(crate) struct Client {
    transport: Arc<dyn Transport>,
    /// The pause that the last refusal asked for.
    pause: Arc<Mutex<Option<Duration>>>,
}

impl Client {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, pause: Arc::default() }
    }

    /// Takes the pause that the last refusal asked for.
    pub(crate) fn take_pause(&self) -> Option<Duration> {
        self.pause.lock().take()
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
        let host = head.uri.authority().map(ToString::to_string).unwrap_or_default();
        let answer = self.transport.send(Request::from_parts(head, body)).await.map_err(told)?;
        if answer.status().is_client_error() || answer.status().is_server_error() {
            *self.pause.lock() = pause_of(&answer, SystemTime::now());
            if !is_problem(&answer) {
                return Err(told(format!("{host} answered {}", answer.status())));
            }
        }
        Ok(BytesResponse::from(answer.map(Full::new)))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

fn told(text: String) -> Error {
    Error::Other(text.into())
}

/// Whether the body can be read as a problem document (RFC 9457): a proxy's error page cannot.
fn is_problem(answer: &Response<Bytes>) -> bool {
    serde_json::from_slice::<serde_json::Value>(answer.body()).is_ok_and(|document| document.is_object())
}

/// `Retry-After` (RFC 9110, section 10.2.3), from `now` on.
fn pause_of(answer: &Response<Bytes>, now: SystemTime) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_a_pause_in_seconds_or_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, pause) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", None),
            ("soon", None),
            ("-3", None),
        ] {
            let answer = Response::builder().header(RETRY_AFTER, text).body(Bytes::new()).unwrap();
            assert_eq!(pause_of(&answer, now), pause.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn only_a_document_counts_as_a_problem() {
        for (body, expected) in [("{\"detail\": \"no\"}", true), ("<html>", false), ("", false), ("3", false)]
        {
            assert_eq!(is_problem(&Response::new(Bytes::from(body))), expected, "{body}");
        }
    }
}
