//! The HTTP client behind the protocol: it gives wharf's own client the interface of `instant-acme`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use http::uri::Scheme;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;
use policy::issuance::PAUSE_MAX;

/// The largest answer that is taken, in bytes. An order of a hundred long names has a fifth of that.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

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
        if head.uri.scheme() != Some(&Scheme::HTTPS) {
            let text = format!("the authority leads to {host:?} without https (RFC 8555, section 6.1)");
            return Err(told(text));
        }
        let mut answer = self.transport.send(Request::from_parts(head, body)).await.map_err(told)?;
        check(&answer).map_err(|wrong| told(format!("{host} {wrong}")))?;
        let now = SystemTime::now();
        if answer.status().is_client_error() || answer.status().is_server_error() {
            *self.pause.lock() = pause_of(answer.headers(), now);
            if !is_problem(&answer) {
                return Err(told(format!("{host} answered {}", answer.status())));
            }
        }
        shorten_pause(answer.headers_mut(), now);
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

/// Refuses an answer that no request of the protocol has, or that the protocol's library cannot stand.
///
/// # Errors
/// The rest of a sentence that begins with the host.
fn check(answer: &Response<Bytes>) -> Result<(), String> {
    if answer.status().is_redirection() {
        let status = answer.status();
        return Err(format!(
            "answered {status}, and wharf follows no redirect of an authority; check the URL"
        ));
    }
    if answer.body().len() > ANSWER_BYTES_MAX {
        return Err(format!("gave an answer of more than {ANSWER_BYTES_MAX} bytes"));
    }
    // The library takes for granted that the directory's address of nonces is one.
    let document = serde_json::from_slice::<serde_json::Value>(answer.body()).unwrap_or_default();
    match document.get("newNonce").map(|it| it.as_str().is_some_and(|text| text.parse::<Uri>().is_ok())) {
        Some(false) => Err("gave a directory whose newNonce is no address".to_owned()),
        Some(true) | None => Ok(()),
    }
}

/// Replaces a pause that is much longer than any that wharf makes. The library adds it to the time, which has
/// an end.
fn shorten_pause(headers: &mut HeaderMap, now: SystemTime) {
    let max = PAUSE_MAX * 2;
    if pause_of(headers, now).is_some_and(|pause| pause > max) {
        headers.insert(RETRY_AFTER, HeaderValue::from(max.as_secs()));
    }
}

/// Whether the body can be read as a problem document (RFC 9457): a proxy's error page cannot.
fn is_problem(answer: &Response<Bytes>) -> bool {
    serde_json::from_slice::<serde_json::Value>(answer.body()).is_ok_and(|document| document.is_object())
}

/// `Retry-After` (RFC 9110, section 10.2.3), from `now` on.
fn pause_of(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
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
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(pause_of(&headers, now), pause.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn a_pause_of_a_year_becomes_one_of_two_days() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expected) in [
            ("120", "120"),
            ("172800", "172800"),
            ("172801", "172800"),
            ("18446744073709551615", "172800"),
            ("Mon, 06 Nov 1995 08:49:37 GMT", "172800"),
            ("Sun, 06 Nov 1994 08:50:37 GMT", "Sun, 06 Nov 1994 08:50:37 GMT"),
            // The library reads no pause in these either.
            ("99999999999999999999", "99999999999999999999"),
            ("soon", "soon"),
        ] {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            shorten_pause(&mut headers, now);
            assert_eq!(headers[RETRY_AFTER], expected, "{text}");
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
