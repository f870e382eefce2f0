//! Blobs and ranges of them (distribution-spec, "Pulling blobs"; RFC 9110, section 14).

use bytes::Bytes;
use cache::{BlobAnswer, BlobParts, Outcome};
use http::StatusCode;
use http::header::{self, HeaderValue};
use oci::Digest;

use super::{Answer, CONTENT_DIGEST};
use crate::body::Content;
use crate::condition::entity_tag;
use crate::multipart::Multipart;

/// Answers with the blob or the requested range of it. A HEAD has no `Content-Length` if the upstream does
/// not tell the blob's size (RFC 9110, section 9.3.2, allows that).
pub(crate) fn answer(blob: BlobAnswer, digest: &Digest) -> Answer {
    let status = if blob.partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let content = blob.body.map_or(Content::Whole(Bytes::new()), Content::Blob);
    let answer = Answer::new(status, blob.outcome, content, blob.range.len()).with_keeping(blob.keeping);
    let answer = describe(answer.with_outcome(blob.outcome), digest)
        .with(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let size = match blob.size {
        None => return answer.without_length(),
        Some(_) if !blob.partial => return answer,
        Some(size) => size,
    };
    // A satisfiable range has at least one byte.
    let text = format!("bytes {}-{}/{size}", blob.range.start, blob.range.end - 1);
    answer.with(header::CONTENT_RANGE, HeaderValue::from_str(&text).expect("digits are visible ASCII"))
}

/// Answers with the requested parts of a stored blob, in one multipart body if there are several.
pub(crate) fn parts(mut parts: BlobParts, digest: &Digest) -> Answer {
    if parts.ranges().len() == 1
        && let Some((range, reader)) = parts.next()
    {
        let (size, outcome, body) = (Some(parts.size()), Outcome::Hit, Some(reader));
        return answer(BlobAnswer { size, range, partial: true, body, keeping: None, outcome }, digest);
    }
    let (body, length, media_type) = Multipart::new(parts);
    let content = Content::Parts(Box::new(body));
    let answer = Answer::new(StatusCode::PARTIAL_CONTENT, Outcome::Hit, content, length);
    describe(answer.with_outcome(Outcome::Hit), digest).with(header::CONTENT_TYPE, media_type)
}

/// Answers 304: the client already holds the blob.
pub(crate) fn unchanged(blob: &BlobAnswer, digest: &Digest) -> Answer {
    let answer = Answer::whole(StatusCode::NOT_MODIFIED, blob.outcome, Bytes::new());
    describe(answer.with_outcome(blob.outcome), digest)
}

fn describe(answer: Answer, digest: &Digest) -> Answer {
    let value = HeaderValue::from_str(&digest.to_string()).expect("a digest is visible ASCII");
    answer
        .with(CONTENT_DIGEST, value)
        .with(header::ETAG, entity_tag(digest))
        .with(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
}
