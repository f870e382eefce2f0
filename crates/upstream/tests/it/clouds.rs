//! Logins of clouds, from stand-ins for their token services to a registry, over HTTP.

use credentials::{AzureSettings, EcrSettings, GoogleSettings, Rule, SourceSettings, Variables};
use serde_json::json;
use testkit::{Auth, Behaviour, Credential, Endpoint, StandIn, StandInRequest};
use upstream::{ErrorKind, Upstream};

use crate::rig::Rig;

/// The variables by which the clouds' own tools find stand-ins.
fn variables(pairs: &[(&str, &str)]) -> Variables {
    Variables::of(pairs.iter().map(|(name, _)| *name), |asked| {
        pairs.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
    })
}

async fn rig(user: &str, password: &str, source: SourceSettings) -> Rig {
    let behaviour = Behaviour { auth: Auth::basic(user, password), ..Behaviour::default() };
    Rig::start_with(behaviour, |settings| {
        settings.credentials.rules = vec![Rule { pattern: None, source }];
    })
    .await
}

/// Instance metadata and the API of ECR at one address.
fn amazon(request: &StandInRequest) -> (u16, String) {
    let roles = "/latest/meta-data/iam/security-credentials/";
    match (request.method.as_str(), request.target.as_str()) {
        ("PUT", "/latest/api/token") => (200, "session".to_owned()),
        ("GET", path) if path == roles => (200, "node".to_owned()),
        ("GET", path) if path.starts_with(roles) => {
            let keys = json!({ "AccessKeyId": "ASIA1", "SecretAccessKey": "canary-key", "Token": "canary-session",
                "Expiration": "2099-01-01T00:00:00Z" });
            (200, keys.to_string())
        }
        ("POST", "/")
            if request.field("authorization").is_some_and(|it| it.starts_with("AWS4-HMAC-SHA256 ")) =>
        {
            // base64 of AWS:canary-word
            let data =
                json!([{ "authorizationToken": "QVdTOmNhbmFyeS13b3Jk", "expiresAt": 4_070_908_800_u64 }]);
            (200, json!({ "authorizationData": data }).to_string())
        }
        _ => (403, r#"{"__type":"AccessDeniedException","message":"canary"}"#.to_owned()),
    }
}

#[tokio::test]
async fn s28_a_pull_from_ecr_with_an_instances_role_shows_no_secret() {
    let service = StandIn::start(amazon).await;
    let settings = EcrSettings {
        region: Some("eu-west-1".to_owned()),
        endpoint: Some(service.url().parse().unwrap()),
        variables: variables(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &service.url())]),
        ..EcrSettings::default()
    };
    let rig = rig("AWS", "canary-word", SourceSettings::Ecr(settings)).await;
    rig.put_manifest();
    rig.get("latest").await.unwrap();
    rig.get("latest").await.unwrap();
    assert_eq!(service.asked().len(), 4, "the login is kept");
    let sent = rig.registry.log().credentials(Endpoint::Registry);
    let word = Credential::Basic { user: "AWS".to_owned(), password: "canary-word".to_owned() };
    assert!(sent.iter().all(|sent| *sent == word) && !sent.is_empty());
    let printed = format!("{:?} {:?} {}", rig.upstream, rig.upstream.logins(), rig.metrics.encode());
    assert!(!printed.contains("canary"), "{printed}");
}

#[tokio::test]
async fn a_cloud_that_refuses_says_so_and_the_registry_is_not_asked() {
    let service = StandIn::start(|_| (403, r#"{"__type":"AccessDeniedException"}"#.to_owned())).await;
    let settings = EcrSettings {
        region: Some("eu-west-1".to_owned()),
        endpoint: Some(service.url().parse().unwrap()),
        variables: variables(&[("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "canary-word")]),
        ..EcrSettings::default()
    };
    let rig = rig("AWS", "word", SourceSettings::Ecr(settings)).await;
    rig.put_manifest();
    let error = rig.get("latest").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(
        error.to_string().contains("credential source ecr got 403 (AccessDeniedException) from"),
        "{error}"
    );
    assert!(rig.registry.requests().is_empty());
}

#[tokio::test]
async fn a_pull_from_google_uses_the_metadata_servers_token() {
    let service = StandIn::start(|request| {
        let path = "/computeMetadata/v1/instance/service-accounts/default/token";
        match request.target == path && request.field("metadata-flavor") == Some("Google") {
            true => (200, r#"{"access_token":"word","expires_in":3599}"#.to_owned()),
            false => (404, String::new()),
        }
    })
    .await;
    let url = service.url();
    let host = url.strip_prefix("http://").unwrap();
    let settings =
        GoogleSettings { variables: variables(&[("GCE_METADATA_HOST", host)]), ..GoogleSettings::default() };
    let rig = rig("oauth2accesstoken", "word", SourceSettings::Google(settings)).await;
    rig.put_manifest();
    rig.get("latest").await.unwrap();
    assert_eq!(service.asked().len(), 1);
}

/// The exchange happens at the registry itself, which the stand-in is here.
#[tokio::test]
async fn a_managed_identity_of_azure_is_exchanged_at_the_registry() {
    let service = StandIn::start(|request| match request.target.as_str() {
        "/oauth2/exchange" if request.body.contains("access_token=access-word") => {
            (200, r#"{"refresh_token":"refresh-word"}"#.to_owned())
        }
        path if path.starts_with("/metadata/identity/oauth2/token?") => {
            (200, r#"{"access_token":"access-word"}"#.to_owned())
        }
        "/v2/library/alpine/manifests/latest" => match request.field("authorization") {
            Some(_) => (200, r#"{"schemaVersion":2}"#.to_owned()),
            None => (404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#.to_owned()),
        },
        _ => (200, "{}".to_owned()),
    })
    .await;
    let settings = AzureSettings {
        variables: variables(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &service.url())]),
        ..AzureSettings::default()
    };
    let rig = Rig::start_with(Behaviour::default(), |all| {
        all.upstream = service.url().parse().unwrap();
        all.credentials.rules = vec![Rule { pattern: None, source: SourceSettings::Azure(settings) }];
    })
    .await;
    rig.get("latest").await.unwrap();
    let paths: Vec<String> = service.asked().into_iter().map(|request| request.target).collect();
    assert!(paths.iter().any(|path| path == "/oauth2/exchange"), "{paths:?}");
}
