use super::*;

#[test]
fn rules_cover_hosts_as_curl_and_go_read_them() {
    for (rule, url, is_covered) in [
        ("corp.example", "https://corp.example/", true),
        ("corp.example", "https://CORP.example./", true),
        ("corp.example", "https://registry.corp.example:8443/", true),
        ("corp.example", "https://notcorp.example/", false),
        ("corp.example", "https://corp.example.org/", false),
        (".corp.example", "https://registry.corp.example/", true),
        (".corp.example", "https://corp.example/", true),
        ("*.corp.example", "https://a.b.corp.example/", true),
        ("Corp.Example.", "https://corp.example/", true),
        ("corp.example:8443", "https://registry.corp.example:8443/", true),
        ("corp.example:8443", "https://corp.example/", false),
        ("corp.example:443", "https://corp.example/", true),
        ("corp.example:80", "http://corp.example/", true),
        ("localhost", "http://localhost:5000/", true),
        ("10.0.0.0/8", "http://10.1.2.3:5000/", true),
        ("10.0.0.0/8", "http://11.1.2.3:5000/", false),
        // A network is compared with addresses, never with names.
        ("10.0.0.0/8", "http://10.example/", false),
        ("192.0.2.7", "https://192.0.2.7/", true),
        ("192.0.2.7:5000", "https://192.0.2.7:5000/", true),
        ("192.0.2.7:5000", "https://192.0.2.7/", false),
        ("fd00::/8", "https://[fd00::1]:5000/", true),
        ("[fd00::1]:5000", "https://[fd00::1]:5000/", true),
        ("[fd00::1]:5000", "https://[fd00::1]/", false),
        ("[fd00::1]", "https://[fd00::1]/", true),
        ("*", "https://anything.example/", true),
        ("*", "https://[fd00::1]/", true),
    ] {
        let rules = NoProxy(vec![rule.parse().unwrap_or_else(|error| panic!("{rule}: {error}"))]);
        assert_eq!(rules.covers(&Url::parse(url).unwrap()), is_covered, "{rule} {url}");
    }
    assert!(!NoProxy::default().covers(&Url::parse("https://corp.example/").unwrap()));
}

#[test]
fn texts_that_are_no_rule_are_refused() {
    for text in
        ["", ".", "https://corp.example", "corp.example/path", "a..b", "a b", "corp.example:", "corp:0"]
    {
        assert_eq!(text.parse::<NoProxyRule>(), Err(NoProxyError::Form), "{text:?}");
    }
    assert!(matches!("10.0.0.1/8".parse::<NoProxyRule>(), Err(NoProxyError::Network(_))));
}

#[test]
fn a_rule_prints_as_it_is_read() {
    for text in ["corp.example", "corp.example:8443", "10.0.0.0/8", "*", "*:443"] {
        assert_eq!(text.parse::<NoProxyRule>().unwrap().to_string(), text);
    }
}
