//! Upstreams behind a proxy, and hosts that are reached without it.

use policy::no_proxy::NoProxy;
use testkit::{Auth, Behaviour, Endpoint, FakeRegistry, Kind, Sink, SocksProxy};
use upstream::{BlobRange, ErrorKind, HttpUpstream, ProxySettings, Settings, Upstream};

use crate::rig::{MANIFEST_TYPE, REPOSITORY, build, bytes, parse, read, repository, settings};

const LOGIN: (&str, &str) = ("robot", "canary-proxy");

/// A registry whose token service and content network are other hosts.
async fn registry() -> FakeRegistry {
    let auth = Auth::Bearer { credentials: None, anonymous: true };
    let registry = FakeRegistry::start_with(Behaviour { auth, ..Behaviour::default() }).await;
    registry.put_manifest(REPOSITORY, Some("latest"), MANIFEST_TYPE, r#"{"schemaVersion":2}"#);
    registry
}

/// The registry by a name that only the proxy knows.
fn named(registry: &FakeRegistry, proxy: &str, no_proxy: &[&str]) -> HttpUpstream {
    by("http://registry.example", registry, proxy, no_proxy)
}

fn by(upstream: &str, registry: &FakeRegistry, proxy: &str, no_proxy: &[&str]) -> HttpUpstream {
    let rules = no_proxy.iter().map(|rule| rule.parse().unwrap()).collect();
    let proxy = ProxySettings { url: proxy.parse().unwrap(), no_proxy: NoProxy(rules) };
    build(Settings { upstream: upstream.parse().unwrap(), proxy: Some(proxy), ..settings(registry) }).0
}

async fn proxy_for(registry: &FakeRegistry, login: Option<(&str, &str)>) -> SocksProxy {
    SocksProxy::start(&[("registry.example", registry.address_of(Endpoint::Registry))], login).await
}

async fn pull(upstream: &HttpUpstream, registry: &FakeRegistry) {
    let manifest = upstream.get_manifest(&repository(), &parse("latest")).await.unwrap();
    assert_eq!(manifest.bytes.as_ref(), br#"{"schemaVersion":2}"#);
    let blob = registry.put_blob(bytes(1000)).parse().unwrap();
    let stream = upstream.get_blob(&repository(), &blob, BlobRange::Whole).await.unwrap();
    let (got, error) = read(stream).await;
    assert!(error.is_none() && got == bytes(1000));
}

#[tokio::test]
async fn everything_goes_through_a_socks_proxy_which_resolves_the_names() {
    for login in [None, Some(LOGIN)] {
        let registry = registry().await;
        let proxy = proxy_for(&registry, login).await;
        let user = login.map(|(user, password)| format!("{user}:{password}@")).unwrap_or_default();
        pull(&named(&registry, &format!("socks5h://{user}{}", proxy.authority()), &[]), &registry).await;
        let asked = proxy.asked();
        let hosts = [
            "registry.example:80".to_owned(),
            registry.host_of(Endpoint::Token),
            registry.host_of(Endpoint::Cdn),
        ];
        assert!(hosts.iter().all(|host| asked.contains(host)), "{asked:?}");
    }
}

#[tokio::test]
async fn socks5_resolves_names_here_and_hands_over_addresses() {
    let registry = registry().await;
    let proxy = proxy_for(&registry, None).await;
    let port = registry.address_of(Endpoint::Registry).port();
    let upstream = format!("http://localhost:{port}");
    pull(&by(&upstream, &registry, &format!("socks5://{}", proxy.authority()), &[]), &registry).await;
    let asked = proxy.asked();
    assert!(asked.iter().any(|host| host.ends_with(&format!(":{port}"))), "{asked:?}");
    assert!(asked.iter().all(|host| !host.contains("localhost")), "{asked:?}");
}

#[tokio::test]
async fn s28_a_login_that_a_proxy_refuses_is_in_no_error() {
    let registry = registry().await;
    let proxy = proxy_for(&registry, Some(LOGIN)).await;
    let url = format!("socks5h://robot:canary-wrong@{}", proxy.authority());
    let upstream = named(&registry, &url, &[]);
    let error = upstream.get_manifest(&repository(), &parse("latest")).await.unwrap_err();
    let text = format!("{error} {error:?} {}", telemetry::error_chain(&error));
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(!text.contains("canary") && text.contains("a proxy is set"), "{text}");
    let settings = format!("{:?}", ProxySettings::new(url.parse().unwrap()));
    assert!(!settings.contains("canary"), "{settings}");
}

#[tokio::test]
async fn hosts_of_no_proxy_are_reached_without_it_and_no_others() {
    let registry = registry().await;
    let proxy = proxy_for(&registry, None).await;
    let (token, cdn) = (registry.host_of(Endpoint::Token), registry.host_of(Endpoint::Cdn));
    // All of them have the same address, so only the port tells them apart.
    let upstream = named(&registry, &format!("socks5h://{}", proxy.authority()), &[&cdn]);
    pull(&upstream, &registry).await;
    let asked = proxy.asked();
    assert!(asked.contains(&token) && !asked.contains(&cdn), "{asked:?}");
    assert_eq!(registry.log().count(Kind::Token), 1);
}

#[tokio::test]
async fn a_network_of_no_proxy_is_reached_without_it() {
    let registry = registry().await;
    let proxy = proxy_for(&registry, None).await;
    let url = format!("socks5h://{}", proxy.authority());
    pull(&named(&registry, &url, &["127.0.0.0/8", "::1"]), &registry).await;
    let asked = proxy.asked();
    assert!(asked.iter().all(|host| host == "registry.example:80"), "{asked:?}");
}

#[tokio::test]
async fn s02_a_name_of_the_inside_is_not_handed_to_a_socks_proxy() {
    for scheme in ["socks5", "socks5h"] {
        for target in
            ["http://vault.corp.lan/secret", "http://10.0.0.1.nip.io/secret", "http://10.0.0.1/secret"]
        {
            let world = Sink::answering(307, &[("location", target)], b"").await;
            let address = world.host().parse().unwrap();
            let proxy =
                SocksProxy::start(&[("registry.example", address), ("127.0.0.1", address)], None).await;
            let upstream =
                if scheme == "socks5" { world.url() } else { "http://registry.example".to_owned() };
            let mut settings = Settings::new("fake", upstream.parse().unwrap());
            let url = format!("{scheme}://{}", proxy.authority());
            settings.proxy = Some(ProxySettings::new(url.parse().unwrap()));
            let (upstream, _metrics) = build(settings);
            let error = upstream.get_manifest(&repository(), &parse("latest")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{target}: {error}");
            assert!(error.to_string().contains("trusted_hosts"), "{error}");
            let asked = proxy.asked();
            assert_eq!(asked.len(), 1, "only the registry was asked for: {asked:?}");
        }
    }
}
