//! The PROXY protocol through the listeners: whom it is believed from, and what ends a connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use access::{Access, AccessTable};
use policy::access::{Rules, Ways};
use server::TlsSettings;
use testkit::client::Connection;
use testkit::{Authority, Certificate, Image, within};

use crate::lab::{Lab, QUAY, certificates, loopback};

const MANIFEST: &str = "/v2/org/app/manifests/1";

/// The first bytes of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Clients that the rules let in, and clients that they do not.
const NEAR: &str = "PROXY TCP4 198.51.100.7 10.0.0.1 4711 5000\r\n";
const FAR: &str = "PROXY TCP4 203.0.113.1 10.0.0.1 4711 5000\r\n";

/// A header of version 2: its command, its family, and the bytes behind its length.
fn binary(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, addresses].concat()
}

/// The addresses and ports of version 2 over IPv4.
fn v4(source: [u8; 4]) -> Vec<u8> {
    [&source[..], &[10, 0, 0, 1], &[0x12, 0x67], &[0x13, 0x88]].concat()
}

/// The same over IPv6.
fn v6(source: &str) -> Vec<u8> {
    let source: std::net::Ipv6Addr = source.parse().unwrap();
    [&source.octets()[..], &[0; 16], &[0x12, 0x67], &[0x13, 0x88]].concat()
}

/// A lab whose rules let in one network, behind proxies that this network names.
async fn lab(proxies: &str, change: impl FnOnce(&mut testlab::Plan)) -> Lab {
    let ways = Ways { addresses: Some(vec!["198.51.100.0/24".parse().unwrap()]), ..Ways::default() };
    let rules = Rules { registry: "quay.io".to_owned(), ways, ..Rules::default() };
    let access = Arc::new(Access { rules, logins: None });
    let table = AccessTable {
        registries: HashMap::from([("quay.io".to_owned(), access)]),
        trusted_proxies: vec![proxies.parse().unwrap()],
        proxy_protocol: true,
        ..AccessTable::default()
    };
    let lab = Lab::start_with(|plan| {
        plan.access = Some(Arc::new(table));
        change(plan);
    })
    .await;
    lab.quay.put_image("org/app", "1", &Image::small("app"));
    lab
}

/// The status of a pull that follows the header; `None` if the server closes without an answer.
async fn status(connection: &mut Connection, host: &str, target: &str, field: &str) -> Option<u16> {
    let fields = field.split_once(": ");
    let pull = async {
        connection.request("GET", host, target, fields.as_slice()).await.ok()?;
        connection.read_response("GET").await.ok().map(|answer| answer.status)
    };
    within("an answer", pull).await
}

async fn status_after(lab: &Lab, header: &[u8], field: &str) -> Option<u16> {
    let mut connection = lab.connect().await;
    connection.send(header).await.unwrap();
    status(&mut connection, QUAY, MANIFEST, field).await
}

/// The number of connections that ended for this reason.
fn closed(lab: &Lab, why: &str) -> u64 {
    let prefix = format!("wharf_connections_closed_total{{why=\"{why}\"}} ");
    let metrics = lab.metrics.encode();
    metrics.lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn the_rules_see_the_client_that_a_trusted_proxy_tells() {
    let lab = lab("127.0.0.0/8", |_| {}).await;
    let near = v4([198, 51, 100, 7]);
    for (header, expected) in [
        (NEAR.as_bytes().to_vec(), 200),
        (FAR.as_bytes().to_vec(), 403),
        (binary(1, 0x11, &near), 200),
        (binary(1, 0x11, &[&near[..], &[4, 0, 3, 1, 2, 3]].concat()), 200),
        (binary(1, 0x11, &v4([203, 0, 113, 1])), 403),
        (binary(1, 0x21, &v6("2001:db8::7")), 403),
        // An IPv4 address in an IPv6 one is the same client.
        (binary(1, 0x21, &v6("::ffff:198.51.100.7")), 200),
        (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 4711 5000\r\n".to_vec(), 200),
        // The proxy's own connections, and clients that it does not know or that came another way.
        (binary(0, 0x00, &[]), 403),
        (binary(0, 0x11, &near), 403),
        (b"PROXY UNKNOWN\r\n".to_vec(), 403),
        (binary(1, 0x12, &near), 403),
        (binary(1, 0x31, &[0; 216]), 403),
    ] {
        let found = status_after(&lab, &header, "").await;
        assert_eq!(found, Some(expected), "{}", String::from_utf8_lossy(&header));
    }
}

#[tokio::test]
async fn a_client_cannot_forge_an_address_behind_the_header_of_its_proxy() {
    let lab = lab("127.0.0.0/8", |_| {}).await;
    for field in ["X-Forwarded-For: 198.51.100.7", "Forwarded: for=198.51.100.7", "X-Real-IP: 198.51.100.7"] {
        assert_eq!(status_after(&lab, FAR.as_bytes(), field).await, Some(403), "{field}");
    }
    assert_eq!(status_after(&lab, NEAR.as_bytes(), "X-Forwarded-For: 203.0.113.1").await, Some(200));
    // A second header is the client's text.
    let twice = format!("{FAR}{NEAR}");
    assert_eq!(status_after(&lab, twice.as_bytes(), "").await, Some(400));
    // Every request of the connection comes from the client of its header.
    let mut connection = lab.connect().await;
    connection.send(FAR.as_bytes()).await.unwrap();
    for field in ["", "X-Forwarded-For: 198.51.100.7", ""] {
        assert_eq!(status(&mut connection, QUAY, MANIFEST, field).await, Some(403));
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_may_send_the_header() {
    let lab = lab("10.0.0.0/8", |_| {}).await;
    for header in [NEAR.as_bytes().to_vec(), binary(1, 0x11, &v4([198, 51, 100, 7]))] {
        let found = status_after(&lab, &header, "").await;
        assert!(matches!(found, Some(400) | None), "{found:?} {}", String::from_utf8_lossy(&header));
    }
    assert_eq!(status_after(&lab, b"", "").await, Some(403), "this machine is not in the network");
    assert_eq!(lab.upstream_requests(), 0);
}

#[tokio::test]
async fn a_header_in_many_pieces_is_one_header() {
    let lab = lab("127.0.0.0/8", |_| {}).await;
    for header in [NEAR.as_bytes().to_vec(), binary(1, 0x11, &v4([198, 51, 100, 7]))] {
        let mut connection = lab.connect().await;
        for byte in &header {
            connection.send(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(status(&mut connection, QUAY, MANIFEST, "").await, Some(200));
        assert_eq!(status(&mut connection, QUAY, MANIFEST, "").await, Some(200));
    }
    let both = format!("{NEAR}GET {MANIFEST} HTTP/1.0\r\nHost: {QUAY}\r\n\r\n");
    assert!(lab.send_raw(both.as_bytes()).await.starts_with("HTTP/1.0 200"), "no byte behind it is lost");
}

#[tokio::test]
async fn a_trusted_proxy_without_a_right_header_gets_no_answer() {
    let lab = lab("127.0.0.0/8", |_| {}).await;
    let request = format!("GET {MANIFEST} HTTP/1.1\r\nHost: {QUAY}\r\n\r\n").into_bytes();
    let long_line = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
    let long_binary = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff], &[0; 64]].concat();
    let wrong: Vec<Vec<u8>> = vec![
        request,
        b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 65536\r\n".to_vec(),
        long_line,
        long_binary,
        binary(1, 0x11, &[198, 51, 100, 7]),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00".to_vec(),
    ];
    for (index, header) in wrong.iter().enumerate() {
        let mut connection = lab.connect().await;
        connection.send(header).await.unwrap();
        // The server may close with unread bytes, which the client sees as a reset.
        let (answer, _) = within("the server closes", connection.read_raw_to_end()).await;
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
        let expected = index as u64 + 1;
        within("the reason", async {
            while closed(&lab, "malformed") < expected {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    assert_eq!(lab.upstream_requests(), 0);
}

#[tokio::test]
async fn s24_connections_with_half_a_header_end_and_shut_nobody_out() {
    let lab = lab("127.0.0.0/8", |plan| {
        plan.settings.header_wait_max = Duration::from_millis(300);
        plan.settings.connection_count_max = 8;
        plan.settings.client_connection_count_max = 8;
    })
    .await;
    let mut held = Vec::new();
    for header in [&NEAR.as_bytes()[..20], SIGNATURE].repeat(3) {
        let mut connection = lab.connect().await;
        connection.send(header).await.unwrap();
        held.push(connection);
    }
    assert_eq!(status_after(&lab, NEAR.as_bytes(), "").await, Some(200));
    for mut connection in held {
        let (answer, _) = within("the server closes", connection.read_raw_to_end()).await;
        assert!(answer.is_empty());
    }
    assert_eq!(closed(&lab, "slow_head"), 6);
}

#[tokio::test]
async fn s24_one_client_of_a_proxy_takes_no_more_than_its_own_connections() {
    let lab = lab("127.0.0.0/8", |plan| plan.settings.client_connection_count_max = 2).await;
    let mut held = Vec::new();
    let other = "PROXY TCP4 198.51.100.8 10.0.0.1 4711 5000\r\n";
    for (header, expected) in
        [(NEAR, Some(200)), (NEAR, Some(200)), (NEAR, None), (other, Some(200)), (other, Some(200))]
    {
        let mut connection = lab.connect().await;
        connection.send(header.as_bytes()).await.unwrap();
        assert_eq!(status(&mut connection, QUAY, MANIFEST, "").await, expected, "{header}");
        held.push(connection);
    }
    assert_eq!(closed(&lab, "refused"), 1);
}

#[tokio::test]
async fn the_header_comes_before_the_handshake_of_tls() {
    let authority = Authority::new();
    let pem = authority.pem();
    let shown = authority.server_identity(Certificate::Valid);
    let tls = TlsSettings::new(vec![loopback()], certificates(&[shown]));
    let lab = lab("127.0.0.0/8", |plan| plan.settings.tls = Some(tls)).await;
    let address = lab.tls.unwrap();
    let target = format!("/quay.io{MANIFEST}");
    let near = binary(1, 0x11, &v4([198, 51, 100, 7]));
    for (header, expected) in [(NEAR.as_bytes(), 200), (FAR.as_bytes(), 403), (&near, 200)] {
        let open = Connection::open_tls_after(header, address, "localhost", &pem);
        let mut connection = within("the handshake", open).await.unwrap();
        assert_eq!(status(&mut connection, "localhost", &target, "").await, Some(expected));
    }
    let open = Connection::open_tls(address, "localhost", &pem);
    assert!(within("the end", open).await.is_err(), "a trusted proxy must send the header");
}
