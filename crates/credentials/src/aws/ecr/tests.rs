use serde_json::json;

use url::Url;

use super::super::access_keys::AccessKeys;
use super::*;
use crate::environment::Variables;
use crate::http::fake::{FakeHttp, Received};
use crate::http::{HttpMethod, Reach};

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

fn variables(pairs: &[(&str, &str)]) -> Variables {
    Variables::of(pairs.iter().map(|(name, _)| *name), |asked| {
        pairs.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
    })
}

fn in_an_hour() -> f64 {
    (SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_secs(3600))
        .as_secs_f64()
}

fn token(text: &str) -> String {
    STANDARD.encode(text)
}

/// The answer of ECR to a signed request.
fn ecr(_: &Received) -> (u16, String) {
    let data = json!([{ "authorizationToken": token("AWS:word"), "expiresAt": in_an_hour() }]);
    (200, json!({ "authorizationData": data }).to_string())
}

struct Rig {
    source: Ecr,
    http: Arc<FakeHttp>,
}

fn rig(settings: EcrSettings, answer: impl Fn(&Received) -> (u16, String) + Send + Sync + 'static) -> Rig {
    let http = Arc::new(FakeHttp::new(answer));
    let client: Arc<dyn HttpClient> = http.clone();
    Rig { source: Ecr::new(settings, Some(HOST.to_owned()), client), http }
}

async fn login(rig: &Rig) -> Result<Login, Failure> {
    rig.source.ask(Question::Due).await.map(|grant| grant.login.unwrap())
}

fn of_variables() -> EcrSettings {
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "canary-word")];
    EcrSettings { variables: variables(&keys), ..EcrSettings::default() }
}

/// The example `post-vanilla` of Amazon's own test suite for signatures.
#[test]
fn a_signature_is_the_one_of_amazons_example() {
    let keys = AccessKeys {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        session_token: None,
        expires_at: None,
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
    let signing = Signing { keys: &keys, region: "us-east-1", service: "service", now };
    let url = Url::parse("https://example.amazonaws.com/").unwrap();
    let request = HttpRequest { method: HttpMethod::Post, ..HttpRequest::get(url, Reach::Network) };
    let signed = signing.sign(request);
    let value = signed.fields.iter().find(|(name, _)| *name == "authorization").unwrap().1.expose();
    assert_eq!(
        value,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    );
}

#[tokio::test]
async fn keys_of_the_variables_sign_a_request_to_the_registrys_region() {
    let rig = rig(of_variables(), ecr);
    assert_eq!(login(&rig).await, Ok(Login::password("AWS", "word").unwrap()));
    let received = rig.http.received.lock().clone();
    assert_eq!(received.len(), 1);
    let request = &received[0];
    assert_eq!(request.url, "https://api.ecr.eu-west-1.amazonaws.com/");
    assert_eq!((request.method, request.body.as_str()), (HttpMethod::Post, "{}"));
    let target = request.field("x-amz-target").unwrap();
    assert_eq!(target, "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
    let authorization = request.field("authorization").unwrap();
    assert!(authorization.contains("/eu-west-1/ecr/aws4_request"), "{authorization}");
    assert!(!format!("{received:?} {:?}", rig.source).contains("canary-word"));
}

#[tokio::test]
async fn the_public_registry_has_an_api_of_its_own() {
    let http = Arc::new(FakeHttp::new(|_| {
        let data = json!({ "authorizationToken": token("AWS:word"), "expiresAt": in_an_hour() });
        (200, json!({ "authorizationData": data }).to_string())
    }));
    let client: Arc<dyn HttpClient> = http.clone();
    let source = Ecr::new(of_variables(), None, client);
    source.ask(Question::Due).await.unwrap();
    let received = http.received.lock().clone();
    assert_eq!(received[0].url, "https://api.ecr-public.us-east-1.amazonaws.com/");
    assert!(received[0].field("authorization").unwrap().contains("/us-east-1/ecr-public/aws4_request"));
}

#[test]
fn the_place_of_a_registry_is_read_from_its_host() {
    let table = [
        (HOST, Some(("eu-west-1", "amazonaws.com"))),
        ("1.dkr.ecr.cn-north-1.amazonaws.com.cn", Some(("cn-north-1", "amazonaws.com.cn"))),
        ("1.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some(("us-gov-west-1", "amazonaws.com"))),
        ("1.dkr-ecr.us-west-2.on.aws", Some(("us-west-2", "amazonaws.com"))),
        ("ecr.example.com", None),
        ("1.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
    ];
    for (host, expected) in table {
        let place = Place::of(host);
        assert_eq!(place.as_ref().map(|place| (place.region.as_str(), place.suffix)), expected, "{host}");
    }
}

#[tokio::test]
async fn a_web_identity_takes_its_role_once_for_many_logins() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "web-token\n").unwrap();
    let pairs = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pull"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
    ];
    let settings = EcrSettings { variables: variables(&pairs), ..EcrSettings::default() };
    let rig = rig(settings, |request| {
        match request.url.as_str() {
        "https://sts.eu-west-1.amazonaws.com/" => (
            200,
            "<AssumeRoleWithWebIdentityResponse><Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s\
             </SecretAccessKey><SessionToken>session</SessionToken>\
             <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResponse>"
                .to_owned(),
        ),
        _ => ecr(request),
    }
    });
    login(&rig).await.unwrap();
    login(&rig).await.unwrap();
    let received = rig.http.received.lock().clone();
    assert_eq!(received.len(), 3, "the keys of the role are kept");
    assert_eq!(received[0].pair("WebIdentityToken").as_deref(), Some("web-token"));
    assert_eq!(received[0].pair("RoleArn").as_deref(), Some("arn:aws:iam::1:role/pull"));
    assert_eq!(received[1].field("x-amz-security-token"), Some("session"));
}

fn keys() -> (u16, String) {
    let keys = json!({ "AccessKeyId": "ASIA1", "SecretAccessKey": "s", "Token": "session",
        "Expiration": "2099-01-01T00:00:00Z", "Code": "Success" });
    (200, keys.to_string())
}

#[tokio::test]
async fn an_instance_is_asked_by_the_second_version_of_its_protocol_and_never_through_a_proxy() {
    let rig = rig(EcrSettings::default(), |request| {
        let roles = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";
        match (request.method, request.url.as_str()) {
            (HttpMethod::Put, "http://169.254.169.254/latest/api/token") => (200, "imds".to_owned()),
            _ if request.url.starts_with(roles)
                && request.field("x-aws-ec2-metadata-token") != Some("imds") =>
            {
                (401, String::new())
            }
            (HttpMethod::Get, url) if url == roles => (200, "node-role\n".to_owned()),
            (HttpMethod::Get, url) if url == format!("{roles}node-role") => keys(),
            _ => ecr(request),
        }
    });
    login(&rig).await.unwrap();
    let received = rig.http.received.lock().clone();
    let reaches: Vec<Reach> = received.iter().map(|request| request.reach).collect();
    assert_eq!(reaches, [Reach::Machine, Reach::Machine, Reach::Machine, Reach::Network]);
}

#[tokio::test]
async fn a_pod_is_asked_with_its_token_and_only_next_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "pod-token").unwrap();
    let at = |address: &str| EcrSettings {
        variables: variables(&[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", address),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
        ]),
        ..EcrSettings::default()
    };
    let answer = |request: &Received| match request.field("authorization") {
        Some("pod-token") => keys(),
        _ => ecr(request),
    };
    login(&rig(at("http://169.254.170.23/v1/credentials"), answer)).await.unwrap();
    let far = rig(at("http://203.0.113.1/v1/credentials"), answer);
    assert!(login(&far).await.unwrap_err().to_string().contains("without TLS"));
    assert!(far.http.received.lock().is_empty());
}

#[tokio::test]
async fn two_profiles_of_one_file_are_two_accounts() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials");
    let text = "# mine\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key = one\n\n\
                [other]\naws_access_key_id=AKIA2\naws_secret_access_key=two\naws_session_token=three\n\
                [role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n";
    std::fs::write(&file, text).unwrap();
    let of = |profile: &str| EcrSettings {
        file: Some(file.clone()),
        profile: Some(profile.to_owned()),
        ..EcrSettings::default()
    };
    for (profile, id, session) in [("default", "AKIA1", None), ("other", "AKIA2", Some("three"))] {
        let rig = rig(of(profile), ecr);
        login(&rig).await.unwrap();
        let received = rig.http.received.lock().clone();
        assert!(received[0].field("authorization").unwrap().contains(&format!("Credential={id}/")));
        assert_eq!(received[0].field("x-amz-security-token"), session);
    }
    for (profile, expected) in [("role", "no access key in the profile"), ("none", "no profile \"none\"")] {
        let failure = login(&rig(of(profile), ecr)).await.unwrap_err().to_string();
        assert!(failure.contains(expected), "{failure}");
    }
}

#[tokio::test]
async fn s28_a_service_that_refuses_or_answers_nonsense_is_not_quoted() {
    for (status, body, expected) in [
        (
            400,
            r#"{"__type":"UnrecognizedClientException","message":"canary-word"}"#,
            "(UnrecognizedClientException)",
        ),
        (403, "canary-word", "got 403 from api.ecr.eu-west-1.amazonaws.com"),
        (200, "canary-word", "not an answer to GetAuthorizationToken"),
        (
            200,
            r#"{"authorizationData":[{"authorizationToken":"canary-word","expiresAt":9999999999}]}"#,
            "unknown form",
        ),
        (200, r#"{"authorizationData":[{"authorizationToken":"QVdTOng=","expiresAt":1}]}"#, "already ended"),
    ] {
        let rig = rig(of_variables(), move |_| (status, body.to_owned()));
        let failure = login(&rig).await.unwrap_err().to_string();
        assert!(failure.contains(expected) && !failure.contains("canary"), "{failure}");
    }
}
