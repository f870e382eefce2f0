//! Blobs: whole, from an offset, or a span, and always by a fresh question to the registry.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use http::header::{CONTENT_RANGE, HeaderValue};
use http::{Method, StatusCode};
use oci::{Digest, Repository};
use telemetry::UpstreamKind;
use tokio::time::Instant;

use crate::content_range::ContentRange;
use crate::contract::{BlobHead, BlobRange, BlobStream};
use crate::error::{Error, ErrorKind};
use crate::exchange::{content_length, interrupted};
use crate::http::HttpUpstream;
use crate::redirect::{Ask, Reply};

/// What a blob's head may take longer than a manifest: the content network is asked too.
const REDIRECT_ALLOWANCE: Duration = Duration::from_secs(5);

/// `HEAD`; where that is refused, as by addresses signed for `GET` only, a `GET` of one byte.
pub(crate) async fn head(
    upstream: &HttpUpstream,
    repository: &Repository,
    digest: &Digest,
) -> Result<BlobHead, Error> {
    let mut ask = ask(upstream, UpstreamKind::HeadBlob, Method::HEAD, repository, digest);
    let deadline = deadline(upstream);
    match upstream.exchange.open(repository, &ask, deadline).await {
        Ok(reply) => return Ok(BlobHead { size: content_length(reply.response.headers()) }),
        Err(error) if is_head_refusal(&error) => {}
        Err(error) => return Err(error),
    }
    ask.method = Method::GET;
    ask.range = Some(HeaderValue::from_static("bytes=0-0"));
    match upstream.exchange.open(repository, &ask, deadline).await {
        Ok(reply) if reply.response.status() == StatusCode::PARTIAL_CONTENT => {
            Ok(BlobHead { size: content_range(&reply).and_then(|told| told.size) })
        }
        Ok(reply) => Ok(BlobHead { size: content_length(reply.response.headers()) }),
        // A blob without a first byte is empty.
        Err(error) if error.is_range_refused() => Ok(BlobHead { size: Some(0) }),
        Err(error) => Err(error),
    }
}

pub(crate) async fn get(
    upstream: &HttpUpstream,
    repository: &Repository,
    digest: &Digest,
    range: BlobRange,
) -> Result<BlobStream, Error> {
    let mut ask = ask(upstream, UpstreamKind::GetBlob, Method::GET, repository, digest);
    ask.range = range_header(range);
    let reply = upstream.exchange.open(repository, &ask, deadline(upstream)).await?;
    if reply.response.status() == StatusCode::PARTIAL_CONTENT {
        return part(reply, range);
    }
    let size = content_length(reply.response.headers());
    Ok(BlobStream { start: 0, end: size, size, body: body(reply, size) })
}

/// The stream of a 206, which must begin where it was asked to.
fn part(reply: Reply, range: BlobRange) -> Result<BlobStream, Error> {
    let refused = |detail: String| {
        Error::new(ErrorKind::Invalid, &reply.host, detail).with_status(206).with_range_refused()
    };
    let Some(told) = content_range(&reply) else {
        return Err(refused("answered 206 without saying which bytes".to_owned()));
    };
    let (start, end_max) = match range {
        BlobRange::Whole => (0, None),
        BlobRange::From(start) => (start, None),
        BlobRange::Span(span) => (span.start, Some(span.end)),
    };
    if told.range.start != start || end_max.is_some_and(|end_max| told.range.end > end_max) {
        let (first, last) = (told.range.start, told.range.end - 1);
        return Err(refused(format!("answered with bytes {first}-{last}, which were not asked for")));
    }
    if content_length(reply.response.headers()).is_some_and(|length| length != told.range.len()) {
        return Err(refused("answered 206 with two different lengths".to_owned()));
    }
    let body = body(reply, Some(told.range.len()));
    Ok(BlobStream { start, end: Some(told.range.end), size: told.size, body })
}

/// The body's bytes. One whose length was told ends there or in an error, whatever frames it.
fn body(reply: Reply, told: Option<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
    let Reply { response, host, .. } = reply;
    let name = host.clone();
    let chunks = response.bytes_stream().map_err(move |error| interrupted(&name, error));
    let Some(told) = told else { return chunks.boxed() };
    let counted = stream::try_unfold((chunks, told, host), |(mut chunks, left, host)| async move {
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

fn ask(
    upstream: &HttpUpstream,
    kind: UpstreamKind,
    method: Method,
    repository: &Repository,
    digest: &Digest,
) -> Ask {
    Ask {
        kind,
        method,
        url: upstream.url(&format!("{repository}/blobs/{digest}")),
        accept: None,
        range: None,
    }
}

/// None for the whole, which is no range: not even an empty blob refuses that.
fn range_header(range: BlobRange) -> Option<HeaderValue> {
    let text = match range {
        BlobRange::Whole | BlobRange::From(0) => return None,
        BlobRange::From(start) => format!("bytes={start}-"),
        BlobRange::Span(span) => format!("bytes={}-{}", span.start, span.end.saturating_sub(1)),
    };
    Some(HeaderValue::from_str(&text).expect("digits and dashes are visible ASCII"))
}

fn content_range(reply: &Reply) -> Option<ContentRange> {
    ContentRange::parse(reply.response.headers().get(CONTENT_RANGE)?.to_str().ok()?)
}

/// Whether a `GET` may be answered where this `HEAD` was not.
fn is_head_refusal(error: &Error) -> bool {
    error.kind() == ErrorKind::Invalid && matches!(error.status(), Some(400 | 401 | 403 | 405 | 501))
}

fn deadline(upstream: &HttpUpstream) -> Instant {
    upstream.deadline() + REDIRECT_ALLOWANCE
}
