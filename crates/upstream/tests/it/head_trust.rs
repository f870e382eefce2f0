//! Whose word an answer is, and what a HEAD proves.

use bytes::Bytes;
use policy::head_trust::Stakes;
use testkit::{Auth, Behaviour, Endpoint, Fault, Kind, Rule};
use upstream::{BlobRange, Described, ErrorKind, Upstream};

use crate::rig::{Rig, bytes};

fn plain() -> Behaviour {
    Behaviour { auth: Auth::Anonymous, redirects: false, ..Behaviour::default() }
}

/// An answer of somebody in front of the registry.
fn answer(code: u16, headers: &[(&str, &str)], body: &'static str) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::StatusWith { code, headers, body: Bytes::from_static(body.as_bytes()) }
}

const VERSION: (&str, &str) = ("docker-distribution-api-version", "registry/2.0");
const JSON: (&str, &str) = ("content-type", "application/json");
const TEXT: (&str, &str) = ("content-type", "text/plain; charset=utf-8");
const NOTHING: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const PAGE: (&str, &str) = ("content-type", "text/html");
const UNKNOWN: &str = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;

/// Answers that no registry gave.
fn foreign(code: u16) -> Vec<Fault> {
    vec![
        answer(code, &[TEXT], "404 page not found\n"),
        answer(code, &[PAGE], "<html><body>default backend - 404</body></html>"),
        answer(code, &[PAGE, VERSION], "<html>nginx</html>"),
        answer(code, &[], ""),
        answer(code, &[JSON], "{}"),
        answer(code, &[JSON], r#"{"message":"no Route matched with those values"}"#),
        answer(code, &[JSON], r#"{"errors":[]}"#),
        answer(code, &[JSON], r#"{"errors":[{"status":"404","title":"Not Found"}]}"#),
        answer(code, &[JSON], r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#),
        answer(code, &[("www-authenticate", "Basic realm=\"proxy\"")], ""),
        // Pages that are not called so, behind a proxy that adds the registry's header to whatever it says.
        answer(code, &[VERSION], "<html>nginx</html>"),
        answer(code, &[VERSION], "\u{feff}\r\n\t <!DOCTYPE html><title>Not Found</title>"),
        answer(code, &[VERSION, TEXT], "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>"),
        answer(code, &[VERSION, TEXT], "404 page not found\n"),
        answer(code, &[VERSION, JSON], "{}"),
        answer(code, &[VERSION, JSON], r#"{"error":"not found"}"#),
        answer(code, &[VERSION, JSON], &UNKNOWN[..UNKNOWN.len() - 1]),
        answer(code, &[VERSION, JSON, ("content-encoding", "gzip")], "\u{1f}\u{8b}"),
        // Headers that a registry writes otherwise.
        answer(code, &[("docker-distribution-api-version", "registry/")], ""),
        answer(code, &[("docker-distribution-api-version", "proxy/2.0")], ""),
        answer(code, &[("docker-content-digest", "")], ""),
        answer(code, &[("docker-content-digest", "sha256:abc")], ""),
        answer(code, &[VERSION, ("docker-content-digest", "")], ""),
        answer(code, &[VERSION, ("docker-content-digest", "none")], ""),
    ]
}

/// Answers of a registry.
fn own(code: u16) -> Vec<Fault> {
    vec![
        answer(code, &[JSON], UNKNOWN),
        answer(code, &[TEXT], UNKNOWN),
        answer(code, &[], UNKNOWN),
        answer(code, &[VERSION], ""),
        answer(code, &[VERSION, TEXT], ""),
        answer(code, &[("docker-distribution-api-version", "registry/2.0 registry/2.1")], ""),
        answer(code, &[("docker-content-digest", NOTHING)], ""),
        // As ECR asks who we are.
        answer(
            code,
            &[VERSION, TEXT, ("www-authenticate", "Basic realm=\"https://ecr\"")],
            "Not Authorized\n",
        ),
        answer(code, &[JSON, ("docker-content-digest", "")], UNKNOWN),
        answer(code, &[JSON, ("content-encoding", "gzip")], UNKNOWN),
    ]
}

#[tokio::test]
async fn k12_only_a_registrys_own_word_is_a_no() {
    for (code, kind) in [
        (404, ErrorKind::NotFound),
        (410, ErrorKind::NotFound),
        (401, ErrorKind::Denied),
        (403, ErrorKind::Denied),
        (451, ErrorKind::Denied),
    ] {
        let cases = own(code).into_iter().map(|fault| (fault, kind));
        let cases = cases.chain(foreign(code).into_iter().map(|fault| (fault, ErrorKind::Unconfirmed)));
        for (fault, kind) in cases {
            let rig = Rig::start(plain()).await;
            let (manifest, blob) = (rig.put_manifest(), rig.registry.put_blob(bytes(100)));
            for asked in [Kind::GetManifest, Kind::HeadManifest, Kind::GetBlob, Kind::HeadBlob] {
                rig.registry.script(Rule::new(asked, fault.clone()));
            }
            let got = [
                rig.get("latest").await.unwrap_err(),
                rig.get(&manifest).await.unwrap_err(),
                rig.describe("latest", Stakes::Held).await.unwrap_err(),
                rig.blob(&blob, BlobRange::Whole).await.unwrap_err(),
                rig.blob(&blob, BlobRange::From(50)).await.unwrap_err(),
                rig.blob_size(&blob).await.unwrap_err(),
            ];
            for error in got {
                assert_eq!((error.kind(), error.status()), (kind, Some(code)), "{fault:?}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn k12_an_error_body_that_never_ends_shows_nothing() {
    let cuts =
        [Fault::CutAt(10), Fault::ResetAt(10), Fault::CutAt(0), Fault::Length(UNKNOWN.len() as u64 + 1)];
    for fault in cuts {
        for framing in [None, Some(Fault::Chunked)] {
            let rig = Rig::start(plain()).await;
            rig.put_manifest();
            let mut cut = Rule::new(Kind::GetManifest, answer(404, &[JSON, VERSION], UNKNOWN));
            // A length that is claimed and chunks exclude one another.
            if let Some(framing) = framing.filter(|_| !matches!(fault, Fault::Length(_))) {
                cut = cut.and(framing);
            }
            rig.registry.script(cut.and(fault.clone()));
            let error = rig.get("latest").await.unwrap_err();
            assert_eq!((error.kind(), error.status()), (ErrorKind::Unconfirmed, Some(404)), "{fault:?}");
        }
    }
    // The connection's end may be that of a body of which nothing came.
    let rig = Rig::start(plain()).await;
    rig.put_manifest();
    let bare = Rule::new(Kind::GetManifest, answer(404, &[VERSION], "")).and(Fault::CloseDelimited);
    rig.registry.script(bare);
    assert_eq!(rig.get("latest").await.unwrap_err().kind(), ErrorKind::Unconfirmed);
    let rig = Rig::start(plain()).await;
    rig.put_manifest();
    let large = Bytes::from([UNKNOWN.as_bytes(), &vec![b' '; 100 * 1024]].concat());
    let large = Fault::StatusWith { code: 404, headers: Vec::new(), body: large };
    rig.registry.script(Rule::new(Kind::GetManifest, large));
    assert_eq!(rig.get("latest").await.unwrap_err().kind(), ErrorKind::Unconfirmed);
}

#[tokio::test]
async fn k12_an_object_store_does_not_speak_for_the_registry_and_another_registry_does() {
    for (fault, kind) in [
        (
            answer(404, &[("content-type", "application/xml")], "<Error><Code>NoSuchKey</Code></Error>"),
            ErrorKind::Unconfirmed,
        ),
        (answer(404, &[JSON], UNKNOWN), ErrorKind::NotFound),
    ] {
        let rig = Rig::start(Behaviour { redirects: true, ..plain() }).await;
        let digest = rig.registry.put_blob(bytes(100));
        rig.registry.script(Rule::new(Kind::GetBlob, fault).at(Endpoint::Cdn));
        assert_eq!(rig.blob(&digest, BlobRange::Whole).await.unwrap_err().kind(), kind);
    }
}

/// Every way to refuse a HEAD, by the registry itself or by somebody in front of it.
fn refusals() -> Vec<Fault> {
    let statuses = [400, 401, 403, 404, 405, 410, 418, 451, 500, 501, 502, 503, 504].map(Fault::Status);
    statuses.into_iter().chain(foreign(404)).chain(own(404)).chain(own(403)).collect()
}

#[tokio::test]
async fn k7_where_a_head_is_refused_a_get_decides() {
    for refusal in refusals().into_iter().chain([Fault::HtmlPortal]) {
        for stakes in [Stakes::Held, Stakes::Nothing] {
            let rig = Rig::start(plain()).await;
            let digest = rig.put_manifest();
            rig.registry.script(Rule::new(Kind::HeadManifest, refusal.clone()));
            for reference in ["latest", &digest] {
                let described = rig.describe(reference, stakes).await.unwrap();
                let Described::Whole(body) = described else { panic!("{refusal:?}: {described:?}") };
                assert_eq!(testkit::digest_of(&body.bytes), digest, "{refusal:?}");
            }
            assert_eq!(rig.registry.log().count(Kind::HeadManifest), 2, "it is not asked again");
        }
    }
}

#[tokio::test]
async fn k7_where_a_head_of_a_blob_is_refused_a_get_decides() {
    for refusal in refusals().into_iter().chain([Fault::HtmlPortal]) {
        let rig = Rig::start(plain()).await;
        let digest = rig.registry.put_blob(bytes(10_000));
        rig.registry.script(Rule::new(Kind::HeadBlob, refusal.clone()));
        assert_eq!(rig.blob_size(&digest).await.unwrap(), Some(10_000), "{refusal:?}");
        assert!(rig.registry.log().body_bytes(&digest) <= 1, "{refusal:?}");
    }
}

#[tokio::test]
async fn k7_a_head_that_a_get_was_seen_to_agree_with_needs_none_any_more() {
    let rig = Rig::start(plain()).await;
    rig.put_manifest();
    let log = rig.registry.log();
    for (tag, gets) in [("missing", 1), ("missing", 1), ("sha256-probe.sig", 1)] {
        assert_eq!(rig.describe(tag, Stakes::Nothing).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(log.count(Kind::GetManifest), gets, "{tag}");
    }
    // What is held is not given up for a HEAD.
    assert_eq!(rig.describe("missing", Stakes::Held).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(log.count(Kind::GetManifest), 2);
    // One that a GET belies is not believed any more.
    rig.registry.script(Rule::new(Kind::HeadManifest, Fault::Status(404)));
    assert!(matches!(rig.describe("latest", Stakes::Held).await.unwrap(), Described::Whole(_)));
    assert!(matches!(rig.describe("latest", Stakes::Nothing).await.unwrap(), Described::Whole(_)));
}

/// A host may have repositories of its own and, behind other names, copies of somebody else's.
#[tokio::test]
async fn k7_agreement_in_one_repository_proves_nothing_for_another() {
    let rig = Rig::start(plain()).await;
    rig.put_manifest();
    let (other, missing) = ("library/other".parse().unwrap(), crate::rig::parse("missing"));
    for _ in 0..2 {
        let asked = Upstream::head_manifest(&rig.upstream, &other, &missing, Stakes::Nothing).await;
        assert_eq!(asked.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(rig.registry.log().count(Kind::GetManifest), 1);
    rig.registry.script(Rule::new(Kind::HeadManifest, Fault::Status(404)));
    assert!(matches!(rig.describe("latest", Stakes::Nothing).await.unwrap(), Described::Whole(_)));
}

#[tokio::test]
async fn k7_agreement_about_blobs_and_refusals_is_learnt_apart() {
    let rig = Rig::start(plain()).await;
    let blob = rig.registry.put_blob(bytes(100));
    rig.registry.remove_blob(&blob);
    let log = rig.registry.log();
    assert_eq!(rig.describe("missing", Stakes::Nothing).await.unwrap_err().kind(), ErrorKind::NotFound);
    for _ in 0..2 {
        assert_eq!(rig.blob_size(&blob).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(log.count(Kind::GetBlob), 1);
    }
    for kind in [Kind::HeadManifest, Kind::GetManifest] {
        rig.registry.script(Rule::new(kind, Fault::Status(403)));
    }
    log.clear();
    for _ in 0..2 {
        assert_eq!(rig.describe("latest", Stakes::Nothing).await.unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(log.count(Kind::GetManifest), 1);
    }
}

/// A web server that only serves files agrees with itself too. That saves GETs; its word proves as little as
/// before.
#[tokio::test]
async fn k7_agreement_makes_nobody_a_registry() {
    let rig = Rig::start(plain()).await;
    for kind in [Kind::HeadManifest, Kind::GetManifest] {
        rig.registry.script(Rule::new(kind, answer(404, &[PAGE], "<html>Not Found</html>")));
    }
    for _ in 0..3 {
        let error = rig.describe("missing", Stakes::Nothing).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Unconfirmed, Some(404)));
    }
    assert_eq!(rig.registry.log().count(Kind::GetManifest), 1);
}

#[tokio::test]
async fn k7_a_get_that_fails_decides_nothing() {
    let rig = Rig::start(plain()).await;
    rig.put_manifest();
    rig.registry.script(Rule::new(Kind::HeadManifest, Fault::Status(404)));
    let broken = rig.registry.script(Rule::new(Kind::GetManifest, Fault::Status(502)));
    let error = rig.describe("latest", Stakes::Nothing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    broken.remove();
    assert!(matches!(rig.describe("latest", Stakes::Nothing).await.unwrap(), Described::Whole(_)));
}

#[tokio::test]
async fn k9_a_length_of_zero_is_none() {
    let rig = Rig::start(plain()).await;
    rig.put_manifest();
    for fault in [Fault::Header("content-length", "0".to_owned()), Fault::WithoutHeader("content-length")] {
        rig.registry.script(Rule::new(Kind::HeadManifest, fault));
        let head = rig.head("latest").await.unwrap();
        assert!(head.digest.is_some() && head.size.is_none());
    }
}

#[tokio::test]
async fn k9_a_blob_whose_head_tells_no_length_is_asked_by_get() {
    let faults = [
        Fault::Header("content-length", "0".to_owned()),
        Fault::WithoutHeader("content-length"),
        Fault::Chunked,
    ];
    for fault in faults {
        for ranges in [true, false] {
            let rig = Rig::start(plain()).await;
            let digest = rig.registry.put_blob(bytes(10_000));
            rig.registry.script(Rule::new(Kind::HeadBlob, fault.clone()));
            if !ranges {
                rig.registry.script(Rule::new(Kind::GetBlob, Fault::RangeIgnored));
            }
            assert_eq!(rig.blob_size(&digest).await.unwrap(), Some(10_000), "{fault:?}");
            // Where the GET tells as little, nothing is made up.
            rig.registry.script(Rule::new(Kind::GetBlob, Fault::RangeIgnored).and(Fault::Chunked));
            assert_eq!(rig.blob_size(&digest).await.unwrap(), None, "{fault:?}");
            rig.registry.script(Rule::new(Kind::GetBlob, Fault::Status(502)));
            assert_eq!(rig.blob_size(&digest).await.unwrap(), None, "{fault:?}");
        }
    }
    let rig = Rig::start(plain()).await;
    let empty = rig.registry.put_blob(Vec::new());
    assert_eq!(rig.blob_size(&empty).await.unwrap(), Some(0));
    assert_eq!(rig.registry.log().count(Kind::GetBlob), 0);
}
