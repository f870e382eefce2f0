//! Decides whether the registry itself gave a negative answer. A router without a rule for the host, a
//! gateway, a portal: all of them answer 404 and 403 too, and know nothing about the target.
//!
//! An error body in the registry's own format proves most: only registries write one. Headers prove less,
//! because proxies add them to their own answers as well (nginx's `add_header ... always`), so they count
//! only if the body does not contradict them. An answer that was not read to its end proves nothing.

use budget::Budget;
use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::{Method, Version};
use oci::{Challenge, Digest, ErrorBody};
use policy::head_trust::Negative;
use reqwest::Response;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::response_headers::is_web_page;
use crate::whole_body::read_body;

/// The largest error body that is read, in bytes.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// Bytes that may precede the text of an error body: byte-order marks of UTF-8 and UTF-16, blanks, and the
/// zero bytes of UTF-16.
const BEFORE_TEXT: &[u8] = b"\xEF\xBB\xBF\xFE\xFF\0 \t\r\n\x0B\x0C";

/// Returns the negative answer that a status gives, or `None`.
pub(crate) fn negative_of(status: u16) -> Option<Negative> {
    match status {
        404 | 410 => Some(Negative::Absent),
        401 | 403 | 451 => Some(Negative::Refused),
        _ => None,
    }
}

/// Checks a negative answer. The error keeps its kind only if the registry itself answered; otherwise it
/// becomes [`ErrorKind::Unconfirmed`].
pub(crate) async fn verify(
    error: Error,
    response: Response,
    method: &Method,
    deadline: Instant,
    budget: &Budget,
) -> Error {
    let headers = response.headers().clone();
    let is_authoritative = if method == Method::HEAD {
        !is_web_page(&headers) && headers_show_registry(&headers)
    } else {
        let has_end = has_end(&response);
        match read_whole(response, deadline, budget, error.host()).await {
            Some(body) => is_from_registry(&headers, &body, has_end),
            None => false,
        }
    };
    if is_authoritative { error } else { error.with_kind(ErrorKind::Unconfirmed) }
}

/// The same for a token service. Their errors share no format, so the answer is believed unless it is a page,
/// was cut off, cannot be read, or is about the service's present state.
pub(crate) async fn verify_token_refusal(
    error: Error,
    response: Response,
    deadline: Instant,
    budget: &Budget,
) -> Error {
    let is_encoded = is_encoded(response.headers());
    let is_authoritative = match read_whole(response, deadline, budget, error.host()).await {
        Some(body) => match ErrorBody::read(&body) {
            Some(about) => about == ErrorBody::AboutResource,
            None => !is_encoded,
        },
        None => false,
    };
    if is_authoritative { error } else { error.with_kind(ErrorKind::Unconfirmed) }
}

/// Reads an error body. Returns `None` for one that proves nothing: a web page, one that is too large, and
/// one that breaks off or does not end in time.
async fn read_whole(response: Response, deadline: Instant, budget: &Budget, host: &str) -> Option<Bytes> {
    if is_web_page(response.headers()) {
        return None;
    }
    let body = read_body(response, ERROR_BYTES_MAX, budget, host);
    let body = tokio::time::timeout_at(deadline, body).await.ok()?.ok()?;
    (!is_markup(&body)).then_some(body)
}

/// Tells whether an answer with this body comes from a registry and is about the target.
fn is_from_registry(headers: &HeaderMap, body: &[u8], has_end: bool) -> bool {
    match ErrorBody::read(body) {
        Some(ErrorBody::AboutResource) => true,
        Some(ErrorBody::Temporary) => false,
        // An end of the connection may hide a body of which no byte arrived.
        None if body.is_empty() => has_end && headers_show_registry(headers),
        None => !is_encoded(headers) && has_registry_challenge(headers),
    }
}

/// Tells whether the headers alone show a registry. A malformed `Docker-Content-Digest` contradicts that.
fn headers_show_registry(headers: &HeaderMap) -> bool {
    let name = "docker-content-digest";
    let is_digest = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.parse::<Digest>().is_ok());
    headers.get_all(name).iter().all(is_digest)
        && (headers.contains_key(name) || names_version(headers) || has_registry_challenge(headers))
}

/// Tells whether `Docker-Distribution-Api-Version` is there, as `registry/2.0`; several versions are
/// separated by blanks or commas.
fn names_version(headers: &HeaderMap) -> bool {
    let values = headers.get_all("docker-distribution-api-version").iter();
    let mut versions =
        values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split([' ', '\t', ',']));
    versions.any(|version| {
        version
            .strip_prefix("registry/")
            .is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// Tells whether there is a registry's challenge: a `Bearer` one that names a service or a scope, as the
/// distribution specification has it; or any, beside the header that names the version.
fn has_registry_challenge(headers: &HeaderMap) -> bool {
    let names_version = names_version(headers);
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(Challenge::parse_all).any(|challenge| match challenge {
        Challenge::Bearer { service, scope, .. } => names_version || service.is_some() || scope.is_some(),
        Challenge::Basic { .. } => names_version,
    })
}

/// Tells whether the body's end can be distinguished from the end of the connection.
fn has_end(response: &Response) -> bool {
    let headers = response.headers();
    response.version() >= Version::HTTP_2
        || headers.contains_key(CONTENT_LENGTH)
        || headers.contains_key(TRANSFER_ENCODING)
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    values.any(|value| !value.is_empty() && !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Tells whether a body looks like HTML or XML, whatever its `Content-Type` says: no registry uses these for
/// errors.
fn is_markup(body: &[u8]) -> bool {
    body.iter().find(|byte| !BEFORE_TEXT.contains(byte)) == Some(&b'<')
}

#[cfg(test)]
mod tests;
