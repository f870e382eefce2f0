//! "Pulling blobs" and "Checking if content exists in the registry" (end-2).

use bytes::Bytes;
use sha2::{Digest as _, Sha512};
use testkit::client::Response;
use testkit::{BlobSource, digest_of};

use crate::place::{Phase, Place, REPOSITORY, Stage, assert_error};

pub(crate) fn sha512_of(bytes: &[u8]) -> String {
    let hex: String = Sha512::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha512:{hex}")
}

fn path_of(digest: &str) -> String {
    format!("{REPOSITORY}/blobs/{digest}")
}

/// The answer to a pull of `digest` is this blob, by GET and by HEAD.
async fn assert_blob(place: &Place<'_>, digest: &str, bytes: &Bytes) {
    let answer = place.get_and_head(&path_of(digest)).await;
    assert_eq!(answer.status, 200, "{place:?}: {}", answer.text());
    assert!(answer.body == bytes, "{place:?}: other bytes");
    assert_eq!(answer.header("content-length"), Some(&*bytes.len().to_string()), "{place:?}");
    assert_eq!(answer.header("docker-content-digest"), Some(digest), "{place:?}");
    assert_eq!(answer.header("accept-ranges"), Some("bytes"), "{place:?}");
}

/// end-2: 200, the blob byte for byte, its digest and its length; HEAD the same without a body.
#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_pulled() {
    let stage = Stage::new().await;
    let blobs = [1, 1000, 400_000, 3_000_000].map(|len| BlobSource::Generated { seed: len, len }.bytes());
    let digests = blobs.clone().map(|bytes| stage.upstream.put_blob(bytes));
    stage
        .everywhere(async |place| {
            for (bytes, digest) in blobs.iter().zip(&digests) {
                assert_blob(&place, digest, bytes).await;
            }
        })
        .await;
    for (bytes, digest) in blobs.iter().zip(&digests) {
        let sent = stage.upstream.log().body_bytes(digest);
        assert_eq!(sent, 8 * bytes.len() as u64, "each of the eight registries fetched it once");
    }
}

/// end-2: the empty blob is a blob, and no range of it can be served.
#[tokio::test(flavor = "multi_thread")]
async fn the_empty_blob_is_pulled() {
    let stage = Stage::new().await;
    let digest = stage.upstream.put_blob(Bytes::new());
    stage
        .everywhere(async |place| {
            assert_blob(&place, &digest, &Bytes::new()).await;
            let answer = place.get_range(&path_of(&digest), "bytes=0-").await;
            assert_eq!(answer.status, 416, "{place:?}");
        })
        .await;
}

/// image-spec, "Registered algorithms": SHA-512 digests are verified and served like SHA-256 ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_pulled_by_its_sha512_digest() {
    let stage = Stage::new().await;
    let bytes = BlobSource::Generated { seed: 512, len: 500_000 }.bytes();
    let digest = sha512_of(&bytes);
    stage.upstream.put_blob_under(&digest, bytes.clone());
    stage.everywhere(async |place| assert_blob(&place, &digest, &bytes).await).await;
}

/// end-2: 404 and `BLOB_UNKNOWN` for a blob that does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_not_there_is_unknown() {
    let stage = Stage::new().await;
    let absent = [digest_of(b"nobody has this"), sha512_of(b"nor this")];
    stage
        .while_the_upstream_answers(async |place| {
            for digest in &absent {
                let answer = place.get_and_head(&path_of(digest)).await;
                assert_error(&place, &answer, 404, "BLOB_UNKNOWN");
            }
        })
        .await;
}

/// end-2: a text that is no digest is refused without a request to the upstream.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_digest_is_refused() {
    let stage = Stage::new().await;
    let upper = format!("sha256:{}", "A".repeat(64));
    let foreign = format!("md5:{}", "a".repeat(32));
    stage
        .everywhere(async |place| {
            for digest in ["sha256:baddigeststring", "sha256:", "latest", &upper, &foreign] {
                assert_error(&place, &place.get(&path_of(digest)).await, 400, "DIGEST_INVALID");
            }
        })
        .await;
    assert!(stage.upstream.requests().is_empty(), "{:#?}", stage.upstream.requests());
}

fn assert_part(place: &Place<'_>, answer: &Response, whole: &Bytes, first: usize, last: usize) {
    assert_eq!(answer.status, 206, "{place:?}: {}", answer.text());
    assert!(answer.complete, "{place:?}");
    assert!(answer.body == whole.slice(first..=last), "{place:?}: bytes {first}-{last}");
    let range = format!("bytes {first}-{last}/{}", whole.len());
    assert_eq!(answer.header("content-range"), Some(&*range), "{place:?}");
    assert_eq!(answer.header("content-length"), Some(&*(last - first + 1).to_string()), "{place:?}");
}

/// end-2 and RFC 9110, section 14: the requested part, with `Content-Range`. Each range is the first request
/// for its own cold blob.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_a_blob_is_pulled() {
    let len = 300_000;
    let ranges =
        [("500-1499", 500, 1499), ("500-", 500, len - 1), ("-500", len - 500, len - 1), ("0-0", 0, 0)];
    let ranges = [&ranges[..], &[("500-9999999", 500, len - 1), ("-9999999", 0, len - 1)]].concat();
    let stage = Stage::new().await;
    let blobs: Vec<_> =
        (0..).map(|seed| BlobSource::Generated { seed, len: len as u64 }.bytes()).take(6).collect();
    let digests: Vec<_> = blobs.iter().map(|bytes| stage.upstream.put_blob(bytes.clone())).collect();
    stage
        .everywhere(async |place| {
            for ((bytes, digest), (range, first, last)) in blobs.iter().zip(&digests).zip(&ranges) {
                let answer = place.get_range(&path_of(digest), &format!("bytes={range}")).await;
                assert_part(&place, &answer, bytes, *first, *last);
                assert_eq!(answer.header("docker-content-digest"), Some(&**digest));
            }
        })
        .await;
}

/// RFC 9110, section 15.5.17: a range without a byte of the blob is answered 416, with its length.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_outside_a_blob_is_refused() {
    let stage = Stage::new().await;
    let bytes = BlobSource::Generated { seed: 1, len: 2000 }.bytes();
    let digest = stage.upstream.put_blob(bytes);
    stage
        .everywhere(async |place| {
            for range in ["bytes=500-0", "bytes=2000-", "bytes=2000-2001", "bytes=99999-", "bytes=-0"] {
                let answer = place.get_range(&path_of(&digest), range).await;
                assert_eq!(answer.status, 416, "{place:?} {range}: {}", answer.text());
                assert_eq!(answer.header("content-range"), Some("bytes */2000"), "{place:?} {range}");
            }
            if place.phase == Phase::Cold {
                // After a refusal, the whole is still available.
                assert_eq!(place.get(&path_of(&digest)).await.status, 200);
            }
        })
        .await;
}

/// RFC 9110, section 14.2: an unknown unit, and a `Range` on HEAD, are ignored.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_means_nothing_is_ignored() {
    let stage = Stage::new().await;
    let bytes = BlobSource::Generated { seed: 1, len: 2000 }.bytes();
    let digest = stage.upstream.put_blob(bytes.clone());
    stage
        .everywhere(async |place| {
            for (method, range, len) in [("GET", "lines=1-2", 2000), ("HEAD", "bytes=500-1499", 0)] {
                let answer = place.ask(method, &path_of(&digest), &[("Range", range)]).await;
                assert_eq!((answer.status, answer.body.len()), (200, len), "{place:?} {method}");
                assert_eq!(answer.header("content-length"), Some("2000"), "{place:?} {method}");
            }
        })
        .await;
}
