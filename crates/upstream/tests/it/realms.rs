//! Realms that are after credentials, or after our own network.

use testkit::{Auth, Behaviour, Endpoint, FakeRegistry, Sink};
use upstream::{ErrorKind, ProxySettings, Settings};
use url::Url;

use crate::rig::{Rig, build, parse, repository, settings};

const PASSWORD: &str = "canary-word";

fn with_credentials(settings: &mut Settings) {
    settings.credentials = credentials::Settings::password("robot", PASSWORD);
}

/// A registry that challenges with this realm.
async fn challenging(realm: String) -> Rig {
    let auth = Auth::bearer("robot", PASSWORD);
    Rig::start_with(Behaviour { auth, realm: Some(realm), ..Behaviour::default() }, with_credentials).await
}

#[tokio::test]
async fn s01_s02_a_realm_inside_our_network_is_not_even_connected_to() {
    let sink = Sink::answering(200, &[("content-type", "application/json")], br#"{"token":"t"}"#).await;
    let port = sink.address().port();
    let hosts = [
        "127.0.0.1",
        "127.0.0.1.",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "localhost",
        "localhost.",
    ];
    for host in hosts {
        let rig = challenging(format!("http://{host}:{port}/token")).await;
        let error = rig.get("latest").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{host}");
        assert!(error.to_string().contains("trusted_hosts"), "{error}");
    }
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn s01_a_realm_that_is_no_realm_is_refused() {
    let sink = Sink::start().await;
    let realms = ["", "token", "ftp://127.0.0.1/", &format!("http://user:word@{}/token", sink.host())];
    for realm in realms {
        let rig = challenging(realm.to_owned()).await;
        assert!(rig.get("latest").await.is_err(), "{realm}");
        assert!(rig.registry.log().credentials(Endpoint::Registry).is_empty(), "{realm}");
    }
    assert_eq!(sink.connections(), 0);
}

/// The proxy stands for the whole outside world: it sees every request and answers all of them with a
/// challenge of somebody else's realm.
#[tokio::test]
async fn s01_a_realm_of_another_owner_gets_an_anonymous_request() {
    for realm in ["http://auth.other.example/token", "https://auth.registry.example.evil.example/token"] {
        let challenge =
            format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:library/alpine:push\"");
        let world = Sink::answering(401, &[("www-authenticate", &challenge)], b"").await;
        let mut settings = Settings::new("fake", "http://registry.example".parse::<Url>().unwrap());
        settings.proxy = Some(ProxySettings::new(world.url().parse().unwrap()));
        with_credentials(&mut settings);
        let (upstream, _metrics) = build(settings);
        let got = upstream::Upstream::get_manifest(&upstream, &repository(), &parse("latest")).await;
        assert!(got.is_err());
        assert!(!world.saw(PASSWORD) && world.credentials() == 0, "{:?}", world.requests());
        let requests = world.requests();
        let token_request = requests.get(1).unwrap();
        if realm.starts_with("http:") {
            let target = format!("GET {realm}?service=s&scope=repository%3Alibrary%2Falpine%3Apull HTTP/1.1");
            assert!(token_request.starts_with(&target), "{token_request}");
        } else {
            assert!(token_request.starts_with("CONNECT "), "{token_request}");
        }
    }
}

#[tokio::test]
async fn s01_a_listed_realm_gets_the_credentials() {
    let registry =
        FakeRegistry::start_with(Behaviour { auth: Auth::bearer("robot", PASSWORD), ..Behaviour::default() })
            .await;
    let digest = registry.put_manifest("library/alpine", None, "application/json", "{}");
    let mut listed = settings(&registry);
    with_credentials(&mut listed);
    let unlisted = Settings { trusted_hosts: Vec::new(), ..listed.clone() };
    for (settings, is_listed) in [(listed, true), (unlisted, false)] {
        let (upstream, _metrics) = build(settings);
        let got = upstream::Upstream::get_manifest(&upstream, &repository(), &parse(&digest)).await;
        assert_eq!(got.is_ok(), is_listed, "{got:?}");
    }
    assert_eq!(registry.log().connections(Endpoint::Token), 1);
}
