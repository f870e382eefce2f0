//! Requests that no pull sends: pushes, bodies, two hosts, other protocols, oversized heads.

use testkit::within;

use crate::lab::{HUB, Lab};

#[tokio::test]
async fn every_write_is_refused_on_every_route() {
    let lab = Lab::start().await;
    let digest = format!("sha256:{}", "0".repeat(64));
    let targets = [
        "/v2/".to_owned(),
        "/v2/a/blobs/uploads/".to_owned(),
        "/v2/a/manifests/1".to_owned(),
        format!("/v2/a/blobs/{digest}"),
        "/docker.io/v2/a/manifests/1".to_owned(),
        "/livez".to_owned(),
        "/".to_owned(),
    ];
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        for target in &targets {
            let answer = lab.ask(method, HUB, target, &[]).await;
            assert_eq!(answer.status, 405, "{method} {target}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {target}");
            assert_eq!(answer.header("connection"), Some("close"), "{method} {target}");
            assert!(answer.text().contains("UNSUPPORTED"), "{method} {target}: {}", answer.text());
        }
    }
    assert_eq!(lab.upstream_requests(), 0);
}

#[tokio::test]
async fn a_push_is_refused_without_taking_its_body() {
    let lab = Lab::start().await;
    // The body never comes, so an answer proves that the server does not wait for it.
    let head = format!("PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: {HUB}\r\nContent-Length: 1000000\r\n\r\n");
    let mut connection = lab.connect().await;
    connection.send(head.as_bytes()).await.unwrap();
    let answer = within("the refusal", connection.read_response("PUT")).await.unwrap();
    assert_eq!((answer.status, answer.complete), (405, true));
}

/// Pushes with these further fields, and asserts that the client reads the refusal behind its whole body.
async fn check_push_reads_the_refusal(fields: &str) {
    let lab = Lab::start().await;
    let body = vec![b'x'; 200_000];
    let head = format!(
        "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: {HUB}\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = lab.connect().await;
    connection.send(head.as_bytes()).await.unwrap();
    connection.send(&body).await.unwrap();
    let (received, end) = within("the refusal", connection.read_raw_to_end()).await;
    assert!(end.is_ok(), "{end:?}");
    assert!(received.starts_with(b"HTTP/1.1 405 "), "{}", String::from_utf8_lossy(&received));
}

#[tokio::test]
async fn a_client_in_the_middle_of_its_push_still_reads_the_refusal() {
    check_push_reads_the_refusal("").await;
}

/// Asserts one refusal and the end of the connection. The bytes after the head are not taken for a request.
async fn check_refused(lab: &Lab, status: u16, head: &str) {
    let smuggled = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = lab.send_raw(format!("{head}{smuggled}").as_bytes()).await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?} -> {answer:?}");
    assert_eq!(answer.matches("\r\ndate: ").count(), 1, "{head:?} -> {answer:?}");
}

#[tokio::test]
async fn nothing_is_smuggled_behind_a_malformed_head() {
    let lab = Lab::start().await;
    let with = |fields: &str| format!("GET /v2/ HTTP/1.1\r\nHost: {HUB}\r\n{fields}\r\n");
    let heads = [
        with("Content-Length: 5\r\n"),
        with("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        with("Content-Length: 38\r\nTransfer-Encoding: chunked\r\n"),
        with("Transfer-Encoding: chunked\r\nContent-Length: 38\r\n"),
        with("Transfer-Encoding: chunked\r\n") + "1\r\nx\r\n0\r\n\r\n",
        with("Transfer-Encoding: chunked\r\n") + "0\r\nX-Trailer: y\r\n\r\n",
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        with("Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 5\r\n"),
        with("Transfer-Encoding: identity\r\n"),
        with("Transfer-Encoding: chunked, identity\r\n"),
        with("Transfer-Encoding : chunked\r\n"),
        with("Content-Length: 5\r\nContent-Length: 6\r\n"),
        with("Content-Length: 5, 6\r\n"),
        with("Content-Length: -1\r\n"),
        with("Content-Length: 0x5\r\n"),
        with("Content-Length: 99999999999999999999\r\n"),
        with("Expect: 100-continue\r\nContent-Length: 5\r\n"),
        with("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        with("Folded: a\r\n b\r\n"),
        with("No colon here\r\n"),
        with("Bad name: a\r\n"),
        with("Nul: a\0b\r\n"),
        with(&format!("Host: {HUB}\r\n")),
        with("Host: other.example\r\n"),
        "GET /v2/ HTTP/1.1\r\n\r\n".to_owned(),
        "GET /v2/ HTTP/1.1\r\nHost: a\tb\r\n\r\n".to_owned().replace('\t', "\u{1}"),
        format!("GET http://quay.io.cache.example/v2/ HTTP/1.1\r\nHost: {HUB}\r\n\r\n"),
        format!("GET ftp://{HUB}/v2/ HTTP/1.1\r\nHost: {HUB}\r\n\r\n"),
        format!("GET  /v2/ HTTP/1.1\r\nHost: {HUB}\r\n\r\n"),
        format!("GET /v2/ a HTTP/1.1\r\nHost: {HUB}\r\n\r\n"),
        format!("GET v2 HTTP/1.1\r\nHost: {HUB}\r\n\r\n"),
    ];
    for head in &heads {
        check_refused(&lab, 400, head).await;
    }
    assert_eq!(lab.upstream_requests(), 0);
}

/// Asserts that the version check succeeds with these fields, twice on one connection.
async fn check_ignored(lab: &Lab, method: &str, fields: &str) {
    let mut connection = lab.connect().await;
    for round in ["first", "second"] {
        let head = format!("{method} /v2/ HTTP/1.1\r\nHost: {HUB}\r\n{fields}\r\n");
        connection.send(head.as_bytes()).await.unwrap();
        let answer = within("the answer", connection.read_response(method)).await.unwrap();
        assert_eq!(answer.status, 200, "{round} {method} {fields:?}: {}", answer.text());
        assert_eq!(answer.header("upgrade"), None);
        assert_eq!(answer.header("connection"), None, "{round} {method} {fields:?}");
    }
}

#[tokio::test]
async fn k18_an_offer_to_upgrade_is_answered_by_http_1_1() {
    let lab = Lab::start().await;
    let rows = [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Connection: upgrade\r\nUpgrade: TLS/1.0, HTTP/2.0\r\n",
        "Upgrade: h2c\r\n",
        "Connection: Upgrade\r\n",
        "Connection: keep-alive, X-Own\r\nX-Own: 1\r\n",
        "Connection: TE\r\nTE: trailers\r\n",
        "TE: trailers, gzip;q=0.5\r\n",
        "Expect: 100-continue\r\n",
        "Expect: 100-continue\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\nContent-Type: application/json\r\n",
        "Proxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
    ];
    for fields in rows {
        for method in ["GET", "HEAD"] {
            check_ignored(&lab, method, fields).await;
        }
    }
}

#[tokio::test]
async fn k18_a_client_that_offers_to_upgrade_in_the_middle_of_its_push_still_reads_the_refusal() {
    check_push_reads_the_refusal("Connection: Upgrade\r\nUpgrade: h2c\r\n").await;
}

/// A chunked request without chunks is served. The bytes after it are not read.
#[tokio::test]
async fn k18_a_chunked_body_without_chunks_is_accepted() {
    let lab = Lab::start().await;
    let behind = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    for fields in [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: Chunked\r\nContent-Type: application/json\r\n",
        "Transfer-Encoding: chunked\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
    ] {
        for method in ["GET", "HEAD"] {
            let head = format!("{method} /v2/ HTTP/1.1\r\nHost: {HUB}\r\n{fields}\r\n0\r\n\r\n{behind}");
            let answer = lab.send_raw(head.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{method} {fields:?} -> {answer:?}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{method} {fields:?} -> {answer:?}");
            assert_eq!(answer.matches("\r\ndate: ").count(), 1, "{method} {fields:?} -> {answer:?}");
        }
    }
}

#[tokio::test]
async fn k18_missing_chunks_time_out_like_a_head() {
    let lab =
        Lab::start_with(|plan| plan.settings.header_wait_max = std::time::Duration::from_millis(300)).await;
    let head = format!("GET /v2/ HTTP/1.1\r\nHost: {HUB}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let answer = lab.send_raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
}

#[tokio::test]
async fn an_invalid_host_is_refused() {
    let lab = Lab::start().await;
    for host in ["a b", "user@docker.io.cache.example", "a/b", "[::1", "a:b", "a..b"] {
        let answer = lab.get(host, "/v2/").await;
        assert_eq!(answer.status, 400, "{host}");
    }
}

#[tokio::test]
async fn forwarded_hosts_are_not_believed() {
    let lab = Lab::start().await;
    let headers = [("x-forwarded-host", HUB), ("forwarded", "host=docker.io.cache.example")];
    let answer = lab.ask("GET", "nonsense.cache.example", "/v2/", &headers).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn a_tls_hello_is_answered_in_http() {
    let lab = Lab::start().await;
    // The record and handshake headers of TLS 1.2 and 1.3 hellos, then random bytes.
    let mut hello = vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    hello.extend((0_u16..507).map(|n| (n * 31 % 251) as u8));
    let answer = lab.send_raw(&hello).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
}

#[tokio::test]
async fn a_real_tls_client_learns_that_this_is_http() {
    let lab = Lab::start().await;
    let elsewhere = testkit::FakeRegistry::start_tls(Default::default(), Default::default()).await;
    let ca = elsewhere.authority().unwrap().pem();
    let opened =
        within("the refusal", testkit::client::Connection::open_tls(lab.address, "localhost", &ca)).await;
    let refusal = format!("{:?}", opened.expect_err("the port does not speak TLS"));
    assert!(refusal.contains("InvalidContentType") || refusal.contains("corrupt"), "{refusal}");
}

#[tokio::test]
async fn large_heads_are_taken_up_to_a_bound() {
    let lab = Lab::start().await;
    let field = |bytes: usize| [("range", "x".repeat(bytes))];
    let ask = async |fields: &[(&str, String)], target: &str| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        lab.ask("GET", HUB, target, &fields).await.status
    };
    assert_eq!(ask(&field(32 * 1024), "/v2/").await, 200);
    assert_eq!(ask(&field(41 * 1024), "/v2/").await, 431);
    let many: Vec<(&str, String)> = (0..63).map(|_| ("x-filler", "x".to_owned())).collect();
    assert_eq!(ask(&many, "/v2/").await, 200);
    let more: Vec<(&str, String)> = (0..64).map(|_| ("x-filler", "x".to_owned())).collect();
    assert_eq!(ask(&more, "/v2/").await, 431);
    let query = |bytes: usize| format!("/v2/?{}", "x".repeat(bytes - 5));
    assert_eq!(ask(&[], &query(8 * 1024)).await, 200);
    assert_eq!(ask(&[], &query(8 * 1024 + 1)).await, 414);
}

#[tokio::test]
async fn a_head_in_small_pieces_is_one_head() {
    let lab = Lab::start().await;
    let mut connection = lab.connect().await;
    for byte in format!("GET /v2/ HTTP/1.1\r\nHost: {HUB}\r\n\r\n").as_bytes() {
        connection.send(&[*byte]).await.unwrap();
    }
    assert_eq!(within("the answer", connection.read_response("GET")).await.unwrap().status, 200);
}
