use std::time::Duration;

use serde_json::{Value, json};

use super::{REPOSITORY, ask, get, manifest};
use crate::client::Response;
use crate::{Auth, Behaviour, Credential, Endpoint, FakeRegistry, Kind};

async fn with_bearer(registry: &FakeRegistry, target: &str, token: &str) -> Response {
    let headers = [("authorization", &*format!("Bearer {token}"))];
    ask(registry, Endpoint::Registry, "GET", target, &headers).await.unwrap()
}

/// Requests a token as the challenge says, with or without a `Basic` credential.
async fn token_answer(registry: &FakeRegistry, basic: Option<&str>) -> Response {
    let challenge = get(registry, &manifest("x")).await;
    assert_eq!(challenge.status, 401);
    let header = challenge.header("www-authenticate").unwrap().to_owned();
    let part = |name: &str| {
        let (_, rest) = header.split_once(&format!("{name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    assert_eq!(part("Bearer realm"), format!("{}/token", registry.url_of(Endpoint::Token)));
    assert_eq!(part("scope"), format!("repository:{REPOSITORY}:pull"));
    let target = format!("/token?service={}&scope={}", part("service"), part("scope"));
    let headers: Vec<_> = basic.map(|value| ("authorization", value)).into_iter().collect();
    ask(registry, Endpoint::Token, "GET", &target, &headers).await.unwrap()
}

fn token_in(answer: &Response) -> String {
    assert_eq!(answer.status, 200);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["token"], body["access_token"]);
    body["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_anonymous_token_opens_its_repository_and_no_other() {
    let registry = FakeRegistry::start().await;
    registry.put_manifest(REPOSITORY, Some("x"), "text/plain", "{}");
    registry.put_manifest("library/thing2", Some("x"), "text/plain", "{}");
    let answer = token_answer(&registry, None).await;
    assert!(answer.text().contains("\"expires_in\":300"));
    let token = token_in(&answer);
    assert_eq!(with_bearer(&registry, &manifest("x"), &token).await.status, 200);
    assert_eq!(with_bearer(&registry, "/v2/", &token).await.status, 200);
    let other = with_bearer(&registry, "/v2/library/thing2/manifests/x", &token).await;
    assert_eq!(other.status, 401);
    assert!(other.header("www-authenticate").unwrap().contains("scope=\"repository:library/thing2:pull\""));
    assert!(other.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    assert_eq!(registry.log().count(Kind::Token), 1);
    assert_eq!(registry.log().credentials(Endpoint::Token), []);
    assert_eq!(registry.log().credentials(Endpoint::Registry), vec![Credential::Bearer(token); 3]);
}

#[tokio::test]
async fn tokens_end_when_revoked_or_when_their_time_is_over() {
    let registry = FakeRegistry::start().await;
    registry.put_manifest(REPOSITORY, Some("x"), "text/plain", "{}");
    let token = token_in(&token_answer(&registry, None).await);
    registry.revoke_tokens();
    assert_eq!(with_bearer(&registry, &manifest("x"), &token).await.status, 401);
    registry.change(|behaviour| behaviour.token_lifetime = Some(Duration::from_secs(60)));
    let token = token_in(&token_answer(&registry, None).await);
    assert_eq!(with_bearer(&registry, &manifest("x"), &token).await.status, 200);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    assert_eq!(with_bearer(&registry, &manifest("x"), &token).await.status, 401);
}

#[tokio::test]
async fn only_the_right_credentials_get_a_token() {
    let registry =
        FakeRegistry::start_with(Behaviour { auth: Auth::bearer("me", "secret"), ..Behaviour::default() })
            .await;
    registry.put_manifest(REPOSITORY, Some("x"), "text/plain", "{}");
    assert_eq!(token_answer(&registry, None).await.status, 401);
    // "me:wrong", then "me:secret".
    assert_eq!(token_answer(&registry, Some("Basic bWU6d3Jvbmc=")).await.status, 401);
    let token = token_in(&token_answer(&registry, Some("Basic bWU6c2VjcmV0")).await);
    assert_eq!(with_bearer(&registry, &manifest("x"), &token).await.status, 200);
    let seen = registry.log().credentials(Endpoint::Token);
    let of_me = |password: &str| Credential::Basic { user: "me".into(), password: password.into() };
    assert_eq!(seen, [of_me("wrong"), of_me("secret")]);
    let credentials = Some(("me".to_owned(), "secret".to_owned()));
    registry.change(|behaviour| behaviour.auth = Auth::Bearer { credentials, anonymous: true });
    assert_eq!(token_answer(&registry, None).await.status, 200);
    assert_eq!(token_answer(&registry, Some("Basic bWU6d3Jvbmc=")).await.status, 401);
}

#[tokio::test]
async fn basic_authentication_is_asked_for_with_each_request() {
    let registry =
        FakeRegistry::start_with(Behaviour { auth: Auth::basic("me", "secret"), ..Behaviour::default() })
            .await;
    let challenge = get(&registry, "/v2/").await;
    assert_eq!(
        (challenge.status, challenge.header("www-authenticate")),
        (401, Some("Basic realm=\"fake.registry\""))
    );
    let wrong = [("authorization", "Basic bWU6d3Jvbmc=")];
    assert_eq!(ask(&registry, Endpoint::Registry, "GET", "/v2/", &wrong).await.unwrap().status, 401);
    let right = [("authorization", "Basic bWU6c2VjcmV0")];
    assert_eq!(ask(&registry, Endpoint::Registry, "GET", "/v2/", &right).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_token_response_is_configurable() {
    let registry = FakeRegistry::start().await;
    for expires_in in [json!(0), json!(-1), json!(1e12), json!("soon"), json!(null)] {
        registry.change(|behaviour| behaviour.expires_in = Some(expires_in.clone()));
        let answer = token_answer(&registry, None).await;
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["expires_in"], expires_in);
    }
    registry.change(|behaviour| behaviour.expires_in = None);
    assert!(!token_answer(&registry, None).await.text().contains("expires_in"));
    registry.change(|behaviour| behaviour.realm = Some("http://elsewhere.example/t".to_owned()));
    let challenge = get(&registry, "/v2/").await;
    let header = challenge.header("www-authenticate").unwrap();
    assert!(header.starts_with("Bearer realm=\"http://elsewhere.example/t\",service="), "{header}");
}

#[tokio::test]
async fn tokens_of_two_registries_differ() {
    let (one, two) = (FakeRegistry::start().await, FakeRegistry::start().await);
    assert_ne!(token_in(&token_answer(&one, None).await), token_in(&token_answer(&two, None).await));
}
