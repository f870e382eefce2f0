use http::Request;
use secret::Secret;

use super::*;

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn guard(token: Option<&str>) -> Guard {
    Guard::new(&Settings {
        token: token.map(|token| Secret::new(token.to_owned())),
        hosts: vec!["wharf.internal".to_owned()],
        ..Settings::new(std::net::SocketAddr::from(([127, 0, 0, 1], 5001)))
    })
}

/// The status of the refusal; `None` if the request passes.
fn refused(token: Option<&str>, method: &str, headers: &[(&str, &str)]) -> Option<u16> {
    let refusal = guard(token).refusal(&head(method, "/metrics", headers));
    refusal.map(|answer| answer.status().as_u16())
}

const LOCAL: (&str, &str) = ("host", "localhost:5001");

#[test]
fn t15_reads_need_an_address_a_listed_name_or_the_token() {
    let bearer = ("authorization", "Bearer s3cret");
    for (host, is_ours) in [
        ("127.0.0.1:5001", true),
        ("[::1]:5001", true),
        ("localhost", true),
        ("wharf.internal:5001", true),
        ("attacker.example:5001", false),
        ("wharf", false),
        ("127.0.0.1.attacker.example", false),
    ] {
        let host = ("host", host);
        assert_eq!(refused(None, "GET", &[host]), (!is_ours).then_some(403), "{host:?}");
        let without = if is_ours { 401 } else { 403 };
        assert_eq!(refused(Some("s3cret"), "GET", &[host]), Some(without), "{host:?}");
        assert_eq!(refused(Some("s3cret"), "GET", &[host, bearer]), None, "{host:?}");
        // Without a configured token, a sent one changes nothing.
        assert_eq!(refused(None, "GET", &[host, bearer]), (!is_ours).then_some(403), "{host:?}");
    }
}

#[test]
fn t15_a_page_reads_nothing_unless_a_person_typed_its_address_or_it_is_ours() {
    for (fields, status) in [
        (&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")][..], None),
        (&[("sec-fetch-site", "same-origin")], None),
        (&[("sec-fetch-site", "cross-site")], Some(403)),
        (&[("sec-fetch-site", "same-site")], Some(403)),
        (&[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")], Some(403)),
        (&[("sec-fetch-site", "")], Some(403)),
        (&[("origin", "http://attacker.example")], Some(403)),
        (&[("origin", "http://localhost:5001")], Some(403)),
        (&[("origin", "null")], Some(403)),
    ] {
        for method in ["GET", "HEAD"] {
            let headers: Vec<_> = fields.iter().copied().chain([LOCAL]).collect();
            assert_eq!(refused(None, method, &headers), status, "{method} {fields:?}");
        }
    }
}

#[test]
fn t15_no_page_changes_anything_not_even_one_of_ours() {
    let token = ("authorization", "Bearer s3cret");
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"] {
        assert_eq!(refused(Some("s3cret"), method, &[LOCAL, token]), None, "{method}");
        assert_eq!(refused(Some("s3cret"), method, &[LOCAL]), Some(401), "{method}");
        for field in [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-mode", "navigate"),
            ("origin", "http://localhost:5001"),
        ] {
            assert_eq!(
                refused(Some("s3cret"), method, &[LOCAL, token, field]),
                Some(403),
                "{method} {field:?}"
            );
        }
    }
}

#[test]
fn malformed_heads_and_content_end_the_connection() {
    for headers in [
        &[][..],
        &[LOCAL, ("host", "localhost")],
        &[LOCAL, ("content-length", "3")],
        &[LOCAL, ("transfer-encoding", "chunked")],
    ] {
        for method in ["GET", "POST"] {
            let answer = guard(None).refusal(&head(method, "/metrics", headers)).unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["connection"]),
                (400, &"close".parse().unwrap())
            );
        }
    }
}

#[test]
fn only_reads_of_health_skip_the_guard() {
    for (method, target, expected) in [
        ("GET", "/livez", true),
        ("HEAD", "/readyz?verbose", true),
        ("POST", "/livez", false),
        ("GET", "/livez/", false),
        ("GET", "/metrics", false),
    ] {
        assert_eq!(is_open(&head(method, target, &[])), expected, "{method} {target}");
    }
}
