use super::*;

#[test]
fn hosts_are_lower_cased_names_without_a_port() {
    for (text, host) in [
        ("ghcr.io", "ghcr.io"),
        ("Registry.Example.COM.", "registry.example.com"),
        ("localhost", "localhost"),
        ("10.0.0.5", "10.0.0.5"),
        ("my_host", "my_host"),
    ] {
        assert_eq!(parse_host(text).as_deref(), Ok(host));
    }
    for text in ["", ".", "a..b", "-a", "a-", "a b", "a/b", "ghcr.io:443", "https://ghcr.io", "ä", "a@b"] {
        assert!(parse_host(text).is_err(), "{text}");
    }
    assert!(parse_host(&"a".repeat(64)).is_err());
}

#[test]
fn authorities_may_have_a_port() {
    for text in ["ghcr.io", "registry.corp.example:8443", "10.1.2.3:9000", "[fd00::1]", "[fd00::1]:5000"] {
        assert_eq!(parse_authority(text).as_deref(), Ok(text));
    }
    for text in [
        "",
        ":5000",
        "a:",
        "a:0",
        "a:65536",
        "a:+1",
        "a:b:1",
        "https://a",
        "a/b",
        "[fd00::1",
        "[x]",
        "[::1]5",
    ] {
        assert!(parse_authority(text).is_err(), "{text}");
    }
}

/// The routing table has one spelling of each name, and finds `ns` by it.
#[test]
fn an_authority_comes_back_in_one_spelling() {
    for (text, spelled) in
        [("A.example:080", "a.example:80"), ("[FD00:0::1]:05000", "[fd00::1]:5000"), ("Ghcr.io.", "ghcr.io")]
    {
        assert_eq!(parse_authority(text).as_deref(), Ok(spelled));
    }
}

#[test]
fn an_upstream_is_an_origin_and_perhaps_a_path() {
    for text in ["https://ghcr.io", "https://ghcr.io/", "http://10.0.0.5:5000", "https://[fd00::1]:5000"] {
        assert!(parse_upstream(text).is_ok(), "{text}");
    }
    for text in [
        "",
        "ghcr.io",
        "ftp://ghcr.io",
        "https://",
        "https:ghcr.io",
        "https://user:hunter2@ghcr.io",
        "https://user@ghcr.io",
        "https://ghcr.io/a//b",
        "https://ghcr.io/v2/Hub",
        "https://ghcr.io/v2/a%20b",
        "https://ghcr.io/hub;x",
        "https://ghcr.io/v2/-a",
        "https://ghcr.io?x=1",
        "https://ghcr.io#x",
        "https://ghcr.io/a b",
        "https:\\\\ghcr.io",
    ] {
        let refusal = parse_upstream(text);
        assert!(refusal.is_err(), "{text}");
        assert!(!refusal.unwrap_err().contains("hunter2"));
    }
}

#[test]
fn a_proxy_may_carry_credentials() {
    for text in ["http://proxy.corp:3128", "socks5://127.0.0.1:1080", "http://user:hunter2@proxy"] {
        assert!(parse_proxy(text).is_ok(), "{text}");
    }
    for text in ["", "proxy.corp:3128", "ftp://proxy", "http://"] {
        assert!(parse_proxy(text).is_err(), "{text}");
    }
}

#[test]
fn listeners_overlap_when_the_second_could_not_be_opened() {
    for (one, other, overlap) in [
        ("0.0.0.0:5000", "0.0.0.0:5000", true),
        ("0.0.0.0:5000", "127.0.0.1:5000", true),
        ("[::]:5000", "127.0.0.1:5000", true),
        ("[::]:5000", "0.0.0.0:5000", true),
        ("0.0.0.0:5000", "[::1]:5000", false),
        ("0.0.0.0:5000", "0.0.0.0:5001", false),
        ("127.0.0.1:5000", "10.0.0.5:5000", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
    ] {
        let (one, other) = (parse_listen(one).unwrap(), parse_listen(other).unwrap());
        assert_eq!(listeners_overlap(&one, &other), overlap, "{one} {other}");
        assert_eq!(listeners_overlap(&other, &one), overlap, "{other} {one}");
    }
    for text in ["", "5000", ":5000", "localhost:5000", "0.0.0.0", "0.0.0.0:99999"] {
        assert!(parse_listen(text).is_err(), "{text}");
    }
}

#[test]
fn k20_an_upstream_may_share_its_host() {
    for text in [
        "https://harbor.corp.example/v2/hub-proxy",
        "https://harbor.corp.example/v2/hub-proxy/",
        "https://harbor.corp.example/hub-proxy",
        "https://nexus/repository/hub",
        "https://nexus/repository/hub/v2/",
        "https://artifactory.corp.example/artifactory/api/docker/hub-remote",
        "https://gitlab.com/v2/group/dependency_proxy/containers",
        "https://a.example/Docker-Hub",
        "https://ghcr.io/v2",
    ] {
        assert_eq!(parse_upstream(text).map(|url| url.to_string()).as_deref(), Ok(text));
    }
}
