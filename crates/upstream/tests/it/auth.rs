//! Tokens and credentials in everyday use.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use telemetry::Metrics;
use testkit::{Auth, Behaviour, Credential, Door, Endpoint, FakeRegistry, Fault, Kind, Rule};
use upstream::{Authorities, ErrorKind, HttpUpstream, Settings, Upstream};

use crate::rig::{REPOSITORY, Rig, parse, repository, settings};

fn with_credentials(password: &str) -> impl FnOnce(&mut Settings) {
    let credentials = credentials::Settings::password("robot", password);
    move |settings| settings.credentials = credentials
}

fn private() -> Behaviour {
    Behaviour { auth: Auth::bearer("robot", "word"), ..Behaviour::default() }
}

#[tokio::test]
async fn credentials_get_a_token_and_go_nowhere_else() {
    let rig = Rig::start_with(private(), with_credentials("word")).await;
    rig.put_manifest();
    rig.get("latest").await.unwrap();
    let word = Credential::Basic { user: "robot".to_owned(), password: "word".to_owned() };
    assert_eq!(rig.registry.log().credentials(Endpoint::Token), [word]);
    let at_registry = rig.registry.log().credentials(Endpoint::Registry);
    assert!(at_registry.iter().all(|seen| matches!(seen, Credential::Bearer(_))), "{at_registry:?}");
}

#[tokio::test]
async fn f12_a_refusal_says_what_the_operator_can_do() {
    let refused = Rig::start_with(private(), with_credentials("wrong")).await;
    refused.put_manifest();
    let error = refused.get("latest").await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Denied, Some(401)));
    assert_eq!(error.host(), refused.registry.host_of(Endpoint::Token));
    assert!(error.to_string().contains("the configured credentials were refused"), "{error}");

    let without = Rig::start(private()).await;
    without.put_manifest();
    let error = without.get("latest").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("without credentials"), "{error}");

    let basic = Behaviour { auth: Auth::basic("robot", "word"), ..Behaviour::default() };
    let none = Rig::start(basic.clone()).await;
    let error = none.get("latest").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("no credentials are configured"), "{error}");
    assert_eq!(none.registry.requests().len(), 1);

    let wrong = Rig::start_with(basic, with_credentials("wrong")).await;
    let error = wrong.get("latest").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("the configured credentials give no access"), "{error}");
    assert_eq!(wrong.registry.requests().len(), 2, "the same password is not tried twice");
}

#[tokio::test]
async fn f12_a_repository_that_a_token_does_not_open_is_denied_after_one_token() {
    let rig = Rig::start(Behaviour::default()).await;
    rig.put_manifest();
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::StatusWith {
        code: 401,
        headers: vec![(
            "www-authenticate".to_owned(),
            format!(
                "Bearer realm=\"{}/token\",service=\"fake.registry\",scope=\"repository:{REPOSITORY}:pull\",error=\"insufficient_scope\"",
                rig.registry.url_of(Endpoint::Token)
            ),
        )],
        body: "".into(),
    }));
    let error = rig.get("latest").await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Denied, Some(401)));
    assert_eq!(rig.registry.log().count(Kind::Token), 1);
    assert_eq!(rig.registry.log().count(Kind::GetManifest), 2);
}

#[tokio::test]
async fn f12_no_token_is_fetched_that_no_request_brings_along() {
    let rig = Rig::start(Behaviour::default()).await;
    rig.put_manifest();
    // A registry that asks for another scope each time is never content.
    for (nth, scope) in [(1, "one"), (2, "two"), (3, "three"), (4, "four")] {
        let challenge = format!(
            "Bearer realm=\"{}/token\",service=\"fake.registry\",scope=\"repository:{scope}:pull\"",
            rig.registry.url_of(Endpoint::Token)
        );
        let refused = Fault::StatusWith {
            code: 401,
            headers: vec![("www-authenticate".to_owned(), challenge)],
            body: "".into(),
        };
        rig.registry.script(Rule::new(Kind::GetManifest, refused).before_auth().from_nth(nth));
    }
    let error = rig.get("latest").await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Denied, Some(401)));
    let log = rig.registry.log();
    assert_eq!((log.count(Kind::GetManifest), log.count(Kind::Token)), (3, 2));
}

#[tokio::test]
async fn f11_a_token_that_is_refused_is_renewed_once_for_all_who_used_it() {
    let rig = Rig::start(Behaviour::default()).await;
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
async fn f11_the_lifetime_that_a_token_service_tells_may_be_senseless() {
    let told = [json!(0), json!(-1), json!(1e12), json!("soon"), json!([]), json!("300")].map(Some);
    for expires_in in told.into_iter().chain([None::<Value>]) {
        let rig = Rig::start(Behaviour { expires_in: expires_in.clone(), ..Behaviour::default() }).await;
        let digest = rig.put_manifest();
        for _ in 0..5 {
            rig.get(&digest).await.unwrap();
        }
        assert_eq!(rig.registry.log().count(Kind::Token), 1, "{expires_in:?}");
    }
}

#[tokio::test]
async fn f11_a_token_that_ends_earlier_than_told_costs_nothing_but_a_renewal() {
    let told = Some(json!(1_000_000_000_000_u64));
    let rig = Rig::start(Behaviour { expires_in: told, ..Behaviour::default() }).await;
    let digest = rig.put_manifest();
    for _ in 0..3 {
        rig.get(&digest).await.unwrap();
        rig.registry.revoke_tokens();
    }
    assert_eq!(rig.registry.log().count(Kind::Token), 3);
}

#[tokio::test]
async fn f11_answers_without_a_token_are_invalid() {
    let page = vec![("content-type".to_owned(), "text/html".to_owned())];
    let faults = [
        Fault::HtmlPortal,
        Fault::Body("{}".into()),
        Fault::Body("\u{feff}{".into()),
        Fault::Body(format!("{{\"token\":\"t\",\"pad\":\"{}\"}}", "x".repeat(70_000)).into()),
        Fault::StatusWith { code: 200, headers: page, body: r#"{"token":"t"}"#.into() },
        Fault::Status(404),
        Fault::RedirectLoop,
    ];
    for fault in faults {
        let rig = Rig::start(Behaviour::default()).await;
        rig.put_manifest();
        let what = format!("{fault:?}").chars().take(60).collect::<String>();
        rig.registry.script(Rule::new(Kind::Token, fault));
        let error = rig.get("latest").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}");
        assert_eq!(error.host(), rig.registry.host_of(Endpoint::Token), "{what}");
        assert_eq!(rig.registry.log().count(Kind::Token), 1, "{what}");
    }
}

#[tokio::test]
async fn f11_a_dead_token_service_does_not_open_the_registrys_breaker() {
    let rig = Rig::start(Behaviour::default()).await;
    rig.put_manifest();
    rig.registry.set_door(Endpoint::Token, Door::Refuse).await;
    for _ in 0..4 {
        let error = rig.get("latest").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Resting), "{error:?}");
        assert_eq!(error.host(), rig.registry.host_of(Endpoint::Token));
    }
    assert_eq!(rig.sample("wharf_upstream_breaker_state{registry=\"fake\"}"), Some(0));
    let error = rig.get("latest").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resting, "the token service has a breaker of its own: {error}");
}

#[tokio::test]
async fn f11_a_token_service_that_throttles_is_left_alone() {
    let rig = Rig::start(Behaviour::default()).await;
    rig.put_manifest();
    rig.registry.script(Rule::new(Kind::Token, Fault::Status(429)));
    for _ in 0..5 {
        assert_eq!(rig.get("latest").await.unwrap_err().kind(), ErrorKind::Throttled);
    }
    assert_eq!(rig.registry.log().count(Kind::Token), 1);
}

#[tokio::test]
async fn f11_a_slow_token_service_is_not_waited_for_longer_than_allowed() {
    let rig = Rig::start_with(Behaviour::default(), |settings| {
        settings.header_timeout = Duration::from_millis(300);
    })
    .await;
    rig.put_manifest();
    rig.registry.script(Rule::new(Kind::Token, Fault::Stall(testkit::Gate::new())));
    let errors = join_all((0..8).map(|_| rig.get("latest"))).await;
    assert!(errors.into_iter().all(|got| got.unwrap_err().kind() == ErrorKind::TimedOut));
}

#[tokio::test]
async fn s36_two_upstreams_share_no_token() {
    let registry = FakeRegistry::start().await;
    let digest = registry.put_manifest(REPOSITORY, None, "application/json", "{}");
    let metrics = Metrics::new(&["one".to_owned(), "two".to_owned()]);
    let authorities = Authorities::load();
    for name in ["one", "two"] {
        let settings = Settings { name: name.to_owned(), ..settings(&registry) };
        let upstream = HttpUpstream::new(settings, &authorities, metrics.registry(name)).unwrap();
        upstream.get_manifest(&repository(), &parse(&digest)).await.unwrap();
    }
    let tokens = registry.log().credentials(Endpoint::Registry);
    assert_eq!(tokens.len(), 2);
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(registry.log().connections(Endpoint::Registry), 2, "nor a connection");
}

#[tokio::test]
async fn a_token_service_that_gives_nothing_does_not_matter_where_none_is_needed() {
    let rig = Rig::start(private()).await;
    rig.put_manifest();
    assert_eq!(rig.get("latest").await.unwrap_err().kind(), ErrorKind::Denied);
    rig.registry.change(|behaviour| behaviour.auth = Auth::Anonymous);
    for status in [401, 404] {
        rig.registry.script(Rule::new(Kind::Token, Fault::Status(status)));
        rig.get("latest").await.unwrap();
    }
}

#[tokio::test]
async fn a_registry_may_move_to_another_token_service() {
    let rig = Rig::start(Behaviour::default()).await;
    rig.put_manifest();
    rig.get("latest").await.unwrap();
    let moved = format!("{}/token?moved=yes", rig.registry.url_of(Endpoint::Token));
    rig.registry.change(|behaviour| behaviour.realm = Some(moved));
    rig.registry.revoke_tokens();
    rig.get("latest").await.unwrap();
    let requests = rig.registry.requests();
    let token_requests = requests.iter().filter(|request| request.kind == Kind::Token);
    let targets: Vec<_> = token_requests.map(|request| request.target.as_str()).collect();
    let query = "service=fake.registry&scope=repository%3Alibrary%2Falpine%3Apull";
    assert_eq!(targets, [format!("/token?{query}"), format!("/token?moved=yes&{query}")]);
}
