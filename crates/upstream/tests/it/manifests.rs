//! Manifests and what must not pass for one.

use bytes::Bytes;
use testkit::{Auth, Behaviour, Fault, Kind, Rule};
use upstream::{ErrorKind, MANIFEST_BYTES_MAX};

use crate::rig::{MANIFEST_TYPE, REPOSITORY, Rig};

fn anonymous() -> Behaviour {
    Behaviour { auth: Auth::Anonymous, ..Behaviour::default() }
}

/// The kind of error that a GET of the manifest ends in under these faults.
async fn refused(faults: Vec<Fault>) -> ErrorKind {
    let rig = Rig::start(anonymous()).await;
    rig.put_manifest();
    let mut faults = faults.into_iter();
    let rule = Rule::new(Kind::GetManifest, faults.next().unwrap());
    rig.registry.script(faults.fold(rule, Rule::and));
    rig.get("latest").await.unwrap_err().kind()
}

#[tokio::test]
async fn what_the_headers_claim_is_passed_on() {
    let rig = Rig::start(anonymous()).await;
    let digest = rig.put_manifest();
    let head = rig.head("latest").await.unwrap();
    assert_eq!(head.digest.unwrap().to_string(), digest);
    assert_eq!(head.media_type.unwrap().as_str(), MANIFEST_TYPE);
    assert_eq!(head.size, Some(19));
    let body = rig.get(&digest).await.unwrap();
    assert_eq!(body.bytes.len(), 19);
    assert_eq!(body.digest.unwrap().to_string(), digest);
    assert_eq!(body.media_type.unwrap().as_str(), MANIFEST_TYPE);
}

#[tokio::test]
async fn f16_claims_that_are_missing_or_make_no_sense_are_none() {
    let rig = Rig::start(anonymous()).await;
    rig.put_manifest();
    let rule =
        Rule::new(Kind::HeadManifest, Fault::Header("docker-content-digest", "sha256:short".to_owned()));
    let odd = [Fault::Header("content-type", "nonsense".to_owned()), Fault::WithoutHeader("content-length")];
    rig.registry.script(odd.into_iter().fold(rule, Rule::and));
    let head = rig.head("latest").await.unwrap();
    assert_eq!((head.digest, head.media_type, head.size), (None, None, None));
}

#[tokio::test]
async fn s13_one_set_of_headers_is_sent_whatever_was_asked() {
    let rig = Rig::start(Behaviour::default()).await;
    rig.put_manifest();
    rig.get("latest").await.unwrap();
    let requests = rig.registry.requests();
    let request =
        requests.iter().find(|request| request.status == Some(200) && request.kind == Kind::GetManifest);
    let request = request.unwrap();
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "authorization", "host", "user-agent"]);
    assert_eq!(request.header("accept"), Some(oci::ACCEPTED_MANIFESTS));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert!(request.header("user-agent").unwrap().starts_with("wharf/"));
}

#[tokio::test]
async fn f12_only_a_not_found_is_one() {
    let cases = [
        (404, ErrorKind::NotFound),
        (410, ErrorKind::NotFound),
        (401, ErrorKind::Denied),
        (403, ErrorKind::Denied),
        (451, ErrorKind::Denied),
        (400, ErrorKind::Invalid),
        (204, ErrorKind::Invalid),
        (206, ErrorKind::Invalid),
        (304, ErrorKind::Invalid),
        (307, ErrorKind::Invalid),
        (418, ErrorKind::Invalid),
    ];
    for (status, kind) in cases {
        let rig = Rig::start(anonymous()).await;
        rig.put_manifest();
        rig.registry.script(Rule::new(Kind::GetManifest, Fault::Status(status)));
        let error = rig.get("latest").await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, Some(status)));
        assert_eq!(rig.registry.requests().len(), 1, "{status} is not asked again");
    }
}

#[tokio::test]
async fn f17_a_body_is_given_as_it_came_whatever_encoding_it_is_called() {
    for encoding in ["gzip", "zstd", "identity, gzip", "", "Identity"] {
        let rig = Rig::start(anonymous()).await;
        let digest = rig.put_manifest();
        let label = Fault::Header("content-encoding", encoding.to_owned());
        rig.registry.script(Rule::new(Kind::GetManifest, label));
        let bytes = rig.get(&digest).await.unwrap().bytes;
        assert_eq!(testkit::digest_of(&bytes), digest, "{encoding}");
    }
}

#[tokio::test]
async fn f18_a_portal_is_no_registry() {
    assert_eq!(refused(vec![Fault::HtmlPortal]).await, ErrorKind::Invalid);
    // JSON that is only called a page is for those to judge who know the digest.
    let rig = Rig::start(anonymous()).await;
    let digest = rig.put_manifest();
    let page = Fault::Header("content-type", "Text/HTML; charset=utf-8".to_owned());
    rig.registry.script(Rule::new(Kind::GetManifest, page));
    assert_eq!(testkit::digest_of(&rig.get(&digest).await.unwrap().bytes), digest);
}

#[tokio::test]
async fn s21_a_manifest_of_four_mebibytes_is_read_and_one_byte_more_is_not() {
    let rig = Rig::start(anonymous()).await;
    let fits = Bytes::from(vec![b' '; MANIFEST_BYTES_MAX]);
    let digest = rig.registry.put_manifest(REPOSITORY, None, MANIFEST_TYPE, fits.clone());
    assert_eq!(rig.get(&digest).await.unwrap().bytes, fits);
    for framing in [None, Some(Fault::Chunked)] {
        let mut faults = vec![Fault::Body(Bytes::from(vec![b' '; MANIFEST_BYTES_MAX + 1]))];
        faults.extend(framing);
        assert_eq!(refused(faults).await, ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn f05_a_manifest_that_breaks_off_is_asked_for_again() {
    let rig = Rig::start(anonymous()).await;
    let digest = rig.put_manifest();
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::CutAt(5)).once());
    assert_eq!(rig.get(&digest).await.unwrap().bytes.len(), 19);
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::ResetAt(5)));
    rig.registry.log().clear();
    assert_eq!(rig.get(&digest).await.unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(rig.registry.log().count(Kind::GetManifest), 3);
}

#[tokio::test]
async fn f20_interim_answers_are_stepped_over_and_monstrous_heads_are_refused() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let rig = Rig::start(anonymous()).await;
    rig.put_manifest();
    rig.registry.script(Rule::new(Kind::GetManifest, Fault::Raw(answer.into())));
    assert_eq!(rig.get("latest").await.unwrap().bytes, "{}");
    let many: String = (0..10_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let large = format!("x: {}\r\n", "y".repeat(1024 * 1024));
    for headers in [many, large] {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\n{{}}");
        let kind = refused(vec![Fault::Raw(answer.into())]).await;
        assert!(matches!(kind, ErrorKind::Unreachable | ErrorKind::Invalid), "{kind:?}");
    }
}

#[tokio::test]
async fn the_rate_limit_is_shown() {
    let limit =
        testkit::RateLimit { limit: 100, remaining: 77, window: std::time::Duration::from_secs(21_600) };
    let rig = Rig::start(Behaviour { rate_limit: Some(limit), ..anonymous() }).await;
    rig.put_manifest();
    rig.head("latest").await.unwrap();
    assert_eq!(rig.sample("wharf_upstream_rate_limit{registry=\"fake\"}"), Some(100));
    assert_eq!(rig.sample("wharf_upstream_rate_limit_remaining{registry=\"fake\"}"), Some(77));
}
