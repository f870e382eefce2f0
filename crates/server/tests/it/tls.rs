//! The TLS listener.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use server::TlsSettings;
use testkit::client::Connection;
use testkit::{Authority, BlobSource, Certificate, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::lab::{DOMAIN, Lab, certificates, loopback};

const LARGE: BlobSource = BlobSource::Generated { seed: 8, len: (5 << 20) + 3 };

async fn lab() -> (Lab, Authority) {
    let authority = Authority::new();
    let set = certificates(&[authority.server_identity(Certificate::Valid)]);
    let tls = TlsSettings::new(vec![loopback()], set);
    (Lab::start_with(|plan| plan.settings.tls = Some(tls)).await, authority)
}

async fn connect(lab: &Lab, authority: &Authority) -> Connection {
    Connection::open_tls(lab.tls.unwrap(), "localhost", &authority.pem()).await.unwrap()
}

#[tokio::test]
async fn blobs_and_ranges_are_served_over_tls() {
    let (lab, authority) = lab().await;
    let digest = lab.hub.put_blob(LARGE);
    let target = format!("/docker.io/v2/library/app/blobs/{digest}");
    let mut connection = connect(&lab, &authority).await;
    // A miss, a hit, and a range, all on one connection.
    for range in [None, None, Some((1_000_000, 3_000_000))] {
        let header = range.map(|(first, last)| format!("bytes={first}-{last}"));
        let headers: Vec<_> = header.iter().map(|value| ("Range", value.as_str())).collect();
        connection.request("GET", "localhost", &target, &headers).await.unwrap();
        let answer = within("a body", connection.read_response("GET")).await.unwrap();
        let (first, last) = range.unwrap_or((0, LARGE.len() - 1));
        let wanted = LARGE.read(first, usize::try_from(last - first + 1).unwrap());
        assert_eq!(answer.status, if range.is_some() { 206 } else { 200 });
        assert!(answer.complete && answer.body == wanted, "{range:?}");
    }
    let ranges = [("Range", "bytes=0-999999,3000000-")];
    connection.request("GET", "localhost", &target, &ranges).await.unwrap();
    let answer = within("the parts", connection.read_response("GET")).await.unwrap();
    assert_eq!((answer.status, answer.complete), (206, true));
    for (first, end) in [(0, 1_000_000), (3_000_000, LARGE.len())] {
        let wanted = LARGE.read(first, usize::try_from(end - first).unwrap());
        assert!(answer.body.windows(wanted.len()).any(|window| window == wanted), "{first}");
    }
}

#[tokio::test]
async fn s10_a_host_that_the_connection_was_not_made_to_is_misdirected() {
    let (lab, authority) = lab().await;
    let mut connection = connect(&lab, &authority).await;
    for (host, status) in
        [("localhost:5443", 200), ("LOCALHOST.", 200), ("docker.io.cache.example", 421), (DOMAIN, 421)]
    {
        connection.request("GET", host, "/v2/", &[]).await.unwrap();
        assert_eq!(connection.read_response("GET").await.unwrap().status, status, "{host}");
    }
}

#[tokio::test]
async fn t14_an_old_client_s_absolute_target_is_misdirected_like_a_host() {
    let (lab, authority) = lab().await;
    for (target, status) in [("https://localhost/v2/", "200"), ("https://quay.io.cache.example/v2/", "421")] {
        let mut connection = connect(&lab, &authority).await;
        connection.send(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let (received, _) = within("the server closes", connection.read_raw_to_end()).await;
        let received = String::from_utf8_lossy(&received).into_owned();
        assert!(received.starts_with(&format!("HTTP/1.0 {status} ")), "{target} -> {received:?}");
    }
}

#[tokio::test]
async fn garbage_on_the_tls_port_is_closed_and_others_are_served() {
    let (lab, authority) = lab().await;
    let mut garbage = Connection::open(lab.tls.unwrap()).await.unwrap();
    garbage.send(b"\0\0 no hello, and no request either").await.unwrap();
    // Perhaps an alert, then the end; never an answer.
    let (received, _) = within("the server closes", garbage.read_raw_to_end()).await;
    assert!(!received.starts_with(b"HTTP"), "{received:?}");
    let mut connection = connect(&lab, &authority).await;
    connection.request("GET", "localhost", "/v2/", &[]).await.unwrap();
    assert_eq!(connection.read_response("GET").await.unwrap().status, 200);
    assert!(lab.metrics.encode().contains("wharf_connections_closed_total{why=\"tls\"} 1"));
}

#[tokio::test]
async fn newcomer_28_plain_http_at_the_tls_port_gets_a_refusal() {
    let (lab, _) = lab().await;
    for method in ["GET", "HEAD", "PUT"] {
        let mut plain = Connection::open(lab.tls.unwrap()).await.unwrap();
        plain.request(method, "localhost", "/v2/", &[]).await.unwrap();
        let answer = within("the refusal", plain.read_response(method)).await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{method}");
        assert!(method == "HEAD" || answer.text().contains("use https://"), "{}", answer.text());
        let (behind, end) = within("the server closes", plain.read_raw_to_end()).await;
        assert!(end.is_ok() && behind.is_empty());
    }
    let counted = async {
        while !lab.metrics.encode().contains("wharf_connections_closed_total{why=\"tls\"} 3") {
            tokio::task::yield_now().await;
        }
    };
    within("the connections are counted", counted).await;
    assert_eq!(lab.upstream_requests(), 0);
}

#[tokio::test]
async fn s24_a_handshake_that_does_not_end_is_given_up() {
    let authority = Authority::new();
    let set = certificates(&[authority.server_identity(Certificate::Valid)]);
    let tls = TlsSettings::new(vec![loopback()], set);
    let lab = Lab::start_with(|plan| {
        plan.settings.tls = Some(tls);
        plan.settings.header_wait_max = std::time::Duration::from_millis(300);
    });
    let lab = lab.await;
    let mut slow = Connection::open(lab.tls.unwrap()).await.unwrap();
    // The beginning of a hello.
    slow.send(&[0x16, 0x03, 0x01]).await.unwrap();
    let (received, _) = within("the server closes", slow.read_raw_to_end()).await;
    assert_eq!(received.len(), 0);
}

#[tokio::test]
async fn the_expiry_of_the_certificate_is_in_the_metrics() {
    let (lab, authority) = lab().await;
    drop(connect(&lab, &authority).await);
    let told = async {
        loop {
            let text = lab.metrics.encode();
            let found = text.lines().find_map(|line| {
                line.strip_prefix("wharf_tls_certificate_expiry_timestamp_seconds{cert_file=\"cert.pem\"} ")
                    .map(str::to_owned)
            });
            match found {
                Some(seconds) => break seconds,
                None => tokio::task::yield_now().await,
            }
        }
    };
    assert!(within("the gauge", told).await.parse::<u64>().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn each_server_name_gets_its_certificate_and_others_the_default() {
    let authority = Authority::new();
    let identities =
        [&["default.example"][..], &["*.cache.example"], &["docker-io.cache.example"], &["127.0.0.1"]]
            .map(|names| authority.identity_for(names));
    let tls = TlsSettings::new(vec![loopback()], certificates(&identities));
    let lab = Lab::start_with(|plan| plan.settings.tls = Some(tls)).await;
    let reaches =
        async |name: &str| Connection::open_tls(lab.tls.unwrap(), name, &authority.pem()).await.is_ok();
    // A client that connects to an address sends no name.
    for name in ["default.example", "quay-io.cache.example", "docker-io.cache.example", "127.0.0.1"] {
        assert!(reaches(name).await, "{name}");
    }
    assert!(!reaches("docker.io.cache.example").await, "the client refuses the default");
}

/// A hello of TLS 1.1 (RFC 4346, section 7.4.1.2) that is otherwise as the server wants it: with signature
/// algorithms, groups and point formats.
fn old_hello() -> Vec<u8> {
    let extensions =
        [&[0, 0x0d, 0, 4, 0, 2, 4, 3][..], &[0, 0x0a, 0, 4, 0, 2, 0, 0x17], &[0, 0x0b, 0, 2, 1, 0]].concat();
    let behind = [&[0, 0, 2, 0xc0, 0x09, 1, 0, 0, 22][..], &extensions].concat();
    let hello = [&[0x03, 0x02][..], &[7; 32], &behind].concat();
    let length = u8::try_from(hello.len()).unwrap();
    [&[0x16, 0x03, 0x01, 0, length + 4, 1, 0, 0, length][..], &hello].concat()
}

#[tokio::test]
async fn s32_a_client_of_tls_1_1_is_refused_with_the_alert_for_its_version() {
    let (lab, _) = lab().await;
    let mut old = Connection::open(lab.tls.unwrap()).await.unwrap();
    old.send(&old_hello()).await.unwrap();
    let (received, _) = within("the server closes", old.read_raw_to_end()).await;
    // protocol_version (RFC 8446, section 6.2).
    assert_eq!((received.first(), received.last()), (Some(&0x15), Some(&70)), "{received:?}");
}

#[tokio::test]
async fn s32_plain_requests_are_redirected_and_health_checks_are_not() {
    let authority = Authority::new();
    let mut tls =
        TlsSettings::new(vec![loopback()], certificates(&[authority.server_identity(Certificate::Valid)]));
    tls.redirect_port = Some(5443);
    let lab = Lab::start_with(|plan| plan.settings.tls = Some(tls)).await;
    let digest = lab.hub.put_blob(LARGE);
    let target = format!("/docker.io/v2/library/app/blobs/{digest}?ns=docker.io");
    let mut plain = Connection::open(lab.address).await.unwrap();
    for method in ["GET", "HEAD"] {
        plain.request(method, "localhost:5000", &target, &[]).await.unwrap();
        let answer = plain.read_response(method).await.unwrap();
        let location = format!("https://localhost:5443{target}");
        assert_eq!((answer.status, answer.header("location")), (308, Some(location.as_str())), "{method}");
    }
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/", 200), ("/v2/", 308)] {
        plain.request("GET", "localhost:5000", path, &[]).await.unwrap();
        assert_eq!(plain.read_response("GET").await.unwrap().status, status, "{path}");
    }
    let mut writer = Connection::open(lab.address).await.unwrap();
    writer.request("PUT", "localhost:5000", "/v2/", &[]).await.unwrap();
    assert_eq!(writer.read_response("PUT").await.unwrap().status, 405);
    let mut old = Connection::open(lab.address).await.unwrap();
    old.send(format!("GET /docker.io{target} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let (received, _) = within("the server closes", old.read_raw_to_end()).await;
    assert!(received.starts_with(b"HTTP/1.0 400 "), "without a host there is nowhere to go: {received:?}");
    assert_eq!(lab.upstream_requests(), 0);
    let mut secure = connect(&lab, &authority).await;
    secure.request("GET", "localhost", &target.replace("?ns=docker.io", ""), &[]).await.unwrap();
    assert_eq!(secure.read_response("GET").await.unwrap().status, 200);
}

fn trusting(authority: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    Arc::new(roots)
}

/// A server whose clients need a certificate.
async fn lab_with_verifier(authority: &Authority) -> Lab {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(trusting(authority), provider);
    let set = certificates(&[authority.server_identity(Certificate::Valid)]);
    let mut tls = TlsSettings::new(vec![loopback()], set);
    tls.client_verifier = Some(verifier.build().unwrap());
    Lab::start_with(|plan| plan.settings.tls = Some(tls)).await
}

/// Whether the second connection of a client resumes the session of the first.
async fn resumes(lab: &Lab, authority: &Authority, version: &'static SupportedProtocolVersion) -> bool {
    let identity = authority.client_identity();
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(trusting(authority))
        .with_client_auth_cert(chain, key)
        .unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let tcp = TcpStream::connect(lab.tls.unwrap()).await.unwrap();
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
        let request = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        kinds.push(stream.get_ref().1.handshake_kind());
    }
    assert_eq!(kinds[0], Some(HandshakeKind::Full));
    kinds[1] == Some(HandshakeKind::Resumed)
}

#[tokio::test]
async fn s16_every_connection_of_a_client_with_a_certificate_shows_it_anew() {
    for version in [&TLS12, &TLS13] {
        let (open, authority) = lab().await;
        assert!(resumes(&open, &authority, version).await, "{version:?}: without certificates it may");
        let authority = Authority::new();
        let lab = lab_with_verifier(&authority).await;
        assert!(!resumes(&lab, &authority, version).await, "{version:?}");
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let authority = Authority::new();
    let lab = lab_with_verifier(&authority).await;
    let answered = async {
        let mut connection =
            Connection::open_tls(lab.tls.unwrap(), "localhost", &authority.pem()).await.ok()?;
        connection.request("GET", "localhost", "/v2/", &[]).await.ok()?;
        connection.read_response("GET").await.ok()
    };
    assert!(within("the refusal", answered).await.is_none());
    let before = lab.control.snapshot();
    let mut settings = before.settings.clone();
    settings.tls.as_mut().unwrap().client_verifier = None;
    let (routes, access) = (before.routes.clone(), before.access.clone());
    lab.control.replace(server::Snapshot { routes, settings, access });
    let mut connection = connect(&lab, &authority).await;
    connection.request("GET", "localhost", "/v2/", &[]).await.unwrap();
    assert_eq!(connection.read_response("GET").await.unwrap().status, 200);
}

#[tokio::test]
async fn s23_a_client_that_offers_only_http_2_is_refused() {
    let (lab, authority) = lab().await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(lab.tls.unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let refused = within("the handshake", connector.connect(name, stream)).await.unwrap_err();
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
}
