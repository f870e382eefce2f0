//! What the head of an answer says, whatever was asked for.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use oci::MediaType;
use policy::retry::parse_retry_after;

/// Whether the answer is a page for people: a portal that wants to be logged in to, not a registry.
pub(crate) fn is_web_page(headers: &HeaderMap) -> bool {
    let essence = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    essence.is_some_and(|value| value.starts_with(b"text/html") || value.starts_with(b"application/xhtml"))
}

/// `Content-Length`, which for the answer to a `HEAD` tells of a body that does not follow.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The time that an answer wants to be left alone for.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    parse_retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
}

/// `Content-Type`.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<MediaType> {
    headers.get(CONTENT_TYPE)?.to_str().ok()?.parse().ok()
}
