//! Redirects that go too far.

use testkit::{Auth, Behaviour, Endpoint, FakeRegistry, Fault, Kind, Rule, Sink, Tls};
use upstream::{BlobRange, ErrorKind, ProxySettings, Settings};

use crate::rig::{REPOSITORY, Rig, build, bytes, parse, read, repository};

fn with_credentials(settings: &mut Settings) {
    settings.credentials = credentials::Settings::password("robot", "canary-word");
}

fn basic() -> Behaviour {
    Behaviour { auth: Auth::basic("robot", "canary-word"), redirects: false, ..Behaviour::default() }
}

/// The error of a blob whose registry redirects to `url`.
async fn redirected(rig: &Rig, url: &str) -> upstream::Error {
    let digest = rig.registry.put_blob(bytes(100));
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::RedirectTo(url.to_owned())).at(Endpoint::Registry));
    rig.blob(&digest, BlobRange::Whole).await.unwrap_err()
}

#[tokio::test]
async fn s03_the_content_network_sees_no_credentials() {
    for behaviour in [Behaviour::default(), Behaviour { redirects: true, ..basic() }] {
        let rig = Rig::start_with(behaviour, with_credentials).await;
        rig.registry.change(|behaviour| {
            if let Auth::Bearer { credentials, .. } = &mut behaviour.auth {
                *credentials = Some(("robot".to_owned(), "canary-word".to_owned()));
            }
        });
        let digest = rig.registry.put_blob(bytes(100));
        for _ in 0..2 {
            assert_eq!(read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await.0, bytes(100));
        }
        assert_eq!(rig.registry.log().refused_credentials(), 0);
        assert!(rig.registry.log().credentials(Endpoint::Cdn).is_empty());
    }
}

#[tokio::test]
async fn s03_five_hops_are_followed_and_six_are_not() {
    for hops in 1..=6 {
        let rig = Rig::start_with(basic(), with_credentials).await;
        let digest = rig.registry.put_blob(bytes(100));
        let name = |hop: usize| if hop == 0 { REPOSITORY.to_owned() } else { format!("hop/{hop}") };
        for hop in 0..hops {
            let next = format!("/v2/{}/blobs/{digest}", name(hop + 1));
            rig.registry.script(Rule::new(Kind::GetBlob, Fault::RedirectTo(next)).repository(&name(hop)));
        }
        let got = rig.blob(&digest, BlobRange::Whole).await;
        if hops <= 5 {
            assert_eq!(
                read(got.unwrap()).await.0,
                bytes(100),
                "{hops} hops at one host keep the credentials"
            );
        } else {
            assert_eq!(got.unwrap_err().kind(), ErrorKind::Invalid, "{hops}");
        }
    }
}

#[tokio::test]
async fn f14_a_loop_ends_at_once() {
    let rig = Rig::start_with(basic(), with_credentials).await;
    let digest = rig.registry.put_blob(bytes(100));
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::RedirectLoop));
    assert_eq!(rig.blob(&digest, BlobRange::Whole).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(rig.registry.log().count(Kind::GetBlob), 2, "a challenge and one redirect");
}

#[tokio::test]
async fn s03_credentials_once_dropped_are_not_taken_up_again() {
    let rig = Rig::start_with(Behaviour { redirects: true, ..basic() }, with_credentials).await;
    let digest = rig.registry.put_blob(bytes(100));
    let back = format!("{}/v2/back/again/blobs/{digest}", rig.registry.url());
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::RedirectTo(back)).at(Endpoint::Cdn));
    let error = rig.blob(&digest, BlobRange::Whole).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
    let requests = rig.registry.requests();
    let mut returned = requests.iter().filter(|it| it.repository.as_deref() == Some("back/again")).peekable();
    assert!(returned.peek().is_some());
    assert!(returned.all(|request| request.credential.is_none()));
}

#[tokio::test]
async fn s02_a_redirect_inside_our_network_is_not_followed() {
    let sink = Sink::start().await;
    let port = sink.address().port();
    let rig = Rig::start_with(basic(), with_credentials).await;
    let hosts = [
        "127.0.0.1",
        "0x7f000001",
        "2130706433",
        "127.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "localhost",
        "localhost.",
    ];
    for host in hosts {
        let error = redirected(&rig, &format!("http://{host}:{port}/blob")).await;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{host}: {error}");
    }
    let error = redirected(&rig, "http://169.254.169.254/latest/meta-data/").await;
    assert!(error.to_string().contains("a link-local address"), "{error}");
    assert_eq!(sink.connections(), 0);
    assert_eq!(rig.sample("wharf_upstream_breaker_state{registry=\"fake\"}"), Some(0));
}

/// The proxy would reach what is inside, so that what cannot be checked by address is checked by name.
#[tokio::test]
async fn t26_a_name_of_the_inside_is_not_handed_to_the_proxy() {
    let names = [
        "localhost",
        "localhost.",
        "a.localhost",
        "intranet",
        "metadata.google.internal",
        "vault.corp.lan",
        "10.0.0.1.nip.io",
        "169-254-169-254.sslip.io",
    ];
    for name in names {
        let target = format!("http://{name}/secret");
        let challenge = format!("Bearer realm=\"{target}\",service=\"s\"");
        let redirected = Sink::answering(307, &[("location", &target)], b"").await;
        let challenged = Sink::answering(401, &[("www-authenticate", &challenge)], b"").await;
        for world in [redirected, challenged] {
            let mut settings = Settings::new("fake", "http://registry.example".parse().unwrap());
            settings.proxy = Some(ProxySettings::new(world.url().parse().unwrap()));
            with_credentials(&mut settings);
            let (upstream, _metrics) = build(settings);
            let got = upstream::Upstream::get_manifest(&upstream, &repository(), &parse("latest")).await;
            let error = got.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name}: {error}");
            assert!(error.to_string().contains("trusted_hosts"), "{error}");
            assert!(world.requests().iter().all(|head| !head.contains("/secret")), "{:?}", world.requests());
        }
    }
}

#[tokio::test]
async fn t26_a_listed_name_is_handed_to_the_proxy() {
    let world = Sink::answering(307, &[("location", "http://vault.corp.lan/blob")], b"").await;
    let mut settings = Settings::new("fake", "http://registry.corp.lan".parse().unwrap());
    settings.proxy = Some(ProxySettings::new(world.url().parse().unwrap()));
    settings.trusted_hosts = vec!["vault.corp.lan".to_owned()];
    let (upstream, _metrics) = build(settings);
    let got = upstream::Upstream::get_manifest(&upstream, &repository(), &parse("latest")).await;
    assert!(got.unwrap_err().to_string().contains("redirects in a circle"));
    assert!(world.requests().iter().any(|head| head.starts_with("GET http://vault.corp.lan/blob ")));
}

#[tokio::test]
async fn s03_addresses_that_cannot_be_followed_are_refused() {
    let rig = Rig::start_with(basic(), with_credentials).await;
    let cdn = rig.registry.host_of(Endpoint::Cdn);
    let user = format!("http://user:word@{cdn}/blob");
    for url in ["http://", "ftp://127.0.0.1/", "file:///etc/passwd", "javascript:alert(1)", user.as_str()] {
        assert_eq!(redirected(&rig, url).await.kind(), ErrorKind::Invalid, "{url}");
    }
    assert_eq!(rig.registry.log().connections(Endpoint::Cdn), 0);
}

#[tokio::test]
async fn s03_https_does_not_lead_to_http() {
    let registry = FakeRegistry::start_tls(Behaviour::default(), Tls::default()).await;
    let pem = registry.authority().unwrap().pem();
    let sink = Sink::start().await;
    let rig = Rig::before(registry, |settings| {
        settings.ca = vec![pem.into_bytes()];
        settings.trusted_hosts.push(sink.host());
    });
    let error = redirected(&rig, &format!("{}/blob", sink.url())).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("from https to http"), "{error}");
    assert_eq!(sink.connections(), 0);
}
