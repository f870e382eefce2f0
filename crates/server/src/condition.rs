//! Conditional requests (RFC 9110, section 13). The only validator is the digest, as a strong entity tag.

use http::{HeaderMap, HeaderValue, header};
use oci::{Digest, RangeSet};

/// The entity tag of content with this digest.
pub(crate) fn entity_tag(digest: &Digest) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{digest}\"")).expect("a digest is visible ASCII without quotes")
}

/// Whether the client says that it holds this content (`If-None-Match`, weak comparison).
pub(crate) fn is_held(headers: &HeaderMap, digest: &Digest) -> bool {
    if !headers.contains_key(header::IF_NONE_MATCH) {
        return false;
    }
    let entity_tag = entity_tag(digest);
    let mut candidates = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim);
    candidates.any(|candidate| {
        let opaque = candidate.strip_prefix("W/").unwrap_or(candidate);
        candidate == "*" || entity_tag == *opaque
    })
}

/// Returns the ranges to serve. `None` means the whole content: there is no `Range`, there are two, or
/// `If-Range` does not match (strong comparison; a date never matches, because wharf sends none).
pub(crate) fn requested_ranges(headers: &HeaderMap, digest: &Digest) -> Option<RangeSet> {
    let mut ranges = headers.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return None };
    if headers.get(header::IF_RANGE).is_some_and(|condition| entity_tag(digest) != condition) {
        return None;
    }
    RangeSet::parse(range.to_str().ok()?)
}

#[cfg(test)]
mod tests;
