//! Upstreams that share their host with others.

use oci::Page;
use testkit::{Auth, Behaviour, Endpoint, FakeRegistry, Fault, Image, Kind, Referrers, Rule};
use upstream::{BlobRange, ErrorKind, HttpUpstream, ListRequest, Settings, Upstream};

use crate::rig::{MANIFEST_TYPE, REPOSITORY, Rig, bytes, read, repository};

const PREFIX: &str = "hub-proxy";

fn login(settings: &mut Settings) {
    settings.credentials = credentials::Settings::password("robot", "word");
}

async fn tags(upstream: &HttpUpstream, last: Option<&str>) -> upstream::ListPage {
    let page = Page { n: None, last: last.map(str::to_owned), cursor: None };
    upstream.list(&ListRequest::Tags { repository: repository(), page }).await.unwrap()
}

/// A registry that holds everything below `PREFIX`, and an upstream at `path` of it.
async fn harbor(behaviour: Behaviour, path: &str) -> Rig {
    let registry = FakeRegistry::start_with(behaviour).await;
    for tag in ["a", "b", "latest"] {
        registry.put_image(&format!("{PREFIX}/{REPOSITORY}"), tag, &Image::small(tag));
    }
    let upstream = format!("{}{path}", registry.url()).parse().unwrap();
    Rig::before(registry, |settings| {
        settings.upstream = upstream;
        login(settings);
    })
}

#[tokio::test]
async fn k20_a_path_goes_in_front_of_every_repositorys_name() {
    for path in ["/v2/hub-proxy", "/v2/hub-proxy/", "/hub-proxy", "/hub-proxy/"] {
        for auth in [Auth::Anonymous, Auth::basic("robot", "word"), Auth::bearer("robot", "word")] {
            let behaviour = Behaviour { auth: auth.clone(), page_max: 2, ..Behaviour::default() };
            let rig = harbor(behaviour, path).await;
            let digest = rig.registry.put_blob(bytes(1000));
            let head = rig.head("latest").await.unwrap_or_else(|error| panic!("{path} {auth:?}: {error}"));
            rig.get(&head.digest.unwrap().to_string()).await.unwrap();
            assert_eq!(read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await.0, bytes(1000));
            let first = tags(&rig.upstream, None).await;
            assert_eq!(first.next.as_deref(), Some("last=b"));
            assert_eq!(tags(&rig.upstream, Some("b")).await.next, None);
            assert_eq!(rig.get("none").await.unwrap_err().kind(), ErrorKind::NotFound);
            let requests = rig.registry.requests();
            let names = requests.iter().filter(|it| it.endpoint == Endpoint::Registry);
            let names = names.filter_map(|it| it.repository.as_deref());
            let expected = format!("{PREFIX}/{REPOSITORY}");
            assert!(names.clone().count() >= 6 && names.clone().all(|name| name == expected));
            let scope = format!("scope=repository%3A{PREFIX}%2Flibrary%2Falpine%3Apull");
            let mut tokens = requests.iter().filter(|it| it.kind == Kind::Token).map(|it| &it.target);
            assert!(tokens.all(|target| target.contains(&scope)), "{path}");
            let bare = requests.iter().filter(|it| it.status == Some(401) && it.repository.is_some()).count();
            assert!(bare <= 1, "a challenge for each repository: {path} {auth:?}");
        }
    }
}

#[tokio::test]
async fn k20_a_scope_is_guessed_with_the_path() {
    let auth = Auth::bearer("robot", "word");
    let rig = harbor(Behaviour { auth, ..Behaviour::default() }, "/v2/hub-proxy").await;
    let other = format!("{PREFIX}/library/other");
    rig.registry.put_manifest(&other, Some("latest"), MANIFEST_TYPE, r#"{"schemaVersion":2}"#);
    rig.head("latest").await.unwrap();
    rig.registry.log().clear();
    let other = "library/other".parse().unwrap();
    rig.upstream.get_manifest(&other, &crate::rig::parse("latest")).await.unwrap();
    let seen: Vec<_> = rig.registry.requests().iter().map(|it| (it.kind, it.status)).collect();
    assert_eq!(seen, [(Kind::Token, Some(200)), (Kind::GetManifest, Some(200))]);
}

#[tokio::test]
async fn k20_a_registry_with_a_root_of_its_own_below_the_path_is_found() {
    for path in ["/repository/hub", "/repository/hub/", "/repository/hub/v2"] {
        for auth in [Auth::Anonymous, Auth::basic("robot", "word"), Auth::bearer("robot", "word")] {
            let base = "/repository/hub".to_owned();
            let referrers = Referrers::Filtered;
            let behaviour = Behaviour { auth, base, page_max: 2, referrers, ..Behaviour::default() };
            let registry = FakeRegistry::start_with(behaviour).await;
            for tag in ["a", "b", "latest"] {
                registry.put_image(REPOSITORY, tag, &Image::small(tag));
            }
            let upstream = format!("{}{path}", registry.url()).parse().unwrap();
            let rig = Rig::before(registry, |settings| {
                settings.upstream = upstream;
                login(settings);
            });
            let digest = rig.registry.put_blob(bytes(1000));
            for _ in 0..2 {
                rig.get("latest").await.unwrap();
                rig.head("latest").await.unwrap();
                assert_eq!(read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await.0, bytes(1000));
                assert_eq!(tags(&rig.upstream, None).await.next.as_deref(), Some("last=b"));
            }
            let is_open = !path.ends_with("v2");
            let asked = rig.registry.log().count_where(|it| it.target == "/repository/hub/v2/");
            assert_eq!(
                asked,
                usize::from(is_open),
                "the place is looked for once, and only where it is not said"
            );
            let scope = "scope=repository%3Alibrary%2Falpine%3Apull";
            let tokens = rig.registry.requests();
            assert!(tokens.iter().filter(|it| it.kind == Kind::Token).all(|it| it.target.contains(scope)));
        }
    }
}

#[tokio::test]
async fn k20_the_login_is_asked_for_at_the_root_below_the_path() {
    let base = "/repository/hub".to_owned();
    let auth = Auth::basic("robot", "word");
    let registry =
        FakeRegistry::start_with(Behaviour { auth, base, hidden: Some(404), ..Behaviour::default() }).await;
    registry.put_image(REPOSITORY, "latest", &Image::small("private"));
    let upstream = format!("{}/repository/hub/v2", registry.url()).parse().unwrap();
    let rig = Rig::before(registry, |settings| {
        settings.upstream = upstream;
        login(settings);
    });
    rig.get("latest").await.unwrap();
    assert_eq!(rig.registry.log().count(Kind::Version), 1);
}

#[tokio::test]
async fn k20_redirects_below_a_path_are_followed_with_what_belongs_there() {
    let auth = Auth::basic("robot", "word");
    let rig = harbor(Behaviour { auth, redirects: false, ..Behaviour::default() }, "/v2/hub-proxy").await;
    let digest = rig.registry.put_blob(bytes(100));
    let target = format!("/v2/storage/blobs/{digest}");
    let name = format!("{PREFIX}/{REPOSITORY}");
    rig.registry.script(Rule::new(Kind::GetBlob, Fault::RedirectTo(target)).repository(&name));
    assert_eq!(read(rig.blob(&digest, BlobRange::Whole).await.unwrap()).await.0, bytes(100));
}

#[tokio::test]
async fn k20_a_host_that_cannot_be_asked_where_it_is_is_an_outage() {
    let rig = harbor(Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }, "/hub-proxy").await;
    let rule = rig.registry.script(Rule::new(Kind::Version, Fault::Status(502)).before_auth());
    assert_eq!(rig.get("latest").await.unwrap_err().kind(), ErrorKind::Unreachable);
    rule.remove();
    rig.get("latest").await.unwrap();
}

#[tokio::test]
async fn k20_a_host_without_any_root_is_asked_for_names_with_the_path_in_front() {
    let rig = harbor(Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }, "/hub-proxy").await;
    let page = Fault::StatusWith { code: 404, headers: Vec::new(), body: "".into() };
    rig.registry.script(Rule::new(Kind::Version, page).before_auth());
    for _ in 0..3 {
        rig.get("latest").await.unwrap();
    }
    assert_eq!(rig.registry.log().count(Kind::Version), 1, "no root is looked for again at once");
}
