//! Manifests: the headers that clients need, and the failures of an upstream.

use testkit::client::Response;
use testkit::{Auth, Behaviour, Door, Endpoint, Fault, Format, Image, Index, Kind, Rule, digest_of};

use crate::lab::{HUB, Lab, QUAY};

const TAGGED: &str = "/v2/library/busybox/manifests/1";

async fn lab_with_image() -> (Lab, Image) {
    let lab = Lab::start().await;
    let image = Image::small("one");
    lab.hub.put_image("library/busybox", "1", &image);
    (lab, image)
}

/// The headers that are the same in every answer.
fn lasting(answer: &Response) -> Vec<(String, String)> {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| !matches!(name.as_str(), "date" | "cache-status" | "age"));
    headers.sort();
    headers
}

fn check_error(answer: &Response, status: u16, code: &str, words: &[&str]) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{text}");
    assert_eq!(answer.header("content-length"), Some(text.len().to_string().as_str()));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["errors"][0]["code"], code);
    let message = document["errors"][0]["message"].as_str().unwrap();
    for word in words.iter().chain(&["docker.io", "cache", "request "]) {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[tokio::test]
async fn head_and_get_have_the_same_headers_by_tag_and_by_digest() {
    let lab = Lab::start().await;
    let index = Index::of(Format::Oci, &[Image::small("one"), Image::small("two")]);
    lab.hub.put_index("library/busybox", "1", &index);
    let by_digest = format!("/v2/library/busybox/manifests/{}", index.digest());
    let first = lab.ask("HEAD", HUB, TAGGED, &[]).await;
    for target in [TAGGED, &by_digest] {
        let get = lab.get(HUB, target).await;
        let head = lab.ask("HEAD", HUB, target, &[]).await;
        assert_eq!(get.status, 200);
        assert_eq!(lasting(&first), lasting(&head), "{target}");
        assert_eq!(lasting(&head), lasting(&get), "{target}");
        assert!(head.body.is_empty());
        assert_eq!(digest_of(&get.body), index.digest());
    }
    assert_eq!(first.header("content-type"), Some("application/vnd.oci.image.index.v1+json"));
    assert_eq!(first.header("docker-content-digest"), Some(index.digest()));
    assert_eq!(first.header("etag"), Some(format!("\"{}\"", index.digest()).as_str()));
    assert_eq!(first.header("content-length"), Some(index.manifest.size().to_string().as_str()));
    assert_eq!(first.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(first.header("transfer-encoding"), None);
    assert_eq!(first.header("server"), None);
}

#[tokio::test]
async fn nothing_a_client_accepts_changes_the_answer() {
    let (lab, image) = lab_with_image().await;
    let asks: [&[(&str, &str)]; 3] = [
        &[("accept", "text/html")],
        &[("accept-encoding", "gzip, zstd, deflate")],
        &[("accept", "application/vnd.docker.distribution.manifest.v1+json"), ("cookie", "a=b")],
    ];
    for headers in asks {
        let answer = lab.ask("GET", HUB, TAGGED, headers).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, image.manifest.bytes());
        assert_eq!(answer.header("content-encoding"), None);
    }
}

#[tokio::test]
async fn a_client_s_credentials_go_nowhere() {
    let (lab, _) = lab_with_image().await;
    let canary = "Basic Y2FuYXJ5OmNhbmFyeQ==";
    assert_eq!(lab.ask("GET", HUB, TAGGED, &[("authorization", canary)]).await.status, 200);
    for request in lab.hub.requests() {
        assert!(request.headers.iter().all(|(_, value)| !value.contains("Y2FuYXJ5")), "{request:?}");
    }
}

#[tokio::test]
async fn a_manifest_that_the_client_holds_is_not_sent_again() {
    let (lab, image) = lab_with_image().await;
    let etag = format!("\"{}\"", image.digest());
    for method in ["GET", "HEAD"] {
        let answer = lab.ask(method, HUB, TAGGED, &[("if-none-match", &etag)]).await;
        assert_eq!(answer.status, 304, "{method}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
        assert_eq!(answer.header("docker-content-digest"), Some(image.digest()));
        assert!(answer.body.is_empty());
    }
    let other = format!("\"{}\"", Image::small("two").digest());
    let answer = lab.ask("GET", HUB, TAGGED, &[("if-none-match", &other)]).await;
    assert_eq!((answer.status, answer.body), (200, image.manifest.bytes()));
}

#[tokio::test]
async fn cache_status_names_the_outcome() {
    let (lab, image) = lab_with_image().await;
    let by_digest = format!("/v2/library/busybox/manifests/{}", image.digest());
    let cache_status = |answer: &Response| answer.header("cache-status").unwrap().to_owned();
    assert_eq!(cache_status(&lab.get(HUB, TAGGED).await), "wharf; fwd=miss");
    assert_eq!(cache_status(&lab.get(HUB, TAGGED).await), "wharf; hit; detail=revalidated");
    assert_eq!(cache_status(&lab.get(HUB, &by_digest).await), "wharf; hit");
    lab.hub.set_door(Endpoint::Registry, Door::Refuse).await;
    let stale = lab.get(HUB, TAGGED).await;
    assert_eq!((stale.status, &stale.body), (200, &image.manifest.bytes()));
    assert_eq!(cache_status(&stale), "wharf; hit; detail=stale");
    assert!(stale.header("warning").unwrap().starts_with("299 - "));
    assert!(stale.header("age").unwrap().parse::<u64>().unwrap() < 60);
}

#[tokio::test]
async fn a_manifest_that_the_upstream_lacks_is_not_found() {
    let (lab, _) = lab_with_image().await;
    let answer = lab.get(HUB, "/v2/library/busybox/manifests/none").await;
    check_error(&answer, 404, "MANIFEST_UNKNOWN", &["404"]);
    let head = lab.ask("HEAD", HUB, "/v2/library/busybox/manifests/none", &[]).await;
    assert_eq!(head.status, 404);
    assert!(head.body.is_empty());
    assert!(head.header("content-length").unwrap().parse::<u64>().unwrap() > 0);
    let absent = format!("/v2/library/busybox/manifests/{}", Image::small("two").digest());
    check_error(&lab.get(HUB, &absent).await, 404, "MANIFEST_UNKNOWN", &["404"]);
}

#[tokio::test]
async fn a_refusal_upstream_is_denied_without_a_challenge() {
    let lab = Lab::start().await;
    lab.hub.change(|behaviour| {
        *behaviour = Behaviour {
            auth: Auth::Basic { user: "u".to_owned(), password: "p".to_owned() },
            ..Behaviour::default()
        };
    });
    check_error(&lab.get(HUB, TAGGED).await, 403, "DENIED", &["401", "account"]);
}

#[tokio::test]
async fn a_throttled_upstream_is_told_with_a_short_wait() {
    let lab = Lab::start().await;
    lab.hub.change(|behaviour| {
        behaviour.throttled = true;
        behaviour.retry_after = Some("3600".to_owned());
    });
    let answer = lab.get(HUB, TAGGED).await;
    check_error(&answer, 429, "TOOMANYREQUESTS", &["429"]);
    assert_eq!(answer.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn a_failing_upstream_is_a_bad_gateway_not_a_404() {
    let lab = Lab::start().await;
    lab.hub.script(Rule::new(Kind::HeadManifest, Fault::Status(503)));
    lab.hub.script(Rule::new(Kind::GetManifest, Fault::Status(503)));
    check_error(&lab.get(HUB, TAGGED).await, 502, "UNAVAILABLE", &["503"]);
    lab.quay.set_door(Endpoint::Registry, Door::Refuse).await;
    let answer = lab.get(QUAY, TAGGED).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("quay.io"), "{}", answer.text());
}

#[tokio::test]
async fn a_backend_that_hangs_is_answered_for() {
    let lab =
        Lab::start_with(|plan| plan.settings.answer_wait_max = std::time::Duration::from_millis(200)).await;
    lab.hub.set_door(Endpoint::Registry, Door::Mute).await;
    check_error(&lab.get(HUB, TAGGED).await, 504, "UNAVAILABLE", &["in time"]);
}

#[tokio::test]
async fn a_manifest_that_is_not_what_it_is_called_is_not_served() {
    let (lab, _) = lab_with_image().await;
    let digest = Image::small("two").digest().to_owned();
    let lie = Image::small("three").manifest.bytes();
    lab.hub.put_manifest_under("library/busybox", &digest, Format::Oci.manifest(), lie);
    let target = format!("/v2/library/busybox/manifests/{digest}");
    check_error(&lab.get(HUB, &target).await, 502, "UNAVAILABLE", &[]);
}

#[tokio::test]
async fn names_outside_the_grammar_ask_nobody() {
    let lab = Lab::start().await;
    let rows = [
        ("/v2/UPPER/manifests/1", "NAME_INVALID"),
        ("/v2/a/manifests/-dash", "TAG_INVALID"),
        ("/v2/a/manifests/sha256:short", "DIGEST_INVALID"),
        ("/v2/a/blobs/sha256:short", "DIGEST_INVALID"),
        ("/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", "DIGEST_INVALID"),
        ("/v2/a/../b/manifests/1", "NAME_INVALID"),
        ("/v2/a/%2e%2e/manifests/1", "NAME_INVALID"),
        ("/v2/a//b/manifests/1", "NAME_INVALID"),
        ("/v2/a/tags/list?n=many", "PAGINATION_NUMBER_INVALID"),
    ];
    for (target, code) in rows {
        let answer = lab.get(HUB, target).await;
        assert_eq!(answer.status, 400, "{target}: {}", answer.text());
        assert!(answer.text().contains(code), "{target}: {}", answer.text());
    }
    assert_eq!(lab.upstream_requests(), 0);
}

const SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// A manifest of schema 1 up to its signatures. Its digest covers this and the tail.
const SCHEMA_1: &str = "{\n   \"schemaVersion\": 1,\n   \"name\": \"library/old\",\n   \"tag\": \"1\",\n   \
    \"architecture\": \"amd64\",\n   \"fsLayers\": [\n      {\n         \"blobSum\": \
    \"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4\"\n      }\n   ],\n   \"history\": [\n      \
    {\n         \"v1Compatibility\": \"{\\\"id\\\":\\\"1\\\"}\"\n      }\n   ]";

/// The manifest with new signatures. The protected part says, in base64url, that the payload is the first 308
/// bytes and the tail `\n}`.
fn signed(time: &str) -> String {
    format!(
        "{SCHEMA_1},\n   \"signatures\": [\n      {{\n         \"header\": {{\"alg\": \"ES256\"}},\n         \"signature\": \
         \"made-up\",\n         \"protected\": \"{time}\"\n      }}\n   ]\n}}"
    )
}

/// `{"formatLength":308,"formatTail":"Cn0","time":"2015-01-01T00:00:00Z"}`, and the same a day later.
const TIMES: [&str; 2] = [
    "eyJmb3JtYXRMZW5ndGgiOjMwOCwiZm9ybWF0VGFpbCI6IkNuMCIsInRpbWUiOiIyMDE1LTAxLTAxVDAwOjAwOjAwWiJ9",
    "eyJmb3JtYXRMZW5ndGgiOjMwOCwiZm9ybWF0VGFpbCI6IkNuMCIsInRpbWUiOiIyMDE1LTAxLTAyVDAwOjAwOjAwWiJ9",
];

#[tokio::test]
async fn k10_a_signed_manifest_of_schema_1_is_pulled_by_the_digest_of_what_is_signed() {
    let lab = Lab::start().await;
    let payload = format!("{SCHEMA_1}\n}}");
    let digest = digest_of(payload.as_bytes());
    let [first, anew] = TIMES.map(signed);
    assert_ne!(digest, digest_of(first.as_bytes()), "its digest is not that of its bytes");
    lab.hub.put_manifest_under("library/busybox", &digest, SIGNED, first.clone());
    lab.hub.move_tag("library/busybox", "1", &digest);
    let by_digest = format!("/v2/library/busybox/manifests/{digest}");
    let check = |answer: &Response, body: &str| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(answer.header("content-type"), Some(SIGNED));
        assert_eq!(answer.header("content-length"), Some(first.len().to_string().as_str()));
        assert_eq!(answer.text(), body);
    };
    check(&lab.get(HUB, TAGGED).await, &first);
    // New signatures do not change the digest, so nothing is fetched again.
    lab.hub.put_manifest_under("library/busybox", &digest, SIGNED, anew);
    for target in [TAGGED, &by_digest] {
        check(&lab.get(HUB, target).await, &first);
        check(&lab.ask("HEAD", HUB, target, &[]).await, "");
    }
    assert_eq!(lab.hub.count(Kind::GetManifest), 1);
    for kind in [Kind::HeadManifest, Kind::GetManifest] {
        lab.hub.script(Rule::new(kind, Fault::Status(503)));
    }
    let stale = lab.get(HUB, TAGGED).await;
    check(&stale, &first);
    assert_eq!(stale.header("cache-status"), Some("wharf; hit; detail=stale"));
}

#[tokio::test]
async fn k10_a_manifest_of_schema_1_with_another_payload_is_not_served_under_its_digest() {
    let lab = Lab::start().await;
    let payload = format!("{SCHEMA_1}\n}}");
    let digest = digest_of(payload.as_bytes());
    let other = signed(TIMES[0]).replace("amd64", "arm64");
    assert_eq!(other.len(), signed(TIMES[0]).len());
    lab.hub.put_manifest_under("library/busybox", &digest, SIGNED, other);
    let answer = lab.get(HUB, &format!("/v2/library/busybox/manifests/{digest}")).await;
    check_error(&answer, 502, "UNAVAILABLE", &[&digest]);
    // Without signatures its digest is that of its bytes.
    let payload = payload.replace("amd64", "s390x");
    let plain = "application/vnd.docker.distribution.manifest.v1+json";
    let digest = lab.hub.put_manifest("library/busybox", Some("plain"), plain, payload.clone());
    for reference in ["plain", &digest] {
        let answer = lab.get(HUB, &format!("/v2/library/busybox/manifests/{reference}")).await;
        assert_eq!((answer.status, answer.text()), (200, payload.clone()), "{reference}");
        assert_eq!(answer.header("content-type"), Some(plain), "{reference}");
        assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()), "{reference}");
    }
}
