use http::Request;

use super::*;

fn head(method: &str, version: Version, target: &str, headers: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::builder().method(method).version(version).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn check_headers(headers: &[(&str, &str)]) -> Result<(), HeadFault> {
    check(&head("GET", Version::HTTP_11, "/v2/", headers))
}

#[test]
fn only_reads_are_served() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PURGE", "get"] {
        let head = head(method, Version::HTTP_11, "/v2/", &[("host", "h"), ("content-length", "5")]);
        assert_eq!(check(&head), Err(HeadFault::Method), "{method}");
    }
    for method in ["GET", "HEAD"] {
        assert_eq!(check(&head(method, Version::HTTP_11, "/v2/", &[("host", "h")])), Ok(()), "{method}");
    }
}

#[test]
fn a_body_is_refused_however_it_is_announced() {
    assert_eq!(check_headers(&[("content-length", "0")]), Ok(()));
    assert_eq!(check_headers(&[("content-length", "1")]), Err(HeadFault::Body));
    assert_eq!(check_headers(&[("content-length", "0"), ("content-length", "1")]), Err(HeadFault::Body));
    assert_eq!(check_headers(&[("content-length", "+0")]), Err(HeadFault::Body));
    assert_eq!(check_headers(&[("transfer-encoding", "chunked")]), Err(HeadFault::Body));
    assert_eq!(check_headers(&[("transfer-encoding", "identity")]), Err(HeadFault::Body));
    assert_eq!(check_headers(&[("upgrade", "h2c")]), Err(HeadFault::Upgrade));
    assert_eq!(check_headers(&[("expect", "100-continue")]), Err(HeadFault::Expect));
}

#[test]
fn a_target_has_a_longest_length() {
    let fits = format!("/v2/{}", "a".repeat(TARGET_BYTES_MAX - 4));
    assert_eq!(check(&head("GET", Version::HTTP_11, &fits, &[])), Ok(()));
    let long = format!("{fits}a");
    assert_eq!(check(&head("GET", Version::HTTP_11, &long, &[])), Err(HeadFault::TargetTooLong));
}

fn check_authority(
    version: Version,
    target: &str,
    headers: &[(&str, &str)],
    expected: Result<&str, HeadFault>,
) {
    assert_eq!(
        authority(&head("GET", version, target, headers)),
        expected,
        "{version:?} {target} {headers:?}"
    );
}

#[test]
fn the_host_is_named_exactly_once() {
    let (new, old) = (Version::HTTP_11, Version::HTTP_10);
    check_authority(new, "/v2/", &[("host", "a.example:5000")], Ok("a.example:5000"));
    check_authority(new, "/v2/", &[("host", "")], Ok(""));
    check_authority(new, "/v2/", &[], Err(HeadFault::HostMissing));
    check_authority(new, "/v2/", &[("host", "a"), ("host", "a")], Err(HeadFault::HostRepeated));
    check_authority(old, "/v2/", &[], Ok(""));
    check_authority(old, "/v2/", &[("host", "a.example")], Ok("a.example"));
    check_authority(old, "/v2/", &[("host", "a"), ("host", "b")], Err(HeadFault::HostRepeated));
}

#[test]
fn an_absolute_target_agrees_with_the_host() {
    let (new, old) = (Version::HTTP_11, Version::HTTP_10);
    check_authority(new, "http://a.example/v2/", &[("host", "A.example")], Ok("a.example"));
    check_authority(new, "http://a.example:5000/v2/", &[("host", "a.example:5000")], Ok("a.example:5000"));
    check_authority(new, "http://a.example/v2/", &[("host", "b.example")], Err(HeadFault::TargetDisagrees));
    check_authority(new, "http://a.example/v2/", &[], Err(HeadFault::HostMissing));
    check_authority(new, "ftp://a.example/v2/", &[("host", "a.example")], Err(HeadFault::TargetDisagrees));
    check_authority(old, "http://a.example/v2/", &[], Ok("a.example"));
}

#[test]
fn a_host_that_is_no_text_is_refused() {
    let mut head = head("GET", Version::HTTP_11, "/v2/", &[]);
    head.headers.insert(header::HOST, http::HeaderValue::from_bytes(b"a\xffb").unwrap());
    assert_eq!(authority(&head), Err(HeadFault::HostInvalid));
}
