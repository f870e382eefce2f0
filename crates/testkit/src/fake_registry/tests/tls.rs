use crate::client::{Broken, Connection};
use crate::{
    Auth, Authority, Behaviour, Certificate, Door, Endpoint, FakeRegistry, Fault, Kind, Rule, Tls, within,
};

async fn registry(tls: Tls) -> FakeRegistry {
    FakeRegistry::start_tls(Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }, tls).await
}

async fn open(registry: &FakeRegistry, ca_pem: &str) -> Result<Connection, Broken> {
    let address = registry.address_of(Endpoint::Registry);
    within("the handshake", Connection::open_tls(address, "localhost", ca_pem)).await
}

#[tokio::test]
async fn all_endpoints_speak_tls_under_one_authority() {
    let registry = registry(Tls::default()).await;
    let ca_pem = registry.authority().unwrap().pem();
    for endpoint in [Endpoint::Registry, Endpoint::Token, Endpoint::Cdn] {
        assert!(registry.url_of(endpoint).starts_with("https://localhost:"));
        for name in ["localhost", "127.0.0.1"] {
            let address = registry.address_of(endpoint);
            let mut connection = Connection::open_tls(address, name, &ca_pem).await.unwrap();
            connection.request("GET", &registry.host_of(endpoint), "/v2/", &[]).await.unwrap();
            assert!(connection.read_response("GET").await.unwrap().complete);
        }
    }
    open(&registry, &Authority::new().pem()).await.unwrap_err();
}

#[tokio::test]
async fn invalid_certificates_are_refused() {
    for certificate in [Certificate::Expired, Certificate::WrongName] {
        let registry = registry(Tls { certificate, client_certificate: false }).await;
        let ca_pem = registry.authority().unwrap().pem();
        let error = open(&registry, &ca_pem).await.unwrap_err();
        let Broken::Io(error) = error else { panic!("{error:?}") };
        let text = error.to_string().to_lowercase();
        let expected = if certificate == Certificate::Expired { "expired" } else { "not valid for name" };
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn a_client_certificate_can_be_required() {
    let registry = registry(Tls { client_certificate: true, ..Tls::default() }).await;
    let authority = registry.authority().unwrap();
    let address = registry.address_of(Endpoint::Registry);
    let identity = authority.client_identity();
    let mut known =
        Connection::open_mutual_tls(address, "localhost", &authority.pem(), &identity).await.unwrap();
    known.request("GET", "h", "/v2/", &[]).await.unwrap();
    assert_eq!(known.read_response("GET").await.unwrap().status, 200);

    let stranger = Authority::new().client_identity();
    for identity in [None, Some(&stranger)] {
        let opened = match identity {
            None => open(&registry, &authority.pem()).await,
            Some(identity) => {
                Connection::open_mutual_tls(address, "localhost", &authority.pem(), identity).await
            }
        };
        // In TLS 1.3 the client sees the refusal only when it reads; sending may fail before that.
        if let Ok(mut connection) = opened {
            let _ = connection.request("GET", "h", "/v2/", &[]).await;
            within("the refusal", connection.read_head("GET")).await.unwrap_err();
        }
    }
    assert_eq!(registry.count(Kind::Version), 1);
}

#[tokio::test]
async fn faults_work_under_tls_too() {
    let registry = registry(Tls::default()).await;
    registry.change(|behaviour| behaviour.redirects = false);
    let ca_pem = registry.authority().unwrap().pem();
    let digest = registry.put_blob("0123456789");
    let target = format!("/v2/a/blobs/{digest}");
    registry.script(Rule::new(Kind::GetBlob, Fault::CutAt(4)).once());
    let mut cut = open(&registry, &ca_pem).await.unwrap();
    cut.request("GET", "h", &target, &[]).await.unwrap();
    let answer = within("the cut", cut.read_response("GET")).await.unwrap();
    assert_eq!((answer.text().as_str(), answer.complete), ("0123", false));
    registry.script(Rule::new(Kind::GetBlob, Fault::Reset).once());
    let mut reset = open(&registry, &ca_pem).await.unwrap();
    reset.request("GET", "h", &target, &[]).await.unwrap();
    let error = within("the reset", reset.read_head("GET")).await.unwrap_err();
    assert!(matches!(error, Broken::Reset), "{error:?}");
}

#[tokio::test]
async fn a_mute_door_stalls_the_handshake() {
    let registry = registry(Tls::default()).await;
    let ca_pem = registry.authority().unwrap().pem();
    registry.set_door(Endpoint::Registry, Door::Mute).await;
    let address = registry.address_of(Endpoint::Registry);
    let handshake = tokio::spawn(async move { Connection::open_tls(address, "localhost", &ca_pem).await });
    let is_open = |log: &crate::Log| log.open_connections(Endpoint::Registry) == 1;
    registry.log().wait_until("the connection", is_open).await;
    assert!(!handshake.is_finished());
    registry.set_door(Endpoint::Registry, Door::Open).await;
    within("the end of the handshake", handshake).await.unwrap().unwrap_err();
}
