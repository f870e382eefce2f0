use super::RedactedUrl;

#[test]
fn only_scheme_host_port_and_path_are_shown() {
    let cases = [
        ("https://registry-1.docker.io/v2/", "https://registry-1.docker.io/v2/"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/"),
        ("https://[2001:db8::1]:8443/v2/", "https://[2001:db8::1]:8443/v2/"),
        ("http://canary:canary@proxy.corp:3128", "http://***@proxy.corp:3128/"),
        ("http://canary@proxy.corp", "http://***@proxy.corp/"),
        ("http://:canary@proxy.corp", "http://***@proxy.corp/"),
        ("https://cdn.example/blob?X-Amz-Signature=canary", "https://cdn.example/blob?***"),
        ("https://cdn.example/blob?", "https://cdn.example/blob?***"),
        ("https://cdn.example/blob#canary", "https://cdn.example/blob"),
        ("socks5://canary:canary@proxy.corp:1080", "socks5://***@proxy.corp:1080"),
        ("data:text/plain,canary", "data:***"),
        ("mailto:canary@corp.example", "mailto:***"),
    ];
    for (text, shown) in cases {
        let url: RedactedUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), shown);
        assert_eq!(url.expose().as_str(), url::Url::parse(text).unwrap().as_str());
    }
}

#[test]
fn the_error_for_a_text_that_is_no_url_does_not_quote_it() {
    let error = "http://canary:canary@:99999".parse::<RedactedUrl>().unwrap_err();
    assert!(!error.to_string().contains("canary"), "{error}");
}
