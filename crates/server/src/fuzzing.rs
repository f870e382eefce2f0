//! The readers of a client's head, for those who check what holds for every input.

use http::{HeaderMap, HeaderValue, request};
use oci::{Digest, RangeSet};
use policy::host::LinkShape;

use crate::respond::listing;
use crate::{access, condition, site};

/// The host that a request is meant for; none: it is refused before any routing.
pub fn authority(head: &request::Parts) -> Option<&str> {
    site::check(head).ok()?;
    site::authority(head).ok()
}

/// Whether `If-None-Match` names the digest.
pub fn is_held(headers: &HeaderMap, digest: &Digest) -> bool {
    condition::is_held(headers, digest)
}

/// The ranges that a client asks of the blob.
pub fn requested_ranges(headers: &HeaderMap, digest: &Digest) -> Option<RangeSet> {
    condition::requested_ranges(headers, digest)
}

/// The `Link` that leads a client from a page of `path` on to the page `next`.
pub fn link(path: &str, shape: &LinkShape, next: &str) -> Option<HeaderValue> {
    listing::link(listing::Asked { path, link: shape }, next)
}

/// A client's text as the access log has it.
pub fn loggable(bytes: &[u8]) -> String {
    access::loggable(bytes)
}
