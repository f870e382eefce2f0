use bytes::Bytes;

use super::{REPOSITORY, ask, blob, get, manifest, simple};
use crate::client::{Broken, Connection};
use crate::{Ending, Endpoint, FakeRegistry, Fault, Kind, Rule, within};

const CONTENT: &str = "0123456789";

/// A registry with one blob, with `fault` for every GET of it.
async fn with_fault(fault: Fault) -> (FakeRegistry, String) {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    registry.script(Rule::new(Kind::GetBlob, fault));
    (registry, digest)
}

async fn wait_ended(registry: &FakeRegistry, ending: Ending) {
    let has_ended = |log: &crate::Log| log.requests().last().is_some_and(|last| last.ending == Some(ending));
    registry.log().wait_until("the end of the answer", has_ended).await;
}

#[tokio::test]
async fn a_cut_body_ends_at_that_byte_with_a_fin() {
    for at in [0, 1, 9] {
        let (registry, digest) = with_fault(Fault::CutAt(at)).await;
        let mut connection = Connection::open(registry.address_of(Endpoint::Registry)).await.unwrap();
        connection.request("GET", "h", &blob(&digest), &[]).await.unwrap();
        let head = connection.read_head("GET").await.unwrap();
        assert_eq!(head.header("content-length"), Some("10"));
        let (body, end) = within("the end", connection.read_rest()).await;
        assert_eq!(body, CONTENT[..at as usize]);
        assert!(matches!(end, Err(Broken::Closed)), "{end:?}");
        assert_eq!(registry.log().body_bytes(&digest), at);
        wait_ended(&registry, Ending::Broken).await;
    }
}

#[tokio::test]
async fn a_cut_sends_a_fin_even_with_unread_requests() {
    let (registry, digest) = with_fault(Fault::CutAt(4)).await;
    let mut connection = Connection::open(registry.address_of(Endpoint::Registry)).await.unwrap();
    let target = blob(&digest);
    let pipelined = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(1000);
    connection.send(pipelined.as_bytes()).await.unwrap();
    connection.read_head("GET").await.unwrap();
    let (body, end) = within("the end", connection.read_rest()).await;
    assert_eq!(body, "0123");
    assert!(matches!(end, Err(Broken::Closed)), "{end:?}");
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn a_chunked_body_can_be_cut_before_its_end_and_a_delimited_one_unseen() {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    registry.script(Rule::new(Kind::GetBlob, Fault::Chunked).and(Fault::CutAt(10)).once());
    let cut = get(&registry, &blob(&digest)).await;
    assert_eq!((cut.text().as_str(), cut.complete, cut.header("content-length")), (CONTENT, false, None));
    registry.script(Rule::new(Kind::GetBlob, Fault::Chunked).once());
    let whole = get(&registry, &blob(&digest)).await;
    assert_eq!(
        (whole.text().as_str(), whole.complete, whole.header("content-length")),
        (CONTENT, true, None)
    );
    registry.script(Rule::new(Kind::GetBlob, Fault::CloseDelimited).and(Fault::CutAt(4)).once());
    let unseen = get(&registry, &blob(&digest)).await;
    assert_eq!((unseen.text().as_str(), unseen.complete), ("0123", true));
    assert_eq!((unseen.header("content-length"), unseen.header("transfer-encoding")), (None, None));
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let gate = crate::Gate::new();
    let (registry, digest) = with_fault(Fault::ResetAt(3)).await;
    let rule = Rule::new(Kind::GetBlob, Fault::PauseAt(3, gate.clone())).and(Fault::ResetAt(3));
    registry.script(rule);
    let mut connection = Connection::open(registry.address_of(Endpoint::Registry)).await.unwrap();
    connection.request("GET", "h", &blob(&digest), &[]).await.unwrap();
    connection.read_head("GET").await.unwrap();
    let mut seen = 0;
    while seen < 3 {
        seen += within("three bytes", connection.read_piece(10)).await.unwrap().unwrap().len();
    }
    gate.release();
    let (rest, end) = within("the reset", connection.read_rest()).await;
    assert!(rest.is_empty());
    assert!(matches!(end, Err(Broken::Reset)), "{end:?}");

    registry.script(Rule::new(Kind::GetBlob, Fault::Reset));
    let error = ask(&registry, Endpoint::Registry, "GET", &blob(&digest), &[]).await.unwrap_err();
    assert!(matches!(error, Broken::Reset), "{error:?}");
}

#[tokio::test]
async fn missing_and_malformed_responses() {
    let (registry, digest) = with_fault(Fault::Close).await;
    let error = ask(&registry, Endpoint::Registry, "GET", &blob(&digest), &[]).await.unwrap_err();
    assert!(matches!(error, Broken::Closed), "{error:?}");
    registry.script(Rule::new(Kind::GetBlob, Fault::Raw(Bytes::from_static(b"HTTP/9 what?\r\n\r\n\0"))));
    let mut connection = Connection::open(registry.address_of(Endpoint::Registry)).await.unwrap();
    connection.request("GET", "h", &blob(&digest), &[]).await.unwrap();
    let (raw, end) = within("the raw answer", connection.read_raw_to_end()).await;
    assert_eq!(raw, "HTTP/9 what?\r\n\r\n\0");
    assert!(end.is_ok());
}

#[tokio::test]
async fn statuses_redirects_and_pages_of_html() {
    let (registry, digest) = with_fault(Fault::Status(503)).await;
    let target = blob(&digest);
    let down = get(&registry, &target).await;
    assert_eq!((down.status, down.header("etag")), (503, None));
    registry.change(|behaviour| behaviour.retry_after = Some("7".to_owned()));
    registry.script(Rule::new(Kind::GetBlob, Fault::Status(429)));
    assert_eq!(get(&registry, &target).await.header("retry-after"), Some("7"));
    let headers = vec![("x-odd".to_owned(), "1".to_owned())];
    let body = Bytes::from_static(b"teapot");
    registry.script(Rule::new(Kind::GetBlob, Fault::StatusWith { code: 418, headers, body }));
    let odd = get(&registry, &target).await;
    assert_eq!((odd.status, odd.header("x-odd"), odd.text().as_str()), (418, Some("1"), "teapot"));
    registry.script(Rule::new(Kind::GetBlob, Fault::RedirectTo("http://x.example/y".to_owned())));
    let away = get(&registry, &target).await;
    assert_eq!((away.status, away.header("location")), (307, Some("http://x.example/y")));
    registry.script(Rule::new(Kind::GetBlob, Fault::RedirectLoop));
    let own = format!("{}{target}", registry.url());
    assert_eq!(get(&registry, &target).await.header("location"), Some(&*own));
    registry.script(Rule::new(Kind::GetBlob, Fault::HtmlPortal));
    let portal = get(&registry, &target).await;
    assert_eq!((portal.status, portal.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(portal.text().contains("<html>") && portal.header("docker-content-digest").is_none());
}

#[tokio::test]
async fn a_refused_credential_comes_with_the_challenge() {
    let registry = FakeRegistry::start().await;
    registry.script(Rule::new(Kind::Version, Fault::Status(503)).before_auth().once());
    assert_eq!(get(&registry, "/v2/").await.status, 503);
    registry.script(Rule::new(Kind::Version, Fault::Status(401)).before_auth().once());
    let refused = get(&registry, "/v2/").await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer realm="));
}

#[tokio::test]
async fn wrong_bytes_lengths_and_headers() {
    let (registry, digest) = with_fault(Fault::FlipBit(3)).await;
    let target = blob(&digest);
    assert_eq!(get(&registry, &target).await.body, "0122456789");
    registry.script(Rule::new(Kind::GetBlob, Fault::Body(Bytes::from_static(b"other"))));
    let other = get(&registry, &target).await;
    assert_eq!((other.text().as_str(), other.header("docker-content-digest")), ("other", Some(&*digest)));
    registry.script(Rule::new(Kind::GetBlob, Fault::Length(12)));
    let short = get(&registry, &target).await;
    assert_eq!(
        (short.text().as_str(), short.complete, short.header("content-length")),
        (CONTENT, false, Some("12"))
    );
    registry.script(Rule::new(Kind::GetBlob, Fault::Length(4)));
    let long = get(&registry, &target).await;
    assert_eq!((long.text().as_str(), long.complete), ("0123", true));
    let gzip = Fault::Header("content-encoding", "gzip".to_owned());
    let rule = Rule::new(Kind::GetBlob, gzip).and(Fault::WithoutHeader("content-type"));
    registry.script(rule.and(Fault::Header("etag", "\"odd\"".to_owned())));
    let odd = get(&registry, &target).await;
    assert_eq!((odd.header("content-encoding"), odd.header("content-type")), (Some("gzip"), None));
    assert_eq!(odd.headers.iter().filter(|(name, _)| name == "etag").count(), 1);
    registry.script(Rule::new(Kind::HeadBlob, Fault::Length(3)));
    let head = ask(&registry, Endpoint::Registry, "HEAD", &target, &[]).await.unwrap();
    assert_eq!(head.header("content-length"), Some("3"));
}

#[tokio::test]
async fn a_tag_moves_between_head_and_get() {
    let registry = simple().await;
    let old = registry.put_manifest(REPOSITORY, Some("x"), "text/plain", "old");
    let new = registry.put_manifest(REPOSITORY, None, "text/plain", "new");
    let swap = Fault::MoveTag { repository: REPOSITORY.into(), tag: "x".into(), digest: new.clone() };
    registry.script(Rule::new(Kind::HeadManifest, swap).once());
    let head = ask(&registry, Endpoint::Registry, "HEAD", &manifest("x"), &[]).await.unwrap();
    assert_eq!(head.header("docker-content-digest"), Some(&*old));
    let moved = get(&registry, &manifest("x")).await;
    assert_eq!((moved.header("docker-content-digest"), moved.text().as_str()), (Some(&*new), "new"));
}

#[tokio::test]
async fn connections_are_reused_until_a_rule_ends_them() {
    let registry = simple().await;
    let digest = registry.put_blob(CONTENT);
    let mut connection = Connection::open(registry.address_of(Endpoint::Registry)).await.unwrap();
    // Two at once, then one more.
    connection.request("GET", "h", &blob(&digest), &[]).await.unwrap();
    connection.request("GET", "h", "/v2/", &[]).await.unwrap();
    assert_eq!(connection.read_response("GET").await.unwrap().body, CONTENT);
    assert_eq!(connection.read_response("GET").await.unwrap().body, "{}");
    registry.script(Rule::new(Kind::GetBlob, Fault::CloseAfter).once());
    connection.request("GET", "h", &blob(&digest), &[]).await.unwrap();
    let last = connection.read_response("GET").await.unwrap();
    assert_eq!((last.complete, last.header("connection")), (true, None));
    let (rest, end) = within("the end", connection.read_raw_to_end()).await;
    assert!(rest.is_empty() && end.is_ok());
    assert_eq!(registry.log().connections(Endpoint::Registry), 1);
    let numbers: Vec<u64> = registry.requests().iter().map(|request| request.connection).collect();
    assert_eq!(numbers, [0, 0, 0]);

    let polite = ask(&registry, Endpoint::Registry, "GET", "/v2/", &[("connection", "close")]).await.unwrap();
    assert_eq!(polite.header("connection"), Some("close"));
}
