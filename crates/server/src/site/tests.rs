use http::Request;

use super::*;

fn head(method: &str, version: Version, target: &str, headers: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::builder().method(method).version(version).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn check_headers(headers: &[(&str, &str)]) -> Result<Framing, HeadFault> {
    check(&head("GET", Version::HTTP_11, "/v2/", headers))
}

#[test]
fn only_reads_are_served() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PURGE", "get"] {
        let head = head(method, Version::HTTP_11, "/v2/", &[("host", "h"), ("content-length", "5")]);
        assert_eq!(check(&head), Err(HeadFault::Method), "{method}");
    }
    for method in ["GET", "HEAD"] {
        assert_eq!(
            check(&head(method, Version::HTTP_11, "/v2/", &[("host", "h")])),
            Ok(Framing::Empty),
            "{method}"
        );
    }
}

#[test]
fn a_body_is_refused_however_it_is_announced() {
    assert_eq!(check_headers(&[("content-length", "0")]), Ok(Framing::Empty));
    assert_eq!(check_headers(&[("content-length", "1")]), Err(HeadFault::Body));
    assert_eq!(check_headers(&[("content-length", "0"), ("content-length", "1")]), Err(HeadFault::Body));
    assert_eq!(check_headers(&[("content-length", "+0")]), Err(HeadFault::Body));
    let chunked = ("transfer-encoding", "chunked");
    assert_eq!(check_headers(&[chunked, chunked]), Err(HeadFault::Body));
    assert_eq!(check_headers(&[chunked, ("content-length", "1")]), Err(HeadFault::Body));
    assert_eq!(check_headers(&[chunked, ("expect", "100-continue")]), Err(HeadFault::Body));
    for coding in ["identity", "gzip, chunked", "chunked, identity", "chunked;q=1", ""] {
        assert_eq!(check_headers(&[("transfer-encoding", coding)]), Err(HeadFault::Body), "{coding}");
    }
}

#[test]
fn k18_what_is_merely_offered_is_ignored() {
    let rows = [
        ("connection", "Upgrade, HTTP2-Settings"),
        ("connection", "keep-alive, TE, X-Own"),
        ("upgrade", "h2c"),
        ("upgrade", "websocket"),
        ("upgrade", "TLS/1.0, HTTP/2.0"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("expect", "100-continue"),
        ("expect", "something-else"),
        ("te", "trailers, deflate;q=0.5"),
        ("trailer", "Expires"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("content-length", "0"),
        ("content-type", "application/json"),
    ];
    for row in rows {
        assert_eq!(check_headers(&[row]), Ok(Framing::Empty), "{row:?}");
    }
    assert_eq!(check_headers(&[("transfer-encoding", "Chunked")]), Ok(Framing::Chunked));
}

#[test]
fn the_length_of_a_target_is_bounded() {
    let fits = format!("/v2/{}", "a".repeat(TARGET_BYTES_MAX - 4));
    assert_eq!(check(&head("GET", Version::HTTP_11, &fits, &[])), Ok(Framing::Empty));
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

/// A head from a TLS connection to the server name `name`.
fn to_name(name: &str, version: Version, target: &str, headers: &[(&str, &str)]) -> request::Parts {
    let mut head = head("GET", version, target, headers);
    head.extensions.insert(crate::tls::TlsSession::new(Some(name)));
    head
}

#[test]
fn t14_the_server_name_must_match_the_host_wherever_it_is_named() {
    let (new, old) = (Version::HTTP_11, Version::HTTP_10);
    let check = |version, target: &str, host: Option<&str>, wanted: Result<&str, HeadFault>| {
        let headers: Vec<_> = host.map(|host| ("host", host)).into_iter().collect();
        let head = to_name("a.example", version, target, &headers);
        assert_eq!(authority(&head), wanted, "{version:?} {target} {headers:?}");
    };
    check(new, "/v2/", Some("a.example"), Ok("a.example"));
    check(new, "/v2/", Some("b.example"), Err(HeadFault::Misdirected));
    check(new, "https://a.example/v2/", Some("a.example"), Ok("a.example"));
    check(new, "https://b.example/v2/", Some("a.example"), Err(HeadFault::TargetDisagrees));
    check(old, "https://a.example/v2/", None, Ok("a.example"));
    check(old, "https://b.example/v2/", None, Err(HeadFault::Misdirected));
    check(old, "http://b.example:443/v2/", Some("b.example:443"), Err(HeadFault::Misdirected));
    check(old, "/v2/", None, Ok(""));
}

#[test]
fn a_host_that_is_not_text_is_refused() {
    let mut head = head("GET", Version::HTTP_11, "/v2/", &[]);
    head.headers.insert(header::HOST, http::HeaderValue::from_bytes(b"a\xffb").unwrap());
    assert_eq!(authority(&head), Err(HeadFault::HostInvalid));
}

#[test]
fn t15_web_pages_are_recognised_by_headers_that_only_browsers_send() {
    let headers = |name: &'static str, value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    };
    for (name, value) in [("origin", "null"), ("sec-fetch-site", "none"), ("sec-fetch-user", "?1")] {
        assert_eq!(refuse_pages(&headers(name, value)), Err(HeadFault::Page), "{name}");
    }
    for name in ["user-agent", "sec-websocket-key", "accept", "referer"] {
        assert_eq!(refuse_pages(&headers(name, "Mozilla/5.0")), Ok(()), "{name}");
    }
}
