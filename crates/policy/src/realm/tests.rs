use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use url::Url;

use super::{RealmError, RealmPlan, TrustedHost, UpstreamScope};

fn territory(upstream: &str, trusted: &[&str]) -> UpstreamScope {
    let trusted = trusted.iter().map(|host| host.parse().unwrap()).collect();
    UpstreamScope::new(Url::parse(upstream).unwrap(), trusted)
}

/// `t`rusted, `a`nonymous or `r`efused.
fn verdict(upstream: &str, trusted: &[&str], realm: &str) -> char {
    match territory(upstream, trusted).plan_realm(realm) {
        RealmPlan::Trusted(_) => 't',
        RealmPlan::Anonymous(_) => 'a',
        RealmPlan::Refused(_) => 'r',
    }
}

#[test]
fn s01_the_realms_of_real_registries() {
    let cases = [
        ("https://registry-1.docker.io", "https://auth.docker.io/token", 't'),
        ("https://ghcr.io", "https://ghcr.io/token", 't'),
        ("https://quay.io", "https://quay.io/v2/auth", 't'),
        ("https://public.ecr.aws", "https://public.ecr.aws/token/", 't'),
        ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", 't'),
        ("https://us-docker.pkg.dev", "https://us-docker.pkg.dev/v2/token", 't'),
        ("https://registry.redhat.io", "https://sso.redhat.com/auth/realms/rhc4tp", 'a'),
        ("http://registry.corp:5000", "http://registry.corp:5000/auth", 't'),
        ("http://10.0.0.5:5000", "http://10.0.0.5:5000/auth", 't'),
    ];
    for (upstream, realm, expected) in cases {
        assert_eq!(verdict(upstream, &[], realm), expected, "{upstream} {realm}");
    }
}

#[test]
fn s01_credentials_stay_at_home() {
    let hub = "https://registry-1.docker.io";
    let cases = [
        ("https://evil.example/token", 'a'),
        ("https://docker.io.evil.example/token", 'a'),
        ("https://evil-docker.io/token", 'a'),
        ("https://registry-1.docker.io:8443/token", 't'),
        ("https://REGISTRY-1.DOCKER.IO/token", 't'),
        ("https://auth.docker.io./token", 't'),
        ("http://auth.docker.io/token", 'r'),
        ("http://registry-1.docker.io/token", 'r'),
        ("https://user@auth.docker.io/token", 'r'),
        ("https://:secret@auth.docker.io/token", 'r'),
        ("https://auth.docker.io@evil.example/token", 'r'),
        ("https://auth.docker.io\\@evil.example/token", 't'),
        ("ftp://auth.docker.io/token", 'r'),
        ("file:///etc/passwd", 'r'),
        ("/token", 'r'),
        ("", 'r'),
        ("https://", 'r'),
        ("https://127.0.0.1/token", 'a'),
    ];
    for (realm, expected) in cases {
        assert_eq!(verdict(hub, &[], realm), expected, "{realm}");
    }
}

#[test]
fn s01_suffixes_that_many_owners_share_prove_nothing() {
    let cases = [
        ("https://registry.github.io", "https://evil.github.io/token"),
        ("https://registry.co.uk", "https://evil.co.uk/token"),
        ("https://registry.default.svc.cluster.local", "https://evil.other.svc.cluster.local/token"),
        ("https://registry.corp", "https://auth.corp/token"),
        ("https://registry.corp.lan", "https://auth.corp.lan/token"),
        ("https://10.0.0.5", "https://10.0.0.6/token"),
        ("https://localhost:5000", "https://localhost:5001/token"),
    ];
    for (upstream, realm) in cases {
        assert_eq!(verdict(upstream, &[], realm), 'a', "{upstream} {realm}");
    }
}

#[test]
fn s01_listed_hosts_are_trusted_port_and_all() {
    let upstream = "https://registry.corp.lan:5000";
    let trusted = ["auth.corp.lan", "10.1.2.3:9000", "[fd00::1]:5000", "sso.example.com:443"];
    let cases = [
        ("https://auth.corp.lan/token", 't'),
        ("https://auth.corp.lan.:443/token", 't'),
        ("https://auth.corp.lan:8443/token", 'a'),
        ("https://10.1.2.3:9000/token", 't'),
        ("https://0x0a010203:9000/token", 't'),
        ("https://10.1.2.3/token", 'a'),
        ("https://[fd00::1]:5000/token", 't'),
        ("https://sso.example.com/token", 't'),
        ("http://auth.corp.lan/token", 'r'),
    ];
    for (realm, expected) in cases {
        assert_eq!(verdict(upstream, &trusted, realm), expected, "{realm}");
    }
    assert_eq!(verdict("http://registry.corp.lan", &["auth.corp.lan"], "http://auth.corp.lan/t"), 't');
    assert_eq!(verdict("http://registry.corp.lan", &["auth.corp.lan"], "http://auth.corp.lan:81/t"), 'a');
}

#[test]
fn k5_an_http_realm_on_the_registrys_own_host_is_asked_by_https() {
    let cases = [
        (
            "https://registry.example.com",
            "http://registry.example.com/token",
            "https://registry.example.com/token",
        ),
        (
            "https://registry.example.com",
            "http://REGISTRY.example.com.:80/t?a=b",
            "https://registry.example.com./t?a=b",
        ),
        (
            "https://registry.corp.lan:8443",
            "http://registry.corp.lan:8443/t",
            "https://registry.corp.lan:8443/t",
        ),
        ("https://10.0.0.5:5000", "http://10.0.0.5:5000/t", "https://10.0.0.5:5000/t"),
    ];
    for (upstream, realm, asked) in cases {
        assert_eq!(plan_at_home(upstream, realm), RealmPlan::Trusted(Url::parse(asked).unwrap()), "{realm}");
    }
    // Another host's, or a registry's that is asked by http itself, stay what they are.
    let other = plan_at_home("https://registry.example.com", "http://auth.example.com/token");
    assert_eq!(other, RealmPlan::Refused(RealmError::Downgrade));
    let user = plan_at_home("https://registry.example.com", "http://u:p@registry.example.com/token");
    assert_eq!(user, RealmPlan::Refused(RealmError::Userinfo));
    let plain = "http://registry.corp:5000/token";
    let expected = RealmPlan::Trusted(Url::parse(plain).unwrap());
    assert_eq!(plan_at_home("http://registry.corp:5000", plain), expected);
}

/// The plan for the challenge of the upstream itself.
fn plan_at_home(upstream: &str, realm: &str) -> RealmPlan {
    territory(upstream, &[]).plan_realm_for(&Url::parse(upstream).unwrap(), realm)
}

#[test]
fn k1_a_host_behind_a_redirect_is_paid_for_with_the_login_only_if_it_may_see_it() {
    let of = |upstream: &str, trusted: &[&str], host: &str, realm: &str| {
        let plan = territory(upstream, trusted).plan_realm_for(&Url::parse(host).unwrap(), realm);
        match plan {
            RealmPlan::Trusted(_) => 't',
            RealmPlan::Anonymous(_) => 'a',
            RealmPlan::Refused(_) => 'r',
        }
    };
    let vanity = "https://lscr.io";
    let cases = [
        (&[][..], "https://ghcr.io", "https://ghcr.io/token", 'a'),
        (&["ghcr.io"], "https://ghcr.io", "https://ghcr.io/token", 't'),
        // A stranger that names our own token service would be handed a token of ours.
        (&[], "https://evil.example", "https://lscr.io/token", 'a'),
        (&["auth.lscr.example"], "https://evil.example", "https://auth.lscr.example/token", 'a'),
        (&["ghcr.io"], "https://ghcr.io", "https://evil.example/token", 'a'),
        (&[], "https://blobs.lscr.io", "https://lscr.io/token", 't'),
        (&[], "https://ghcr.io", "http://ghcr.io/token", 'a'),
        (&[], "https://ghcr.io", "http://auth.ghcr.io/token", 'r'),
        (&[], "https://ghcr.io", "http://lscr.io/token", 'r'),
    ];
    for (trusted, host, realm, expected) in cases {
        assert_eq!(of(vanity, trusted, host, realm), expected, "{trusted:?} {host} {realm}");
    }
    let plain = "http://vanity.corp:5000";
    assert_eq!(of(plain, &[], "https://real.example.com", "http://real.example.com/token"), 'a');
    assert_eq!(of(plain, &[], "https://real.example.com", "http://auth.example.com/token"), 'r');
}

#[test]
fn a_refusal_says_why() {
    let hub = territory("https://registry-1.docker.io", &[]);
    assert_eq!(hub.plan_realm("auth"), RealmPlan::Refused(RealmError::Url));
    assert_eq!(hub.plan_realm("gopher://a/"), RealmPlan::Refused(RealmError::Scheme));
    assert_eq!(hub.plan_realm("https://a@b/"), RealmPlan::Refused(RealmError::Userinfo));
    assert_eq!(hub.plan_realm("http://auth.docker.io/"), RealmPlan::Refused(RealmError::Downgrade));
}

#[test]
fn trusted_hosts_are_read_strictly() {
    for text in ["", "https://a", "a/b", "a:", "a:b", "a:+1", "a:65536", "a:1:2", "a b", "u@a", "[::1", "a?b"]
    {
        assert!(text.parse::<TrustedHost>().is_err(), "{text}");
    }
    for text in ["a", "a.b:1", "10.0.0.1", "10.0.0.1:65535", "[::1]", "[::1]:80"] {
        assert_eq!(text.parse::<TrustedHost>().unwrap().to_string(), text);
    }
}

/// Ten thousand realms put together from pieces that attackers use. The rule is spelled out again here, on
/// the text of the realm as another parser would read it, so that one mistake cannot hide in both.
#[test]
fn s01_no_generated_realm_outside_the_rule_gets_credentials() {
    let schemes = prop::sample::select(vec!["https", "http", "HTTPS", "ftp", "ws"]);
    let users = prop::sample::select(vec!["", "", "", "u@", "u:p@", "auth.docker.io@", ":@", "@"]);
    let hosts = prop::sample::select(vec![
        "auth.docker.io",
        "registry-1.docker.io",
        "docker.io",
        "docker.io.",
        "a.b.docker.io",
        "docker.io.evil.example",
        "evildocker.io",
        "docker.com",
        "io",
        "evil.io",
        "127.0.0.1",
        "0x7f.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "localhost",
        "xn--dcker-jua.io",
        "d\u{43e}cker.io",
        "listed.example",
        "unlisted.example",
    ]);
    let ports = prop::sample::select(vec!["", ":443", ":80", ":5000", ":8443"]);
    let tails = prop::sample::select(vec![
        "/token",
        "",
        "/?a=docker.io",
        "/#docker.io",
        "\\@docker.io/",
        "/@docker.io",
    ]);
    let territory = territory("https://registry-1.docker.io", &["listed.example:5000"]);
    let config = Config { cases: 10_000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(schemes, users, hosts, ports, tails), |(scheme, user, host, port, tail)| {
            let realm = format!("{scheme}://{user}{host}{port}{tail}");
            if let RealmPlan::Trusted(url) = territory.plan_realm(&realm) {
                let is_docker = host.trim_end_matches('.') == "docker.io" || host.ends_with(".docker.io");
                let is_listed = host == "listed.example" && port == ":5000";
                prop_assert!(is_docker || is_listed, "{realm}");
                prop_assert!(scheme.eq_ignore_ascii_case("https"), "{realm}");
                prop_assert!(matches!(user, "" | "@" | ":@"), "{realm}");
                prop_assert_eq!(url.host_str(), Some(host), "{}", realm);
            }
            Ok(())
        })
        .unwrap();
}
