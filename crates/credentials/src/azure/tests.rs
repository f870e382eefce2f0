use serde_json::json;

use super::*;
use crate::http::fake::{FakeHttp, Received};

fn variables(pairs: &[(&str, &str)]) -> Variables {
    Variables::of(pairs.iter().map(|(name, _)| *name), |asked| {
        pairs.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
    })
}

/// A refresh token that ends at this time, as the registry writes it.
fn refresh_token(end: u64) -> String {
    let claims = URL_SAFE_NO_PAD.encode(json!({ "exp": end, "aud": "corp.azurecr.io" }).to_string());
    format!("head.{claims}.signature")
}

fn answer(request: &Received) -> (u16, String) {
    match request.url.ends_with("/oauth2/exchange") {
        true => (200, json!({ "refresh_token": refresh_token(4_070_908_800) }).to_string()),
        false => (200, json!({ "access_token": "access-word", "expires_in": 3599 }).to_string()),
    }
}

fn rig(
    settings: AzureSettings,
    answer: impl Fn(&Received) -> (u16, String) + Send + Sync + 'static,
) -> (Azure, Arc<FakeHttp>) {
    let http = Arc::new(FakeHttp::new(answer));
    let (client, upstream): (Arc<dyn HttpClient>, _) =
        (http.clone(), Url::parse("https://corp.azurecr.io").unwrap());
    (Azure { settings, upstream, http: client }, http)
}

async fn login(source: &Azure) -> Result<Login, Failure> {
    source.ask(Question::Due).await.map(|grant| grant.login.unwrap())
}

#[tokio::test]
async fn a_managed_identity_is_exchanged_at_the_registry() {
    let settings = AzureSettings { client_id: Some("mine".to_owned()), ..AzureSettings::default() };
    let (source, http) = rig(settings, answer);
    let expected = Login::password(USER, &refresh_token(4_070_908_800)).unwrap();
    assert_eq!(login(&source).await, Ok(expected));
    let received = http.received.lock().clone();
    assert!(received[0].url.starts_with("http://169.254.169.254/metadata/identity/oauth2/token?"));
    assert!(received[0].url.contains("client_id=mine"), "{}", received[0].url);
    assert_eq!((received[0].field("metadata"), received[0].reach), (Some("true"), Reach::Machine));
    assert_eq!(received[1].url, "https://corp.azurecr.io/oauth2/exchange");
    assert_eq!(received[1].pair("access_token").as_deref(), Some("access-word"));
    assert_eq!(received[1].pair("service").as_deref(), Some("corp.azurecr.io"));
}

#[tokio::test]
async fn a_workload_identity_and_a_secret_are_proofs_for_the_authority() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "federated-word\n").unwrap();
    let workload = [
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
    ];
    let secret = [
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_CLIENT_SECRET", "secret-word"),
    ];
    for (pairs, name, proof) in
        [(&workload, "client_assertion", "federated-word"), (&secret, "client_secret", "secret-word")]
    {
        let settings = AzureSettings { variables: variables(pairs), ..AzureSettings::default() };
        let (source, http) = rig(settings, answer);
        login(&source).await.unwrap();
        let received = http.received.lock().clone();
        assert_eq!(received[0].url, "https://login.microsoftonline.com/tenant/oauth2/v2.0/token");
        assert_eq!(received[0].pair(name).as_deref(), Some(proof));
        assert_eq!(received[1].pair("tenant").as_deref(), Some("tenant"));
    }
}

#[test]
fn a_token_says_when_it_ends() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let table = [
        (refresh_token(1_800_010_800), Duration::from_secs(10_800)),
        (refresh_token(1), Duration::ZERO),
        (refresh_token(9_999_999_999), LIFETIME_MAX),
        ("no token".to_owned(), LIFETIME_DEFAULT),
        ("a.b.c".to_owned(), LIFETIME_DEFAULT),
    ];
    for (token, expected) in table {
        assert_eq!(lifetime(&token, now), expected, "{token}");
    }
}

#[tokio::test]
async fn s28_a_service_that_refuses_is_not_quoted() {
    let settings = AzureSettings::default();
    let (source, _) = rig(settings, |_| {
        (400, r#"{"error":"invalid_client","error_description":"canary-word"}"#.to_owned())
    });
    let failure = login(&source).await.unwrap_err().to_string();
    assert!(failure.ends_with("got 400 (invalid_client) from 169.254.169.254"), "{failure}");
    let half = AzureSettings {
        variables: variables(&[("AZURE_CLIENT_SECRET", "canary-word")]),
        ..AzureSettings::default()
    };
    let failure = login(&rig(half, answer).0).await.unwrap_err().to_string();
    assert_eq!(failure, "needs tenant and client_id");
}
