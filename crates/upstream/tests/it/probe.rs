//! The report to an operator before the first request of a client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use testkit::{Auth, Behaviour, Certificate, Door, Endpoint, FakeRegistry, Kind, Tls, within};
use upstream::{Authorities, Error, ErrorKind, Login, LoginCheck, Probe, ProxySettings, Reached, Settings};
use url::Url;

use crate::rig::settings;

const PASSWORD: &str = "canary-password";

async fn probe(settings: &Settings) -> Result<Reached, Error> {
    let probe = Probe::new(settings, &Authorities::load()).unwrap();
    within("the probe", probe.run()).await
}

fn log_in(settings: &mut Settings, password: &str) {
    settings.credentials = credentials::Settings::password("robot", password);
}

/// Asserts that the registry cannot be used, in words that end so.
#[track_caller]
fn check_refused(result: Result<Reached, Error>, kind: ErrorKind, expected: &str) {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.ends_with(expected) && !text.contains("canary"), "{text}");
}

#[tokio::test]
async fn a_registry_that_answers_is_asked_once() {
    let registry =
        FakeRegistry::start_with(Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }).await;
    let reached = probe(&settings(&registry)).await.unwrap();
    let anonymous = LoginCheck { pattern: None, source: None, login: Login::None };
    assert_eq!(reached, Reached { logins: vec![anonymous], remarks: Vec::new() });
    assert_eq!((registry.count(Kind::Version), registry.requests().len()), (1, 1));
}

#[tokio::test]
async fn newcomer_a_login_is_tried_once_where_the_registry_wants_it_and_missed_where_there_is_none() {
    for (auth, kind) in
        [(Auth::basic("robot", PASSWORD), Kind::Version), (Auth::bearer("robot", PASSWORD), Kind::Token)]
    {
        let registry = FakeRegistry::start_with(Behaviour { auth, ..Behaviour::default() }).await;
        let anonymous = probe(&settings(&registry)).await;
        if kind == Kind::Token {
            // A token may be had by anybody.
            assert_eq!(anonymous.unwrap().logins[0].login, Login::None);
        } else {
            let expected = " answers, but wants a login and none is configured; add username and password";
            check_refused(anonymous, ErrorKind::Denied, expected);
        }

        let mut with_login = settings(&registry);
        log_in(&mut with_login, PASSWORD);
        assert_eq!(probe(&with_login).await.unwrap().logins[0].login, Login::Accepted);

        registry.log().clear();
        log_in(&mut with_login, "canary-wrong");
        let refused = probe(&with_login).await;
        check_refused(
            refused,
            ErrorKind::Denied,
            " refuses the configured login; check username and password",
        );
        assert_eq!(registry.requests().len(), 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_login_that_nobody_asks_for_is_told() {
    let registry =
        FakeRegistry::start_with(Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }).await;
    let mut settings = settings(&registry);
    log_in(&mut settings, PASSWORD);
    assert_eq!(probe(&settings).await.unwrap().logins[0].login, Login::NotAsked);
}

#[tokio::test]
async fn a_login_is_shown_to_no_token_service_that_is_not_trusted() {
    let auth = Auth::bearer("robot", PASSWORD);
    let registry = FakeRegistry::start_with(Behaviour { auth, ..Behaviour::default() }).await;
    let mut settings = settings(&registry);
    log_in(&mut settings, PASSWORD);
    settings.trusted_hosts.clear();
    let token = registry.host_of(Endpoint::Token);
    let error = probe(&settings).await.unwrap_err().to_string();
    assert!(error.contains(&token) || error.contains("token service"), "{error}");
    assert_eq!(registry.count(Kind::Token), 0);
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_told_in_words() {
    for (certificate, is_believed, expected) in [
        (
            Certificate::Valid,
            false,
            "has a certificate from an unknown authority; give that authority's certificate as ca_file",
        ),
        (
            Certificate::Expired,
            true,
            "that expired on 01 Jan 2002; renew it there; if that date is not past, check this machine's clock",
        ),
        (
            Certificate::SelfSigned,
            false,
            "has a certificate that is self-signed and marked as an authority; give it as ca_file, or make one",
        ),
        (
            Certificate::WrongName,
            true,
            "has a certificate for other names (elsewhere.example) and not for localhost; correct the name in upstream",
        ),
    ] {
        let tls = Tls { certificate, ..Tls::default() };
        let registry = FakeRegistry::start_tls(Behaviour::default(), tls).await;
        let mut settings = settings(&registry);
        if is_believed {
            settings.ca = vec![registry.authority().unwrap().pem().into_bytes()];
        }
        let error = probe(&settings).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// A server that answers whatever it does not understand at once, as common ones do.
fn plain_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (mut stream, mut buffer) = (stream, [0; 1024]);
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
        }
    });
    address
}

#[tokio::test]
async fn the_wrong_scheme_is_told_whichever_it_is() {
    let address = plain_server();
    let settings = Settings::new("fake", Url::parse(&format!("https://{address}")).unwrap());
    let expected = format!("does not speak TLS; if it is plain HTTP, write upstream = \"http://{address}\"");
    check_refused(probe(&settings).await, ErrorKind::Unreachable, &expected);

    let encrypted = FakeRegistry::start_tls(Behaviour::default(), Tls::default()).await;
    let address = encrypted.address_of(Endpoint::Registry);
    let settings = Settings::new("fake", Url::parse(&format!("http://{address}")).unwrap());
    let expected = format!("; if it speaks TLS, write upstream = \"https://{address}\"");
    check_refused(probe(&settings).await, ErrorKind::Unreachable, &expected);
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_in_words() {
    let settings = Settings::new("fake", Url::parse("https://registry.invalid").unwrap());
    let error = probe(&settings).await.unwrap_err().to_string();
    assert!(error.starts_with("registry.invalid does not resolve") && error.contains("(asked "), "{error}");
    assert!(error.contains("check") && error.contains("/etc/resolv.conf"), "{error}");

    let registry = FakeRegistry::start().await;
    registry.set_door(Endpoint::Registry, Door::Refuse).await;
    let port = registry.address_of(Endpoint::Registry).port();
    let expected =
        format!("could not be reached: nothing listens on port {port} there; check the address and the port");
    check_refused(probe(&crate::rig::settings(&registry)).await, ErrorKind::Unreachable, &expected);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_found_is_named() {
    let registry = FakeRegistry::start().await;
    let mut settings = settings(&registry);
    settings.proxy =
        Some(ProxySettings::new(Url::parse("http://user:canary-proxy@proxy.invalid:3128").unwrap()));
    let error = probe(&settings).await.unwrap_err().to_string();
    assert!(error.contains("proxy.invalid does not resolve") && !error.contains("canary"), "{error}");
}

/// The resolver's servers and files are the operator's: clients read only what failed, and the log keeps the
/// rest.
#[tokio::test]
async fn a_pull_names_no_dns_server_and_its_cause_does() {
    let rig = crate::rig::Rig::before(FakeRegistry::start().await, |settings| {
        settings.upstream = Url::parse("https://registry.invalid").unwrap();
    });
    let error = rig.get("latest").await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("registry.invalid does not resolve"), "{text}");
    assert!(!text.contains("(asked ") && !text.contains("resolv.conf"), "{text}");
    let line = telemetry::error_chain(&error);
    assert!(line.starts_with(&text) && line.contains("(asked "), "{line}");
}

/// The words are those of a pull, too.
#[tokio::test]
async fn a_pull_is_told_the_same() {
    let address = plain_server();
    let rig = crate::rig::Rig::before(FakeRegistry::start().await, |settings| {
        settings.upstream = Url::parse(&format!("https://{address}")).unwrap();
    });
    let error = rig.get("latest").await.unwrap_err().to_string();
    assert!(error.contains("does not speak TLS; if it is plain HTTP, write upstream = "), "{error}");
}
