use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::http::fake::{FakeHttp, Received};

fn variables(pairs: &[(&str, &str)]) -> Variables {
    Variables::of(pairs.iter().map(|(name, _)| *name), |asked| {
        pairs.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
    })
}

fn rig(
    settings: GoogleSettings,
    answer: impl Fn(&Received) -> (u16, String) + Send + Sync + 'static,
) -> (Google, Arc<FakeHttp>) {
    let http = Arc::new(FakeHttp::new(answer));
    let client: Arc<dyn HttpClient> = http.clone();
    (Google { settings, http: client }, http)
}

fn token(_: &Received) -> (u16, String) {
    (200, r#"{"access_token":"word","expires_in":3599,"token_type":"Bearer"}"#.to_owned())
}

async fn login(source: &Google) -> Result<Login, Failure> {
    source.ask(Question::Due).await.map(|grant| grant.login.unwrap())
}

fn expected() -> Login {
    Login::password("oauth2accesstoken", "word").unwrap()
}

/// Settings with a key file of this text.
fn with_file(text: &str) -> (tempfile::TempDir, GoogleSettings) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.json");
    std::fs::write(&path, text).unwrap();
    (directory, GoogleSettings { file: Some(path), ..GoogleSettings::default() })
}

#[tokio::test]
async fn a_machine_is_asked_at_its_metadata_server_and_never_through_a_proxy() {
    let (source, http) = rig(GoogleSettings::default(), token);
    let grant = source.ask(Question::Due).await.unwrap();
    assert_eq!((grant.login, grant.validity.expires_in), (Some(expected()), Some(Duration::from_secs(3599))));
    let received = http.received.lock().clone();
    let path = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!((received[0].url.as_str(), received[0].reach), (path, Reach::Machine));
    assert_eq!(received[0].field("metadata-flavor"), Some("Google"));
    let elsewhere = GoogleSettings {
        account: Some("puller@project.iam.gserviceaccount.com".to_owned()),
        variables: variables(&[("GCE_METADATA_HOST", "127.0.0.1:8080")]),
        ..GoogleSettings::default()
    };
    let (source, http) = rig(elsewhere, token);
    login(&source).await.unwrap();
    let path = "http://127.0.0.1:8080/computeMetadata/v1/instance/service-accounts/\
                puller@project.iam.gserviceaccount.com/token";
    assert_eq!(http.received.lock()[0].url, path);
}

#[tokio::test]
async fn a_service_account_signs_an_assertion_with_its_key() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let key = json!({ "type": "service_account", "client_email": "puller@project.iam.gserviceaccount.com",
        "private_key": pem, "private_key_id": "k1", "project_id": "project" });
    let (_directory, settings) = with_file(&key.to_string());
    let (source, http) = rig(settings, token);
    assert_eq!(login(&source).await, Ok(expected()));
    let received = http.received.lock().clone();
    assert_eq!(received[0].url, TOKEN_URL);
    assert_eq!(
        received[0].pair("grant_type").as_deref(),
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer")
    );
    let assertion = received[0].pair("assertion").unwrap();
    let (text, signature) = assertion.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    public.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(text.split_once('.').unwrap().1).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], "puller@project.iam.gserviceaccount.com");
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!(TOKEN_URL), &json!(SCOPE)));
}

#[tokio::test]
async fn a_workload_identity_is_exchanged_and_takes_a_service_accounts_place() {
    let directory = tempfile::tempdir().unwrap();
    let subject = directory.path().join("subject");
    std::fs::write(&subject, r#"{"id_token":"subject-word"}"#).unwrap();
    let file = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/x:generateAccessToken",
        "credential_source": {
            "file": subject,
            "format": { "type": "json", "subject_token_field_name": "id_token" },
        },
    });
    let (_directory, settings) = with_file(&file.to_string());
    let (source, http) = rig(settings, |request| match request.url.as_str() {
        "https://sts.googleapis.com/v1/token" => {
            (200, r#"{"access_token":"federated","expires_in":3600}"#.to_owned())
        }
        _ => (200, r#"{"accessToken":"word","expireTime":"2099-01-01T00:00:00Z"}"#.to_owned()),
    });
    assert_eq!(login(&source).await, Ok(expected()));
    let received = http.received.lock().clone();
    assert_eq!(received[0].pair("subject_token").as_deref(), Some("subject-word"));
    assert_eq!(received[1].field("authorization"), Some("Bearer federated"));
}

#[tokio::test]
async fn a_users_own_login_is_refreshed() {
    let file = r#"{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}"#;
    let (_directory, settings) = with_file(file);
    let (source, http) = rig(settings, token);
    assert_eq!(login(&source).await, Ok(expected()));
    assert_eq!(http.received.lock()[0].pair("refresh_token").as_deref(), Some("r"));
}

#[tokio::test]
async fn s28_a_file_that_cannot_be_used_is_not_quoted_and_gets_no_request() {
    for text in [
        "canary-word",
        r#"{"type":"canary-word"}"#,
        r#"{"type":"service_account","client_email":"a@b","private_key":"canary-word"}"#,
        r#"{"type":"authorized_user","client_id":"c","client_secret":"canary-word","refresh_token":"r",
            "token_uri":"http://203.0.113.1/canary-word"}"#,
        r#"{"type":"external_account","audience":"a","subject_token_type":"t",
            "token_url":"https://sts.example","credential_source":{"environment_id":"canary-word"}}"#,
    ] {
        let (_directory, settings) = with_file(text);
        let (source, http) = rig(settings, token);
        let failure = login(&source).await.unwrap_err().to_string();
        assert!(!failure.contains("canary"), "{failure}");
        assert!(http.received.lock().is_empty(), "{text}");
    }
}

#[tokio::test]
async fn s28_a_service_that_refuses_is_not_quoted() {
    let (source, _) = rig(GoogleSettings::default(), |_| {
        (400, r#"{"error":"invalid_grant","x":"canary-word"}"#.to_owned())
    });
    let failure = login(&source).await.unwrap_err().to_string();
    assert_eq!(failure, "got 400 (invalid_grant) from metadata.google.internal");
}
