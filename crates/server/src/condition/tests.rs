use http::HeaderName;
use oci::Algorithm;

use super::*;

fn headers(fields: &[(HeaderName, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value.parse().unwrap());
    }
    headers
}

fn digest() -> Digest {
    Digest::of(Algorithm::Sha256, b"content")
}

fn check_held(values: &[String], expected: bool) {
    let fields: Vec<_> = values.iter().map(|value| (header::IF_NONE_MATCH, value.clone())).collect();
    assert_eq!(is_held(&headers(&fields), &digest()), expected, "{values:?}");
}

#[test]
fn if_none_match_is_compared_weakly() {
    let (held, other) = (format!("\"{}\"", digest()), "\"sha256:00\"".to_owned());
    check_held(&[], false);
    check_held(std::slice::from_ref(&held), true);
    check_held(&[format!("W/{held}")], true);
    check_held(&["*".to_owned()], true);
    check_held(&[format!("{other}, {held}")], true);
    check_held(&[other.clone(), held], true);
    check_held(&[other], false);
    check_held(&[digest().to_string()], false);
    check_held(&[String::new()], false);
}

fn check_range(ranges: &[&str], condition: Option<String>, expected: Option<&str>) {
    let ranges = ranges.iter().map(|range| (header::RANGE, (*range).to_owned()));
    let condition_field = condition.clone().map(|condition| (header::IF_RANGE, condition));
    let fields: Vec<_> = ranges.chain(condition_field).collect();
    let expected = expected.map(|header| RangeSet::parse(header).unwrap());
    assert_eq!(requested_ranges(&headers(&fields), &digest()), expected, "{fields:?}");
}

#[test]
fn if_range_is_compared_strongly() {
    for header in ["bytes=5-", "bytes=0-1,4-5"] {
        check_range(&[header], None, Some(header));
        check_range(&[header], Some(format!("\"{}\"", digest())), Some(header));
        check_range(&[header], Some(format!("W/\"{}\"", digest())), None);
        check_range(&[header], Some("\"sha256:00\"".to_owned()), None);
        check_range(&[header], Some("Sat, 21 Nov 2026 10:00:00 GMT".to_owned()), None);
    }
    check_range(&[], None, None);
    check_range(&["lines=5-"], None, None);
}

#[test]
fn two_range_headers_are_ignored() {
    check_range(&["bytes=0-1", "bytes=4-5"], None, None);
}
