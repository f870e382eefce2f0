//! Requests for blobs: whole, from an offset, or a span. Each one starts at the registry again.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use oci::{Digest, Repository};
use policy::head_trust::Stakes;
use policy::host_health::TargetKind;
use telemetry::UpstreamKind;
use tokio::time::Instant;

use crate::content_range::ContentRange;
use crate::contract::{AddressPosition, BlobHead, BlobRange, BlobStream};
use crate::error::{Error, ErrorKind};
use crate::exchange;
use crate::head_trust::Next;
use crate::operation::{Operation, Reply, target_of};
use crate::registry::Registry;
use crate::response_headers::{content_length, is_web_page};
use crate::whole_body::interrupted;

/// The extra time for the head of a blob: it includes a request to the content network.
const REDIRECT_ALLOWANCE: Duration = Duration::from_secs(5);
/// The address of a stream until the caller, which knows it, sets it.
const FIRST: AddressPosition = AddressPosition::new(0);

/// Describes a blob by `HEAD`. If that proves nothing (some URLs are signed for `GET` only) or has no size,
/// it sends a `GET` of one byte.
pub(crate) async fn head(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    stakes: Stakes,
) -> Result<BlobHead, Error> {
    let since = Instant::now();
    let mut operation = operation(registry, UpstreamKind::HeadBlob, Method::HEAD, repository, digest);
    let deadline = deadline(registry);
    let answered = exchange::open(registry, repository, &operation, deadline).await;
    let (is_there, no) = match answered.and_then(refuse_page) {
        Ok(reply) => match stated_size(&reply, digest) {
            None => (true, None),
            size => return Ok(BlobHead { size }),
        },
        Err(error) => match registry.blob_head_trust.after_head(repository, error, stakes) {
            Next::End(error) => return Err(error),
            Next::Get(no) => (false, no),
        },
    };
    operation.method = Method::GET;
    operation.target = target_of(repository, TargetKind::Blobs, &Method::GET, digest.to_string());
    operation.range = Some(HeaderValue::from_static("bytes=0-0"));
    let mut got = exchange::open(registry, repository, &operation, deadline).await.and_then(refuse_page);
    if let Err(error) = &got
        && registry.may_be_said_to_a_dead_token(error, repository, stakes, since).await
    {
        got = exchange::open(registry, repository, &operation, deadline).await.and_then(refuse_page);
    }
    registry.blob_head_trust.note(repository, no, &got);
    match got {
        Ok(reply) => Ok(BlobHead { size: stated_size(&reply, digest) }),
        // A blob without a first byte is empty.
        Err(error) if error.is_range_refused() && digest.is_of_empty_content() => {
            Ok(BlobHead { size: Some(0) })
        }
        Err(error) if error.is_range_refused() => Ok(BlobHead { size: None }),
        Err(_) if is_there => Ok(BlobHead { size: None }),
        Err(error) => Err(error),
    }
}

/// A web page says nothing about a blob. For a body the digest would show that.
fn refuse_page(reply: Reply) -> Result<Reply, Error> {
    if is_web_page(reply.response.headers()) {
        return Err(Error::new(ErrorKind::Invalid, reply.host, "answered with a web page"));
    }
    Ok(reply)
}

/// Returns the whole blob's size from a head. A length of zero is invalid unless the digest is that of empty
/// content.
fn stated_size(reply: &Reply, digest: &Digest) -> Option<u64> {
    let stated = match content_range(reply) {
        Some(range) => range.size,
        None if reply.response.status() == StatusCode::PARTIAL_CONTENT => None,
        None => content_length(reply.response.headers()),
    };
    stated.filter(|size| *size > 0 || digest.is_of_empty_content())
}

pub(crate) async fn get(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
    range: BlobRange,
) -> Result<BlobStream, Error> {
    let mut operation = operation(registry, UpstreamKind::GetBlob, Method::GET, repository, digest);
    operation.range = range_header(range);
    operation.is_further = matches!(range, BlobRange::Further(_) | BlobRange::Last(_));
    let reply = exchange::open(registry, repository, &operation, deadline(registry)).await?;
    let length = content_length(reply.response.headers());
    if reply.response.status() == StatusCode::PARTIAL_CONTENT {
        return part(reply, range);
    }
    // A 200 with a `Content-Range` is believed if its length agrees.
    if let Some(stated) = content_range(&reply) {
        let is_whole = stated.range.start == 0 && length.is_some() && length == stated.size;
        if !is_whole && length != Some(stated.range.len()) {
            return Err(refused(&reply, "answered 200 with a range that its length contradicts"));
        }
        if !is_whole {
            return part(reply, range);
        }
    }
    Ok(BlobStream { start: 0, end: length, size: length, sent_by: FIRST, body: body(reply, length) })
}

/// Returns the error for an unusable answer to a range request, after which the whole may be requested.
fn refused(reply: &Reply, detail: impl Into<String>) -> Error {
    let status = reply.response.status().as_u16();
    Error::new(ErrorKind::Invalid, &reply.host, detail).with_status(status).with_range_refused()
}

/// Returns why a head cannot belong to a part of a blob. The digest checks a whole body, whatever its head
/// says; a part may reach a client before that check, so for a part the head counts.
fn why_not_a_part(headers: &HeaderMap) -> Option<&'static str> {
    let is_multipart = headers.get(CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
    });
    let is_encoded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    match (is_web_page(headers), is_multipart, is_encoded) {
        (true, ..) => Some("answered with a web page for a part"),
        (_, true, _) => Some("answered with several parts for one"),
        (.., true) => Some("answered with an encoded part"),
        _ => None,
    }
}

/// Returns the stream of a part, which must start at the requested offset.
fn part(reply: Reply, range: BlobRange) -> Result<BlobStream, Error> {
    if let Some(what) = why_not_a_part(reply.response.headers()) {
        return Err(refused(&reply, what));
    }
    let Some(stated) = content_range(&reply) else {
        return Err(refused(&reply, "answered with a part without saying which bytes"));
    };
    let (start, end_max) = match range {
        BlobRange::Whole => (Some(0), None),
        BlobRange::From(start) => (Some(start), None),
        BlobRange::Span(span) | BlobRange::Further(span) => (Some(span.start), Some(span.end)),
        BlobRange::Last(length) => (stated.size.map(|size| size.saturating_sub(length)), None),
    };
    if Some(stated.range.start) != start || end_max.is_some_and(|end_max| stated.range.end > end_max) {
        let (first, last) = (stated.range.start, stated.range.end - 1);
        return Err(refused(&reply, format!("answered with bytes {first}-{last}, which were not asked for")));
    }
    if content_length(reply.response.headers()).is_some_and(|length| length != stated.range.len()) {
        return Err(refused(&reply, "answered with two different lengths for one part"));
    }
    let body = body(reply, Some(stated.range.len()));
    let (start, end) = (stated.range.start, Some(stated.range.end));
    Ok(BlobStream { start, end, size: stated.size, sent_by: FIRST, body })
}

/// Returns the body's bytes. A body of known length ends there or in an error, whatever its framing.
fn body(reply: Reply, stated: Option<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
    let Reply { response, host, .. } = reply;
    let name = host.clone();
    let chunks = response.bytes_stream().map_err(move |error| interrupted(&name, error));
    let Some(stated) = stated else { return chunks.boxed() };
    let counted = stream::try_unfold((chunks, stated, host), |(mut chunks, left, host)| async move {
        match chunks.try_next().await? {
            Some(chunk) => match left.checked_sub(chunk.len() as u64) {
                Some(left) => Ok(Some((chunk, (chunks, left, host)))),
                None => Err(Error::new(ErrorKind::Invalid, host, "sent more bytes than it announced")),
            },
            None if left == 0 => Ok(None),
            None => Err(Error::new(ErrorKind::Interrupted, host, "sent fewer bytes than it announced")),
        }
    });
    counted.boxed()
}

fn operation(
    registry: &Registry,
    kind: UpstreamKind,
    method: Method,
    repository: &Repository,
    digest: &Digest,
) -> Operation {
    let target = target_of(repository, TargetKind::Blobs, &method, digest.to_string());
    let url = registry.url(&format!("{repository}/blobs/{digest}"));
    Operation { kind, method, url, accept: None, range: None, target, is_further: false }
}

/// Returns `None` for the whole blob. Even an empty blob can serve that.
fn range_header(range: BlobRange) -> Option<HeaderValue> {
    let text = match range {
        BlobRange::Whole | BlobRange::From(0) => return None,
        BlobRange::From(start) => format!("bytes={start}-"),
        BlobRange::Span(span) | BlobRange::Further(span) => {
            format!("bytes={}-{}", span.start, span.end.saturating_sub(1))
        }
        BlobRange::Last(length) => format!("bytes=-{length}"),
    };
    Some(HeaderValue::from_str(&text).expect("digits and dashes are visible ASCII"))
}

fn content_range(reply: &Reply) -> Option<ContentRange> {
    ContentRange::parse(reply.response.headers().get(CONTENT_RANGE)?.to_str().ok()?)
}

fn deadline(registry: &Registry) -> Instant {
    registry.deadline() + REDIRECT_ALLOWANCE
}
