//! The attempts of a patient client before it believes a refusal.

use futures_util::future::join_all;
use oci::Page;
use policy::head_trust::Stakes;
use testkit::{
    Auth, Behaviour, Credential, DeadToken, Endpoint, FakeRegistry, Fault, Kind, Rule, ScopeRules, Tls,
};
use upstream::{BlobRange, ErrorKind, HttpUpstream, ListRequest, Settings, Upstream};

use crate::rig::{REPOSITORY, Rig, bytes, read, repository};

fn login(password: &str) -> impl FnOnce(&mut Settings) {
    let credentials = credentials::Settings::password("robot", password);
    move |settings| settings.credentials = credentials
}

fn with_login(auth: Auth) -> Behaviour {
    Behaviour { auth, ..Behaviour::default() }
}

async fn tags(upstream: &HttpUpstream) -> Result<(), upstream::Error> {
    let request = ListRequest::Tags { repository: repository(), page: Page::default() };
    upstream.list(&request).await.map(|_| ())
}

/// The kinds and statuses that the registry and the token service saw, in order.
fn seen(rig: &Rig) -> Vec<(Kind, u16)> {
    rig.registry.requests().iter().map(|request| (request.kind, request.status.unwrap_or_default())).collect()
}

#[tokio::test]
async fn k2_a_token_that_died_is_dropped_whatever_the_registry_says_to_it() {
    for dead_token in [DeadToken::Challenged, DeadToken::Unchallenged, DeadToken::Basic, DeadToken::Forbidden]
    {
        for auth in [Behaviour::default().auth, Auth::bearer("robot", "word")] {
            let has_login = auth == Auth::bearer("robot", "word");
            let behaviour = Behaviour { dead_token, ..with_login(auth) };
            let rig = Rig::start_with(behaviour, |settings| {
                if has_login {
                    login("word")(settings);
                }
            })
            .await;
            let digest = rig.put_manifest();
            rig.get(&digest).await.unwrap();
            rig.registry.revoke_tokens();
            rig.registry.log().clear();
            rig.get(&digest).await.unwrap_or_else(|error| panic!("{dead_token:?} {has_login}: {error}"));
            let log = rig.registry.log();
            assert_eq!(log.count(Kind::Token), 1, "{dead_token:?} {has_login}");
            assert!(log.count(Kind::GetManifest) <= 3, "{dead_token:?} {has_login}");
            log.clear();
            rig.get(&digest).await.unwrap();
            assert_eq!(seen(&rig), [(Kind::GetManifest, 200)], "{dead_token:?}: the new one is kept");
        }
    }
}

#[tokio::test]
async fn k2_a_request_without_the_dead_token_may_be_all_it_takes() {
    let behaviour = Behaviour { dead_token: DeadToken::Unchallenged, ..Behaviour::default() };
    let rig = Rig::start(behaviour).await;
    let digest = rig.put_manifest();
    rig.get(&digest).await.unwrap();
    rig.registry.revoke_tokens();
    // Whoever shows a token is refused, and whoever shows nothing is not.
    let refused = Fault::StatusWith { code: 401, headers: Vec::new(), body: "".into() };
    rig.registry.script(Rule::new(Kind::GetManifest, refused).before_auth().once());
    let found = Fault::StatusWith {
        code: 200,
        headers: vec![("content-type".to_owned(), crate::rig::MANIFEST_TYPE.to_owned())],
        body: r#"{"schemaVersion":2}"#.into(),
    };
    rig.registry.script(Rule::new(Kind::GetManifest, found).before_auth().from_nth(2));
    rig.registry.log().clear();
    rig.get(&digest).await.unwrap();
    let requests = rig.registry.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].credential.is_some() && requests[1].credential.is_none());
}

#[tokio::test]
async fn k2_a_new_token_that_fails_too_ends_it() {
    for dead_token in [DeadToken::Challenged, DeadToken::Unchallenged, DeadToken::Basic, DeadToken::Forbidden]
    {
        let rig = Rig::start(Behaviour { dead_token, ..Behaviour::default() }).await;
        let digest = rig.put_manifest();
        rig.get(&digest).await.unwrap();
        rig.registry.revoke_tokens();
        let status = if dead_token == DeadToken::Forbidden { 403 } else { 401 };
        let refused = Fault::StatusWith { code: status, headers: Vec::new(), body: "".into() };
        rig.registry.script(Rule::new(Kind::GetManifest, refused));
        rig.registry.log().clear();
        for count in [1, 1, 1] {
            let error = rig.get(&digest).await.unwrap_err();
            // Only a challenge shows that it was the registry that gave the answer; the bare request may get
            // one.
            let is_refusal = match dead_token {
                DeadToken::Challenged => error.kind() == ErrorKind::Denied,
                _ => matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unconfirmed),
            };
            assert!(is_refusal && error.status() == Some(status), "{dead_token:?}: {error:?}");
            assert_eq!(rig.registry.log().count(Kind::Token), count, "{dead_token:?}: {:?}", seen(&rig));
        }
        assert!(rig.registry.log().count(Kind::GetManifest) <= 3 + 2 + 2, "{:?}", seen(&rig));
    }
}

#[tokio::test]
async fn k2_a_dead_token_is_renewed_once_for_all_who_used_it() {
    let rig = Rig::start(Behaviour { dead_token: DeadToken::Unchallenged, ..Behaviour::default() }).await;
    let digest = rig.put_manifest();
    rig.get(&digest).await.unwrap();
    rig.registry.revoke_tokens();
    rig.registry.log().clear();
    for got in join_all((0..16).map(|_| rig.get(&digest))).await {
        got.unwrap();
    }
    assert_eq!(rig.registry.log().count(Kind::Token), 1);
}

#[tokio::test]
async fn k2_what_is_held_is_not_given_up_for_a_404_to_a_token_that_died() {
    let rig = Rig::start(Behaviour { dead_token: DeadToken::Absent, ..Behaviour::default() }).await;
    let digest = rig.put_manifest();
    let blob = rig.registry.put_blob(vec![7; 100]);
    for round in 1..=3 {
        rig.get(&digest).await.unwrap();
        rig.registry.revoke_tokens();
        rig.registry.log().clear();
        rig.describe("latest", Stakes::Held).await.unwrap_or_else(|error| panic!("{round}: {error}"));
        assert_eq!(rig.registry.log().count(Kind::Token), 1, "{round}");

        rig.registry.revoke_tokens();
        let (repository, blob) = (repository(), blob.parse().unwrap());
        let head = rig.upstream.head_blob(&repository, &blob, Stakes::Held).await;
        head.unwrap_or_else(|error| panic!("{round}: {error}"));
    }
}

#[tokio::test]
async fn k2_what_is_gone_costs_one_new_token_and_is_believed() {
    let rig = Rig::start(Behaviour::default()).await;
    let digest = rig.put_manifest();
    rig.get(&digest).await.unwrap();
    rig.registry.log().clear();
    let error = rig.describe("gone", Stakes::Held).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(rig.registry.log().count(Kind::Token), 1);
    // Of a tag that is not held nothing is given up.
    rig.get(&digest).await.unwrap();
    rig.registry.log().clear();
    assert_eq!(rig.describe("absent", Stakes::Nothing).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(rig.registry.log().count(Kind::Token), 0);
}

#[tokio::test]
async fn k3_a_403_that_names_a_scope_is_a_challenge() {
    for lacking in [Some(403), None] {
        let scopes = ScopeRules { prefix: "virtual/".to_owned(), lacking, ..ScopeRules::default() };
        let rig = Rig::start(Behaviour { scopes, ..Behaviour::default() }).await;
        let digest = rig.put_manifest();
        let other = "team/two";
        let manifest =
            rig.registry.put_manifest(other, None, crate::rig::MANIFEST_TYPE, r#"{"schemaVersion":2}"#);
        rig.get(&digest).await.unwrap();
        let reference = crate::rig::parse(&manifest);
        for count in [2, 2, 2] {
            // The first scope for this repository is guessed, and the guess is wrong.
            rig.upstream.get_manifest(&other.parse().unwrap(), &reference).await.unwrap();
            let scope = "scope=repository%3Avirtual%2Fteam%2Ftwo%3Apull";
            let fetched = rig.registry.log().count_where(|request| request.target.contains(scope));
            assert_eq!(fetched, 1, "{lacking:?}");
            let guessed = rig.registry.log().count_where(|request| request.target.contains("two%3Apull"));
            assert_eq!(guessed, count, "{lacking:?}");
        }
        assert_eq!(rig.registry.log().count_where(|request| request.status.is_some_and(|it| it >= 400)), 2);
    }
}

#[tokio::test]
async fn k3_scopes_that_do_not_help_are_tried_once_each_and_fetched_once_in_all() {
    let scopes = ScopeRules { lacking: Some(403), ..ScopeRules::default() };
    let rig = Rig::start(Behaviour { scopes, ..Behaviour::default() }).await;
    rig.put_manifest();
    rig.get("latest").await.unwrap();
    // A token for the one scope is told to be one for the other, and the reverse.
    let lacking = |scope: &str| {
        let realm = rig.registry.url_of(Endpoint::Token);
        let challenge = format!(
            "Bearer realm=\"{realm}/token\",service=\"fake.registry\",scope=\"{scope}\",error=\"insufficient_scope\""
        );
        let headers = vec![("www-authenticate".to_owned(), challenge)];
        Fault::StatusWith { code: 403, headers, body: "".into() }
    };
    rig.registry.script(Rule::new(Kind::GetManifest, lacking("repository:secret/one:pull")));
    rig.registry.log().clear();
    for _ in 0..20 {
        let error = rig.get("latest").await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Denied, Some(403)));
    }
    assert_eq!(rig.registry.log().count(Kind::Token), 1);
    assert_eq!(rig.registry.log().count(Kind::GetManifest), 40);
}

#[tokio::test]
async fn k4_what_a_list_needs_is_asked_for_and_pulls_stay_as_they_were() {
    let scopes = ScopeRules { list_action: "metadata_read".to_owned(), ..ScopeRules::default() };
    let rig = Rig::start(Behaviour { scopes, ..Behaviour::default() }).await;
    let digest = rig.put_manifest();
    for _ in 0..3 {
        tags(&rig.upstream).await.unwrap();
        rig.get(&digest).await.unwrap();
        tags(&rig.upstream).await.unwrap();
        rig.head("latest").await.unwrap();
    }
    let log = rig.registry.log();
    assert_eq!(log.count(Kind::Token), 2, "{:?}", seen(&rig));
    // The list was challenged, and the first pull was not: that its scope is another's is known by then.
    assert_eq!(log.count_where(|request| request.status == Some(401)), 1, "{:?}", seen(&rig));
    let targets = rig.registry.requests();
    let scopes = targets.iter().filter(|request| request.kind == Kind::Token);
    let scopes: Vec<_> =
        scopes.filter_map(|request| request.target.rsplit_once("%3A")).map(|it| it.1).collect();
    assert_eq!(scopes, ["metadata_read", "pull"]);
}

#[tokio::test]
async fn k6_a_login_is_used_before_absence_is_believed() {
    for auth in [Auth::basic("robot", "word"), Auth::bearer("robot", "word")] {
        for status in [404, 403, 401, 410] {
            let behaviour = Behaviour { hidden: Some(status), ..with_login(auth.clone()) };
            let rig = Rig::start_with(behaviour, login("word")).await;
            let digest = rig.put_manifest();
            let blob = rig.registry.put_blob(bytes(100));
            rig.get(&digest).await.unwrap_or_else(|error| panic!("{auth:?} {status}: {error}"));
            rig.head("latest").await.unwrap();
            assert_eq!(read(rig.blob(&blob, BlobRange::Whole).await.unwrap()).await.0, bytes(100));
            tags(&rig.upstream).await.unwrap();
            let log = rig.registry.log();
            assert_eq!(log.count(Kind::Version), 1, "its word is remembered");
            let bare = log.count_where(|it| it.credential.is_none() && it.endpoint == Endpoint::Registry);
            assert_eq!(bare, 2, "the first request and the root");
        }
    }
}

#[tokio::test]
async fn k6_what_is_not_there_costs_one_request_once_the_login_is_known_to_be_wanted() {
    for auth in [Auth::basic("robot", "word"), Auth::bearer("robot", "word"), Auth::Anonymous] {
        let behaviour = Behaviour { hidden: Some(404), ..with_login(auth.clone()) };
        let rig = Rig::start_with(behaviour, login("word")).await;
        rig.put_manifest();
        for _ in 0..20 {
            assert_eq!(rig.head("none").await.unwrap_err().kind(), ErrorKind::NotFound, "{auth:?}");
        }
        let log = rig.registry.log();
        assert_eq!(log.count(Kind::HeadManifest), 21, "{auth:?}");
        assert_eq!(log.count(Kind::Version), 1, "{auth:?}");
    }
}

#[tokio::test]
async fn k6_without_a_login_nothing_is_asked_twice() {
    let behaviour = Behaviour { hidden: Some(404), ..with_login(Auth::basic("robot", "word")) };
    let rig = Rig::start(behaviour).await;
    rig.put_manifest();
    assert_eq!(rig.get("latest").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(seen(&rig), [(Kind::GetManifest, 404)]);
}

#[tokio::test]
async fn k6_a_registry_that_challenges_is_never_asked_at_its_root() {
    for auth in [Auth::basic("robot", "word"), Auth::bearer("robot", "word")] {
        let rig = Rig::start_with(with_login(auth), login("word")).await;
        rig.put_manifest();
        rig.get("latest").await.unwrap();
        assert_eq!(rig.get("none").await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(rig.registry.log().count(Kind::Version), 0);
        assert_eq!(rig.registry.log().count_at(Endpoint::Registry, Kind::GetManifest), 3);
    }
}

#[tokio::test]
async fn k6_a_root_that_cannot_be_asked_is_no_absence() {
    let behaviour = Behaviour { hidden: Some(404), ..with_login(Auth::basic("robot", "word")) };
    let rig = Rig::start_with(behaviour, login("word")).await;
    rig.put_manifest();
    for fault in [Fault::Status(502), Fault::Close] {
        let rule = rig.registry.script(Rule::new(Kind::Version, fault).before_auth());
        assert_eq!(rig.get("latest").await.unwrap_err().kind(), ErrorKind::Unreachable);
        rule.remove();
    }
    rig.get("latest").await.unwrap();
}

#[tokio::test]
async fn k6_a_login_that_is_wrong_is_told_as_that() {
    for auth in [Auth::basic("robot", "word"), Auth::bearer("robot", "word")] {
        let behaviour = Behaviour { hidden: Some(404), ..with_login(auth.clone()) };
        let rig = Rig::start_with(behaviour, login("wrong")).await;
        rig.put_manifest();
        for _ in 0..3 {
            let error = rig.get("latest").await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (ErrorKind::Denied, Some(401)), "{auth:?}: {error}");
            assert!(error.to_string().contains("the configured credentials"), "{error}");
        }
    }
}

#[tokio::test]
async fn k5_a_token_service_that_redirects_is_followed() {
    for code in [301, 302, 303, 307, 308] {
        let auth = Auth::bearer("robot", "word");
        let rig = Rig::start_with(with_login(auth), login("word")).await;
        rig.put_manifest();
        let headers = vec![("location".to_owned(), "/token/".to_owned())];
        let moved = Fault::StatusWith { code, headers, body: "".into() };
        rig.registry.script(Rule::new(Kind::Token, moved).before_auth().once());
        rig.get("latest").await.unwrap_or_else(|error| panic!("{code}: {error}"));
        let requests = rig.registry.requests();
        let tokens: Vec<_> = requests.iter().filter(|request| request.kind == Kind::Token).collect();
        let query = "service=fake.registry&scope=repository%3Alibrary%2Falpine%3Apull";
        let targets: Vec<_> = tokens.iter().map(|request| request.target.as_str()).collect();
        assert_eq!(targets, [format!("/token?{query}"), format!("/token/?{query}")], "{code}");
        let word = Credential::Basic { user: "robot".to_owned(), password: "word".to_owned() };
        assert!(tokens.iter().all(|request| request.credential.as_ref() == Some(&word)), "{code}");
    }
}

#[tokio::test]
async fn k5_the_login_goes_along_on_the_same_origin_only() {
    let auth = Auth::Bearer { credentials: Some(("robot".to_owned(), "word".to_owned())), anonymous: true };
    let rig = Rig::start_with(with_login(auth), login("word")).await;
    let digest = rig.put_manifest();
    let (token, cdn) = (rig.registry.url_of(Endpoint::Token), rig.registry.url_of(Endpoint::Cdn));
    // To another port of the same host, and back again.
    rig.registry
        .script(Rule::new(Kind::Token, Fault::RedirectTo(format!("{cdn}/some/where"))).before_auth().once());
    let back =
        Fault::RedirectTo(format!("{token}/token/?service=fake.registry&scope=repository:{REPOSITORY}:pull"));
    rig.registry.script(Rule::new(Kind::GetBlob, back).at(Endpoint::Cdn).before_auth().once());
    rig.get(&digest).await.unwrap();
    let requests = rig.registry.requests();
    let shown: Vec<_> = requests
        .iter()
        .filter(|request| request.endpoint != Endpoint::Registry)
        .map(|request| (request.endpoint, request.credential.is_some()))
        .collect();
    assert_eq!(shown, [(Endpoint::Token, true), (Endpoint::Cdn, false), (Endpoint::Token, false)]);
    assert_eq!(rig.registry.log().refused_credentials(), 0);
}

#[tokio::test]
async fn k5_redirects_of_a_token_service_are_bounded() {
    let rig = Rig::start(Behaviour::default()).await;
    rig.put_manifest();
    for (nth, step) in (1..=9).zip(["a", "b", "c", "d", "e", "f", "g", "h", "i"]) {
        let next = format!("{}/token?step={step}", rig.registry.url_of(Endpoint::Token));
        rig.registry.script(Rule::new(Kind::Token, Fault::RedirectTo(next)).from_nth(nth).once());
    }
    let error = rig.get("latest").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(rig.registry.log().count(Kind::Token), 4);
}

#[tokio::test]
async fn t23_fifty_requests_with_a_wrong_password_are_not_fifty_failed_logins() {
    for auth in [Auth::bearer("robot", "word"), Auth::basic("robot", "word")] {
        let rig = Rig::start_with(with_login(auth.clone()), login("wrong")).await;
        rig.put_manifest();
        let names: Vec<_> = (0..25).map(|number| format!("team/n{number}").parse().unwrap()).collect();
        let latest = crate::rig::parse("latest");
        for got in join_all(names.iter().map(|name| rig.upstream.get_manifest(name, &latest))).await {
            assert_eq!(got.unwrap_err().kind(), ErrorKind::Denied);
        }
        for name in &names {
            let error = rig.upstream.get_manifest(name, &latest).await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (ErrorKind::Denied, Some(401)));
            assert!(error.to_string().contains("the configured credentials were refused"), "{error}");
        }
        let is_login = |credential: &Option<Credential>| matches!(credential, Some(Credential::Basic { .. }));
        let failed = rig.registry.log().count_where(|request| is_login(&request.credential));
        assert!((1..=4).contains(&failed), "{auth:?}: {failed}");
    }
}

#[tokio::test]
async fn t23_what_is_public_stays_reachable_with_a_wrong_password() {
    for auth in [Auth::bearer("robot", "word"), Auth::basic("robot", "word")] {
        let rig = Rig::start_with(with_login(auth.clone()), login("wrong")).await;
        let digest = rig.put_manifest();
        for _ in 0..2 {
            assert_eq!(rig.get(&digest).await.unwrap_err().kind(), ErrorKind::Denied, "{auth:?}");
        }
        rig.registry.change(|behaviour| behaviour.auth = Auth::Anonymous);
        rig.get(&digest).await.unwrap();
    }
}

#[tokio::test]
async fn t23_a_repository_that_the_account_may_not_read_locks_nothing_else_out() {
    for auth in [Auth::bearer("robot", "word"), Auth::basic("robot", "word")] {
        let rig = Rig::start_with(with_login(auth.clone()), login("word")).await;
        let digest = rig.put_manifest();
        let other = "team/secret".parse().unwrap();
        rig.registry.script(Rule::new(Kind::GetManifest, Fault::Status(401)).repository("team/secret"));
        let refused = Fault::Status(401);
        let token = Rule::new(Kind::Token, refused).before_auth();
        for _ in 0..10 {
            let rule = rig.registry.script(token.clone().once());
            let got = rig.upstream.get_manifest(&other, &crate::rig::parse("latest")).await;
            assert_eq!(got.unwrap_err().kind(), ErrorKind::Denied, "{auth:?}");
            rule.remove();
            rig.get(&digest).await.unwrap();
        }
    }
}

#[tokio::test]
async fn t23_a_scope_that_is_not_enough_is_no_reason_to_fetch_a_token() {
    let scopes = ScopeRules { lacking: Some(401), ..ScopeRules::default() };
    let rig = Rig::start(Behaviour { scopes, ..Behaviour::default() }).await;
    rig.put_manifest();
    let realm = rig.registry.url_of(Endpoint::Token);
    for status in [401, 403] {
        let challenge = format!(
            "Bearer realm=\"{realm}/token\",service=\"fake.registry\",scope=\"repository:{REPOSITORY}:pull\",error=\"insufficient_scope\""
        );
        let headers = vec![("www-authenticate".to_owned(), challenge)];
        let refused = Fault::StatusWith { code: status, headers, body: "".into() };
        let rules = [Kind::HeadManifest, Kind::GetManifest]
            .map(|kind| rig.registry.script(Rule::new(kind, refused.clone())));
        rig.registry.log().clear();
        for _ in 0..50 {
            let error = rig.head("latest").await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (ErrorKind::Denied, Some(status)));
        }
        let log = rig.registry.log();
        assert!(log.count(Kind::Token) <= 1 && log.count(Kind::HeadManifest) <= 51, "{:?}", seen(&rig));
        assert!(log.count(Kind::GetManifest) <= 2, "{:?}", seen(&rig));
        rules.into_iter().for_each(testkit::Scripted::remove);
    }
}

#[tokio::test]
async fn k5_a_realm_that_says_http_on_the_registrys_own_host_is_asked_by_https() {
    let behaviour = with_login(Auth::bearer("robot", "word"));
    let registry = FakeRegistry::start_tls(behaviour, Tls::default()).await;
    let realm = format!("{}/token", registry.url_of(Endpoint::Token)).replace("https://", "http://");
    registry.change(|behaviour| behaviour.realm = Some(realm));
    let pem = registry.authority().unwrap().pem();
    let rig = Rig::before(registry, |settings| {
        settings.ca = vec![pem.into_bytes()];
        login("word")(settings);
    });
    rig.put_manifest();
    rig.get("latest").await.unwrap();
    assert_eq!(rig.registry.log().credentials(Endpoint::Token).len(), 1);
}
