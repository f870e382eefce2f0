//! Registries that redirect to another one, which asks for itself who we are.

use testkit::{Auth, Behaviour, Credential, Endpoint, FakeRegistry, Fault, ForwardProxy, Kind, Rule};
use upstream::{BlobRange, ErrorKind, ProxySettings, Settings, Upstream};

use crate::rig::{MANIFEST_TYPE, REPOSITORY, Rig, build, bytes, parse, read, repository};

const PASSWORD: &str = "canary-word";

fn with_login(settings: &mut Settings) {
    settings.credentials = credentials::Settings::password("robot", PASSWORD);
}

/// The registry that holds the images, and calls them `real/alpine`.
struct Real {
    registry: FakeRegistry,
    manifest: String,
    blob: String,
}

const REAL: &str = "real/alpine";

impl Real {
    async fn start(behaviour: Behaviour) -> Self {
        let registry = FakeRegistry::start_with(behaviour).await;
        let manifest = registry.put_manifest(REAL, Some("latest"), MANIFEST_TYPE, r#"{"schemaVersion":2}"#);
        let blob = registry.put_blob(bytes(1000));
        Self { registry, manifest, blob }
    }

    /// Has `vanity` redirect what is asked of it to this registry, whose address is `url`.
    fn stand_behind(&self, vanity: &FakeRegistry, url: &str) {
        let to = |rest: &str| Fault::RedirectTo(format!("{url}/v2/{REAL}/{rest}"));
        let manifest = to(&format!("manifests/{}", self.manifest));
        vanity.script(Rule::new(Kind::GetManifest, manifest));
        vanity.script(Rule::new(Kind::HeadManifest, to("manifests/latest")));
        let blob = to(&format!("blobs/{}", self.blob));
        vanity.script(Rule::new(Kind::GetBlob, blob).at(Endpoint::Registry));
    }
}

fn anonymous() -> Behaviour {
    Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }
}

/// A vanity host before `real`, all of whose hosts the operator has listed.
async fn listed(behaviour: Behaviour, real: &Real) -> Rig {
    let rig = Rig::start_with(behaviour, |settings| {
        let all = [Endpoint::Registry, Endpoint::Token, Endpoint::Cdn];
        settings.trusted_hosts.extend(all.map(|endpoint| real.registry.host_of(endpoint)));
        with_login(settings);
    })
    .await;
    real.stand_behind(&rig.registry, &real.registry.url());
    rig
}

#[tokio::test]
async fn k1_a_challenge_from_behind_a_redirect_is_answered_to_whoever_gave_it() {
    let real = Real::start(Behaviour { redirects: false, ..Behaviour::default() }).await;
    let auth = Auth::Bearer { credentials: Some(("robot".to_owned(), PASSWORD.to_owned())), anonymous: true };
    real.registry.change(|behaviour| behaviour.auth = auth);
    let rig = listed(anonymous(), &real).await;
    for _ in 0..3 {
        rig.get("latest").await.unwrap();
        rig.head("latest").await.unwrap();
        assert_eq!(read(rig.blob(&real.blob, BlobRange::Whole).await.unwrap()).await.0, bytes(1000));
    }
    let log = real.registry.log();
    assert_eq!(log.count(Kind::Token), 1);
    let refused = log.count_where(|request| request.status == Some(401));
    assert_eq!(refused, 1, "what it asks for is known on later requests");
    let scope = "scope=repository%3Areal%2Falpine%3Apull";
    assert_eq!(log.count_where(|request| request.target.contains(scope)), 1);
    assert!(rig.registry.log().credentials(Endpoint::Registry).is_empty(), "the token is for the other host");
}

#[tokio::test]
async fn k1_a_listed_host_behind_a_redirect_gets_the_login() {
    for auth in [Auth::bearer("robot", PASSWORD), Auth::basic("robot", PASSWORD)] {
        let real = Real::start(Behaviour { auth, redirects: false, ..Behaviour::default() }).await;
        let rig = listed(anonymous(), &real).await;
        rig.get("latest").await.unwrap();
        assert_eq!(read(rig.blob(&real.blob, BlobRange::Whole).await.unwrap()).await.0, bytes(1000));
        assert!(rig.registry.log().credentials(Endpoint::Registry).is_empty());
    }
}

#[tokio::test]
async fn k1_both_hosts_may_ask_and_each_is_shown_its_own() {
    let real = Real::start(Behaviour { redirects: true, ..Behaviour::default() }).await;
    let rig = listed(Behaviour::default(), &real).await;
    rig.registry.change(|behaviour| {
        behaviour.auth =
            Auth::Bearer { credentials: Some(("robot".to_owned(), PASSWORD.to_owned())), anonymous: true };
    });
    real.registry.change(|behaviour| {
        behaviour.auth =
            Auth::Bearer { credentials: Some(("robot".to_owned(), PASSWORD.to_owned())), anonymous: true };
    });
    rig.registry.change(|behaviour| behaviour.redirects = false);
    for _ in 0..2 {
        rig.get("latest").await.unwrap();
        assert_eq!(read(rig.blob(&real.blob, BlobRange::Whole).await.unwrap()).await.0, bytes(1000));
    }
    let at_home = rig.registry.log().credentials(Endpoint::Registry);
    let abroad = real.registry.log().credentials(Endpoint::Registry);
    assert!(!at_home.is_empty() && !abroad.is_empty());
    assert!(at_home.iter().all(|credential| !abroad.contains(credential)), "{at_home:?} {abroad:?}");
    assert_eq!(real.registry.log().refused_credentials(), 0, "its content network is shown nothing");
    assert_eq!(rig.registry.log().count(Kind::Token) + real.registry.log().count(Kind::Token), 2);
}

/// Names that stand for the three endpoints of a registry in the outside world.
fn names<'a>(registry: &FakeRegistry, names: [&'a str; 3]) -> Vec<(&'a str, std::net::SocketAddr)> {
    let endpoints = [Endpoint::Registry, Endpoint::Token, Endpoint::Cdn];
    names.into_iter().zip(endpoints.map(|endpoint| registry.address_of(endpoint))).collect()
}

#[tokio::test]
async fn k1_s01_a_stranger_behind_a_redirect_gets_an_anonymous_token_and_never_the_login() {
    let vanity = FakeRegistry::start_with(anonymous()).await;
    // The second names the vanity host's own token service, which may see the login: what that gave for it
    // would be sent to the stranger.
    for realm in ["http://auth.real.example/token", "http://auth.vanity.example/token"] {
        let auth =
            Auth::Bearer { credentials: Some(("robot".to_owned(), PASSWORD.to_owned())), anonymous: true };
        let real = Real::start(Behaviour {
            auth,
            realm: Some(realm.to_owned()),
            redirects: false,
            ..Behaviour::default()
        })
        .await;
        let mut known = names(&real.registry, ["real.example", "auth.real.example", "cdn.real.example"]);
        let token = real.registry.address_of(Endpoint::Token);
        known.extend([
            ("vanity.example", vanity.address_of(Endpoint::Registry)),
            ("auth.vanity.example", token),
        ]);
        let world = ForwardProxy::start(&known).await;
        real.stand_behind(&vanity, "http://real.example");
        let mut settings = Settings::new("fake", "http://vanity.example".parse().unwrap());
        settings.proxy = Some(ProxySettings::new(world.url().parse().unwrap()));
        settings.trusted_hosts = vec!["auth.vanity.example".to_owned()];
        with_login(&mut settings);
        let (upstream, _metrics) = build(settings);
        for _ in 0..2 {
            upstream.get_manifest(&repository(), &parse("latest")).await.unwrap();
        }
        let log = real.registry.log();
        assert!(log.credentials(Endpoint::Token).is_empty(), "{realm}: {:?}", world.asked());
        assert_eq!(log.count(Kind::Token), 1);
        let shown = log.credentials(Endpoint::Registry);
        assert!(shown.iter().all(|credential| matches!(credential, Credential::Bearer(_))), "{shown:?}");
    }
}

#[tokio::test]
async fn k1_s01_a_stranger_that_asks_for_the_login_itself_does_not_get_it() {
    let vanity = FakeRegistry::start_with(anonymous()).await;
    let auth = Auth::basic("robot", PASSWORD);
    let real = Real::start(Behaviour { auth, redirects: false, ..Behaviour::default() }).await;
    let mut known = names(&real.registry, ["real.example", "auth.real.example", "cdn.real.example"]);
    known.push(("vanity.example", vanity.address_of(Endpoint::Registry)));
    let world = ForwardProxy::start(&known).await;
    real.stand_behind(&vanity, "http://real.example");
    let mut settings = Settings::new("fake", "http://vanity.example".parse().unwrap());
    settings.proxy = Some(ProxySettings::new(world.url().parse().unwrap()));
    with_login(&mut settings);
    let (upstream, _metrics) = build(settings);
    for _ in 0..2 {
        assert!(upstream.get_manifest(&repository(), &parse("latest")).await.is_err());
    }
    assert!(real.registry.log().credentials(Endpoint::Registry).is_empty());
}

#[tokio::test]
async fn k1_a_refusal_by_the_registry_behind_is_a_refusal() {
    let real = Real::start(Behaviour { redirects: false, ..Behaviour::default() }).await;
    let rig = listed(anonymous(), &real).await;
    real.registry.change(|behaviour| behaviour.auth = Auth::bearer("other", "word"));
    let error = rig.get("latest").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert_eq!(error.host(), real.registry.host_of(Endpoint::Token));
    assert_eq!(rig.registry.requests().len(), 1, "that is no reason to ask again: {REPOSITORY}");
}
