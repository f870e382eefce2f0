//! Header values with numbers, of clients and upstreams: `Range`, `If-Range`, `If-None-Match`,
//! `Content-Range`, `Retry-After`; and any of them in the log.

use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE};
use oci::{Algorithm, Digest, RANGE_COUNT_MAX, RangeRequest, RangeSet, ResolvedRanges};
use policy::retry::{RETRY_AFTER_MAX, parse_retry_after};

/// Checks that ranges are inside their content and that waits are bounded. The input's first eight bytes are
/// a size, the rest is the value.
pub fn check(input: &[u8]) {
    let Some((size, value)) = input.split_first_chunk::<8>() else { return };
    let size = u64::from_be_bytes(*size);
    check_log(value);
    check_conditions(value);
    let Ok(text) = std::str::from_utf8(value) else { return };
    match RangeSet::parse(text) {
        Some(RangeSet::One(range)) => check_range(range, size),
        Some(ranges @ RangeSet::Several(_)) => check_parts(&ranges, size),
        None => {}
    }
    if let Some((range, size)) = upstream::fuzzing::parse_content_range(text) {
        assert!(range.start < range.end && size.is_none_or(|size| range.end <= size));
        let whole = size.map_or("*".to_owned(), |size| size.to_string());
        let printed = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
        assert_eq!(upstream::fuzzing::parse_content_range(&printed), Some((range, size)));
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(size >> 30);
    assert!(parse_retry_after(text, now).is_none_or(|wait| wait <= RETRY_AFTER_MAX));
}

fn check_range(range: RangeRequest, size: u64) {
    for size in [size, size & 0xffff, 0, 1, u64::MAX] {
        let Some(bytes) = range.resolve(size) else { continue };
        assert!(bytes.start < bytes.end && bytes.end <= size, "{bytes:?} of {size}");
        assert_eq!(bytes.len(), bytes.end - bytes.start);
    }
    let printed = match range {
        RangeRequest::From { start, last: None } => format!("bytes={start}-"),
        RangeRequest::From { start, last: Some(last) } => format!("bytes={start}-{last}"),
        RangeRequest::Suffix { len } => format!("bytes=-{len}"),
    };
    assert_eq!(RangeRequest::parse(&printed), Ok(Some(range)));
}

/// Parts are inside their content, and together not larger.
fn check_parts(ranges: &RangeSet, size: u64) {
    for size in [size, size & 0xffff, 0, 1, u64::MAX] {
        let ResolvedRanges::Parts(parts) = ranges.resolve(size) else { continue };
        assert!((1..=RANGE_COUNT_MAX).contains(&parts.len()), "{} parts", parts.len());
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= size), "{parts:?} of {size}");
        assert!(parts.iter().map(|part| u128::from(part.len())).sum::<u128>() <= u128::from(size));
    }
}

fn check_conditions(value: &[u8]) {
    let Ok(header) = HeaderValue::from_bytes(value) else { return };
    let digest = Digest::of(Algorithm::Sha256, b"");
    let is_named = |wanted: &str| header.to_str().is_ok_and(|text| text.contains(wanted));
    let with = |pairs: &[(http::HeaderName, &HeaderValue)]| -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), (*value).clone())).collect()
    };
    if server::fuzzing::is_held(&with(&[(IF_NONE_MATCH, &header)]), &digest) {
        assert!(is_named("*") || is_named(&format!("\"{digest}\"")), "{header:?} names no digest");
    }
    let range = HeaderValue::from_static("bytes=1-2");
    let conditional = with(&[(RANGE, &range), (IF_RANGE, &header)]);
    if server::fuzzing::requested_ranges(&conditional, &digest).is_some() {
        assert_eq!(header, format!("\"{digest}\""));
    }
    let twice = http::HeaderMap::from_iter([(RANGE, header.clone()), (IF_RANGE, header)]);
    assert_eq!(server::fuzzing::requested_ranges(&twice, &digest), None, "a range is no entity tag");
}

fn check_log(value: &[u8]) {
    let logged = server::fuzzing::loggable(value);
    assert!(!logged.contains(char::is_control));
    // A byte that is not text is logged as U+FFFD, which takes three bytes.
    assert!(logged.len() <= 3 * value.len() && logged.len() <= 3 * 256);
}
