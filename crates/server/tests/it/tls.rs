//! The TLS listener.

use server::{TlsIdentity, TlsSettings};
use testkit::client::Connection;
use testkit::{Authority, BlobSource, Certificate, within};

use crate::lab::{DOMAIN, Lab, loopback};

const LARGE: BlobSource = BlobSource::Generated { seed: 8, len: (5 << 20) + 3 };

async fn lab() -> (Lab, Authority) {
    let authority = Authority::new();
    let identity = authority.server_identity(Certificate::Valid);
    let identity = TlsIdentity::from_pem(identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes());
    let tls = TlsSettings { listen: vec![loopback()], identity: identity.unwrap() };
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
    let identity = authority.server_identity(Certificate::Valid);
    let identity = TlsIdentity::from_pem(identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes());
    let tls = TlsSettings { listen: vec![loopback()], identity: identity.unwrap() };
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
                line.strip_prefix("wharf_tls_certificate_expiry_timestamp_seconds ").map(str::to_owned)
            });
            match found {
                Some(seconds) => break seconds,
                None => tokio::task::yield_now().await,
            }
        }
    };
    assert!(within("the gauge", told).await.parse::<u64>().unwrap() > 1_700_000_000);
}
