use super::*;

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn a_clock_that_is_far_off_is_told() {
    let there = httpdate::parse_http_date("Sun, 29 Nov 2026 12:00:00 GMT").unwrap();
    let date = headers(&[("date", "Sun, 29 Nov 2026 12:00:00 GMT")]);
    for (seconds, expected) in [
        (0, None),
        (299, None),
        (3600, Some("this machine's clock is 60 minutes ahead of the registry's; check it")),
        (-7200, Some("this machine's clock is 2 hours behind the registry's; check it")),
        (-400 * 86_400, Some("this machine's clock is 400 days behind the registry's; check it")),
    ] {
        let off = Duration::from_secs(i64::unsigned_abs(seconds));
        let now = if seconds < 0 { there - off } else { there + off };
        assert_eq!(clock_remark(&date, now).as_deref(), expected, "{seconds}");
    }
    assert_eq!(clock_remark(&headers(&[("date", "yesterday")]), there), None);
    assert_eq!(clock_remark(&headers(&[]), there), None);
}

#[test]
fn what_is_no_welcome_says_what_to_look_at() {
    let probe = |upstream: &str| {
        let settings = Settings::new("registry.example", Url::parse(upstream).unwrap());
        Probe::new(&settings, &Authorities::load()).unwrap()
    };
    for (upstream, status, list, expected) in [
        (
            "http://registry.example:5055",
            400,
            &[][..],
            "answers 400 at /v2/; if it speaks TLS, write upstream = \"https://registry.example:5055\"",
        ),
        (
            "http://registry.example",
            301,
            &[("location", "https://registry.example/v2/")],
            "answers 301 at /v2/; it sends us to registry.example, so write upstream = \"https://registry.example\" if \
             that is meant",
        ),
        (
            "https://registry.example",
            404,
            &[],
            "answers 404 at /v2/; it is no registry, or one below a path: check upstream",
        ),
        (
            "https://registry.example",
            503,
            &[],
            "answers 503 at /v2/; the registry fails, or a proxy before it: try again later",
        ),
    ] {
        let refused = probe(upstream).refused(StatusCode::from_u16(status).unwrap(), &headers(list));
        assert!(refused.to_string().ends_with(expected), "{refused}");
    }
}

#[test]
fn a_page_that_greets_visitors_is_no_registry() {
    assert!(is_registry(&headers(&[("content-type", "application/json; charset=utf-8")])));
    assert!(is_registry(&headers(&[("docker-distribution-api-version", "registry/2.0")])));
    assert!(!is_registry(&headers(&[("content-type", "text/html")])));
}
