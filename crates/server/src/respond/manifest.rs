//! Manifests, byte for byte (distribution-spec, "Pulling manifests").

use bytes::Bytes;
use cache::ManifestAnswer;
use http::StatusCode;
use http::header::{self, HeaderValue};

use super::{Answer, CONTENT_DIGEST};
use crate::body::Content;
use crate::condition::entity_tag;

/// Answers with the manifest. The media type is the upstream's: clients compare it with descriptors.
pub(crate) fn answer(mut manifest: ManifestAnswer) -> Answer {
    let outcome = manifest.outcome;
    let content = match manifest.file.take() {
        Some(file) => Content::Blob(file),
        None => Content::Whole(manifest.bytes.take().unwrap_or_default()),
    };
    let media_type = HeaderValue::from_str(manifest.media_type.as_str());
    let answer = Answer::new(StatusCode::OK, outcome, content, manifest.size)
        .with(header::CONTENT_TYPE, media_type.expect("a media type is visible ASCII"));
    describe(answer, &manifest)
}

/// Answers 304: the client already holds the manifest.
pub(crate) fn unchanged(manifest: &ManifestAnswer) -> Answer {
    describe(Answer::whole(StatusCode::NOT_MODIFIED, manifest.outcome, Bytes::new()), manifest)
}

fn describe(answer: Answer, manifest: &ManifestAnswer) -> Answer {
    let digest = HeaderValue::from_str(&manifest.digest.to_string()).expect("a digest is visible ASCII");
    let mut answer = answer
        .with_outcome(manifest.outcome)
        .with(CONTENT_DIGEST, digest)
        .with(header::ETAG, entity_tag(&manifest.digest));
    if let Some(age) = manifest.age {
        answer = answer.with(header::AGE, HeaderValue::from(age.as_secs()));
    }
    answer
}
