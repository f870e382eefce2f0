use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const VERSION: (&str, &str) = ("docker-distribution-api-version", "registry/2.0");
const BEARER: (&str, &str) =
    ("www-authenticate", "Bearer realm=\"https://auth.test/\",service=\"registry.test\"");
const REALM_ONLY: (&str, &str) = ("www-authenticate", "Bearer realm=\"https://login.test/\"");
const BASIC: (&str, &str) = ("www-authenticate", "Basic realm=\"registry\"");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const UNKNOWN: &str = r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#;

fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs =
        of.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    pairs.collect()
}

#[test]
fn k12_a_body_that_is_no_registrys_error_outweighs_headers_that_proxies_copy() {
    for (head, body, expected) in [
        (&[][..], UNKNOWN, true),
        (&[GZIP], UNKNOWN, true),
        (&[VERSION], "", true),
        (&[VERSION], "404 page not found\n", false),
        (&[VERSION], r#"{"message":"no route"}"#, false),
        (&[VERSION], r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#, false),
        (&[BEARER], "", true),
        (&[BEARER], "insufficient scope\n", true),
        (&[BEARER, GZIP], "\u{1f}\u{8b}", false),
        (&[REALM_ONLY], "login first\n", false),
        (&[VERSION, REALM_ONLY], "login first\n", true),
        (&[BASIC], "Not Authorized\n", false),
        (&[VERSION, BASIC], "Not Authorized\n", true),
    ] {
        assert_eq!(is_from_registry(&headers(head), body.as_bytes(), true), expected, "{head:?} {body:?}");
    }
    assert!(!is_from_registry(&headers(&[VERSION]), b"", false), "nothing may have come of the body");
}

#[test]
fn k12_only_headers_as_a_registry_writes_them_show_one() {
    let name = "docker-distribution-api-version";
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (head, expected) in [
        (&[][..], false),
        (&[VERSION], true),
        (&[(name, "registry/2.0 registry/2.1")], true),
        (&[(name, "registry/2.0,registry/2.0")], true),
        (&[(name, "registry/")], false),
        (&[(name, "registry/x")], false),
        (&[(name, "")], false),
        (&[(name, "proxy/2.0")], false),
        (&[("docker-content-digest", digest)], true),
        (&[("docker-content-digest", "")], false),
        (&[("docker-content-digest", "sha256:abc")], false),
        (&[VERSION, ("docker-content-digest", "")], false),
        (&[VERSION, ("docker-content-digest", digest)], true),
        (&[BASIC], false),
    ] {
        assert_eq!(headers_show_registry(&headers(head)), expected, "{head:?}");
    }
}

#[test]
fn k12_a_page_is_known_by_its_looks() {
    for body in [
        &b"<html>"[..],
        b"\n\t <!DOCTYPE html>",
        b"\xEF\xBB\xBF<html>",
        b"\xFE\xFF\0<\0h",
        b"\xFF\xFE<\0h\0",
        b"<?xml?>",
    ] {
        assert!(is_markup(body), "{body:?}");
    }
    for body in [&b""[..], b"  \n", b"404 page not found", b"{\"errors\":[]}", b"1 < 2"] {
        assert!(!is_markup(body), "{body:?}");
    }
}
