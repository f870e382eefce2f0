//! The private parsers of request heads, exported for property tests.

use http::{HeaderMap, HeaderValue, request};
use oci::{Digest, RangeSet};
use policy::host::LinkShape;

use crate::respond::listing;
use crate::{access_log, condition, site};

/// The host of a request; `None` if the request is refused before routing.
pub fn authority(head: &request::Parts) -> Option<&str> {
    site::check(head).ok()?;
    site::authority(head).ok()
}

/// Whether `If-None-Match` names the digest.
pub fn is_held(headers: &HeaderMap, digest: &Digest) -> bool {
    condition::is_held(headers, digest)
}

/// The ranges of the blob that a client asks for.
pub fn requested_ranges(headers: &HeaderMap, digest: &Digest) -> Option<RangeSet> {
    condition::requested_ranges(headers, digest)
}

/// The `Link` from a page of `path` to the page `next`.
pub fn link(path: &str, shape: &LinkShape, next: &str) -> Option<HeaderValue> {
    listing::link(listing::PageLink { path, shape }, next)
}

/// A client's text as the access log shows it.
pub fn loggable(bytes: &[u8]) -> String {
    access_log::loggable(bytes)
}
