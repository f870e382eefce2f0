use std::time::Duration;

use cache::{BlobAnswer, ManifestAnswer};
use oci::{Algorithm, ByteRange, Digest};

use super::*;

/// The content of an answer in memory, as text.
pub(super) fn text_of(answer: Answer) -> String {
    match answer.content {
        Content::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Content::Blob(_) | Content::Parts(_) | Content::Streamed(_) | Content::Breakable(_) => {
            panic!("the answer is not in memory")
        }
    }
}

/// Asserts the status, the body length and the sorted header lines of the answer to this method.
fn check(answer: Answer, method: &Method, status: u16, body_length: u64, lines: &[&str]) {
    let response = answer.into_response(method, None);
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.body().length, body_length);
    let lines_of = |headers: &HeaderMap| {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines_of(response.headers()), lines);
}

fn manifest(outcome: Outcome, age: Option<u64>) -> ManifestAnswer {
    ManifestAnswer {
        digest: Digest::of(Algorithm::Sha256, b"{}"),
        media_type: "application/vnd.oci.image.index.v1+json; charset=utf-8".parse().unwrap(),
        size: 2,
        bytes: Some(Bytes::from_static(b"{}")),
        file: None,
        outcome,
        age: age.map(Duration::from_secs),
    }
}

const OF_BRACES: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

#[test]
fn a_manifest_has_the_same_headers_for_head_and_get() {
    let digest = format!("docker-content-digest: {OF_BRACES}");
    let etag = format!("etag: \"{OF_BRACES}\"");
    let lines = [
        "cache-status: wharf; fwd=miss",
        "content-length: 2",
        "content-type: application/vnd.oci.image.index.v1+json; charset=utf-8",
        "docker-content-digest: ",
        "docker-distribution-api-version: registry/2.0",
        "etag: ",
        "x-content-type-options: nosniff",
    ];
    let mut lines = lines;
    (lines[3], lines[5]) = (&digest, &etag);
    let answer = || manifest::answer(manifest(Outcome::Miss, None)).with_api_version();
    check(answer(), &Method::GET, 200, 2, &lines);
    check(answer(), &Method::HEAD, 200, 0, &lines);
    let described = ManifestAnswer { bytes: None, ..manifest(Outcome::Miss, None) };
    check(manifest::answer(described).with_api_version(), &Method::HEAD, 200, 0, &lines);
}

#[test]
fn a_stale_manifest_says_so_and_how_old_its_check_is() {
    let answer = manifest::answer(manifest(Outcome::Stale, Some(90)));
    assert_eq!(answer.headers[header::AGE], "90");
    assert_eq!(answer.headers[header::WARNING], "299 - \"stale: the upstream cannot be asked\"");
    assert_eq!(answer.headers[CACHE_STATUS], "wharf; hit; detail=stale");
    let fresh = manifest::answer(manifest(Outcome::Revalidated, Some(0)));
    assert_eq!(fresh.headers[header::AGE], "0");
    assert!(!fresh.headers.contains_key(header::WARNING));
}

#[test]
fn a_manifest_that_the_client_holds_is_not_sent() {
    let digest = format!("docker-content-digest: {OF_BRACES}");
    let etag = format!("etag: \"{OF_BRACES}\"");
    let lines = ["cache-status: wharf; hit", &digest, &etag, "x-content-type-options: nosniff"];
    for method in [Method::GET, Method::HEAD] {
        check(manifest::unchanged(&manifest(Outcome::Hit, None)), &method, 304, 0, &lines);
    }
}

fn blob(range: ByteRange, partial: bool) -> BlobAnswer {
    BlobAnswer { size: Some(10), range, partial, body: None, keeping: None, outcome: Outcome::Join }
}

#[test]
fn a_blob_has_its_digest_and_accept_ranges() {
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let (named, etag) = (format!("docker-content-digest: {OF_BRACES}"), format!("etag: \"{OF_BRACES}\""));
    let lines = [
        "accept-ranges: bytes",
        "cache-status: wharf; fwd=miss; collapsed",
        "content-length: 10",
        "content-type: application/octet-stream",
        &named,
        &etag,
        "x-content-type-options: nosniff",
    ];
    let whole = blob::answer(blob(ByteRange::whole(10), false), &digest);
    check(whole, &Method::HEAD, 200, 0, &lines);
}

#[test]
fn a_range_has_content_range() {
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let part = blob::answer(blob(ByteRange { start: 9, end: 10 }, true), &digest);
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers[header::CONTENT_RANGE], "bytes 9-9/10");
    assert_eq!(part.length, 1);
}

#[test]
fn an_answer_that_ends_the_connection_has_connection_close() {
    let lines = ["connection: close", "content-length: 0", "x-content-type-options: nosniff"];
    check(Answer::whole(StatusCode::OK, Answered::Hit, Bytes::new()).closing(), &Method::GET, 200, 0, &lines);
}
