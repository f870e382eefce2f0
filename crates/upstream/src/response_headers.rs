//! Reads the headers of an answer to any request.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use oci::MediaType;
use policy::retry::parse_retry_after;

/// Tells whether the answer is a web page, such as a portal's login, and so not a registry's.
pub(crate) fn is_web_page(headers: &HeaderMap) -> bool {
    let essence = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    essence.is_some_and(|value| value.starts_with(b"text/html") || value.starts_with(b"application/xhtml"))
}

/// `Content-Length`, which in the answer to a `HEAD` is the length of a body that does not follow.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns the pause that an answer asks for.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}

/// `Content-Type`.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<MediaType> {
    headers.get(CONTENT_TYPE)?.to_str().ok()?.parse().ok()
}
