//! Checks a request's head before routing. Malformed requests, and requests that a pull-only registry never
//! serves, are refused here, and the connection ends with the refusal.
//!
//! Mere offers are ignored: another protocol (`Upgrade`; RFC 9110, section 7.8), trailers (`TE`), and
//! `Expect` without a body.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version, request};
use http_body::Body;

use crate::tls::TlsSession;

/// The longest request target accepted, in bytes.
const TARGET_BYTES_MAX: usize = 8 * 1024;

/// A fault in a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// A method other than GET and HEAD.
    #[error("this is a pull-only cache, which answers only GET and HEAD; push to the registry itself")]
    Method,
    /// A body, or the announcement of one.
    #[error("a GET or HEAD request must not have a body here")]
    Body,
    /// Content without a length, or with too much of it.
    #[error("the request's content must have a Content-Length of at most a few million bytes")]
    Content,
    /// No `Host` in HTTP/1.1.
    #[error("the request has no Host header")]
    HostMissing,
    /// Several `Host` lines.
    #[error("the request has more than one Host header")]
    HostRepeated,
    /// A `Host` that is not text.
    #[error("the request's Host header is not visible ASCII")]
    HostInvalid,
    /// An absolute target that names another host than `Host`, or another protocol than HTTP.
    #[error("the request's target and its Host header name different servers")]
    TargetDisagrees,
    /// A `Host` other than the server name of the TLS connection.
    #[error("the TLS server name and the Host header differ; open a connection for that host")]
    Misdirected,
    /// A header that only web pages in browsers send.
    #[error(
        "the request comes from a web page in a browser (`Origin` or `Sec-Fetch-*`), and web pages may not read \
         from this cache; use a container client, or curl"
    )]
    Page,
    /// A target that is too long.
    #[error("the request's target is longer than {TARGET_BYTES_MAX} bytes")]
    TargetTooLong,
}

/// The framing of a request's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// It has no content.
    Empty,
    /// In chunks. Some clients frame a request like this and send no chunk.
    Chunked,
}

/// Refuses heads that no pull sends (RFC 9112, section 11: a body that only one side reads is how requests
/// are smuggled).
pub(crate) fn check(head: &request::Parts) -> Result<Framing, HeadFault> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(HeadFault::Method);
    }
    check_form(head)
}

/// Like `check`, but for any method.
pub fn check_form(head: &request::Parts) -> Result<Framing, HeadFault> {
    let framing = framing(&head.headers)?;
    check_target(head)?;
    Ok(framing)
}

/// Like [`check_form`], for a request with content of up to `bytes_max`.
///
/// # Errors
/// [`HeadFault::Content`]: its length is unknown, unclear or too large.
pub fn check_form_with_content(head: &request::Parts, bytes_max: u64) -> Result<(), HeadFault> {
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (Some(length), None) => length.to_str().ok().and_then(|text| text.parse::<u64>().ok()),
        _ => None,
    };
    let is_bounded = length.is_some_and(|length| length <= bytes_max);
    if !is_bounded || head.headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(HeadFault::Content);
    }
    check_target(head)
}

/// Like [`check_form`], for a request with content of any length, known or in chunks.
///
/// # Errors
/// [`HeadFault::Content`]: it is not clear where the content ends.
pub fn check_form_with_stream(head: &request::Parts) -> Result<(), HeadFault> {
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => check_form_with_content(head, u64::MAX),
        (Some(coding), None)
            if coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && !head.headers.contains_key(header::CONTENT_LENGTH) =>
        {
            check_target(head)
        }
        (Some(_), _) => Err(HeadFault::Content),
    }
}

fn check_target(head: &request::Parts) -> Result<(), HeadFault> {
    let target_bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target_bytes > TARGET_BYTES_MAX {
        return Err(HeadFault::TargetTooLong);
    }
    Ok(())
}

fn framing(headers: &HeaderMap) -> Result<Framing, HeadFault> {
    if headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length != "0") {
        return Err(HeadFault::Body);
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(Framing::Empty),
        // A client that expects 100 has content to send.
        (Some(_), _) if headers.contains_key(header::EXPECT) => Err(HeadFault::Body),
        (Some(coding), None) if is_chunked(coding) => Ok(Framing::Chunked),
        (Some(_), _) => Err(HeadFault::Body),
    }
}

/// Refuses requests of web pages. DNS rebinding can point a page's host name at this server, and the page
/// would read for its owner what only this network may see.
pub fn refuse_pages(headers: &HeaderMap) -> Result<(), HeadFault> {
    let is_of_a_page = |name: &HeaderName| name == header::ORIGIN || name.as_str().starts_with("sec-fetch-");
    if headers.keys().any(is_of_a_page) { Err(HeadFault::Page) } else { Ok(()) }
}

/// Reads a chunked body, which must have no chunk and no trailer. The connection must end with the answer
/// even then, because an intermediary may see another end of the body.
///
/// # Errors
/// [`HeadFault::Body`], also if the end does not come within `wait_max`.
pub(crate) async fn read_nothing<B: Body + Unpin>(mut body: B, wait_max: Duration) -> Result<(), HeadFault> {
    let first = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
    match tokio::time::timeout(wait_max, first).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) | Err(_) => Err(HeadFault::Body),
    }
}

/// Returns the host of a request as the client wrote it, with its port. Empty if an HTTP/1.0 client named
/// none.
///
/// # Errors
/// [`HeadFault`] for a missing, repeated or malformed `Host`, or one that differs from the target or from the
/// TLS server name.
pub fn authority(head: &request::Parts) -> Result<&str, HeadFault> {
    let authority = named_authority(head)?;
    // Another host needs its own connection (RFC 9110, section 15.5.20).
    let is_met = |session: &TlsSession| authority.is_none_or(|authority| session.admits(authority));
    if !head.extensions.get::<TlsSession>().is_none_or(is_met) {
        return Err(HeadFault::Misdirected);
    }
    Ok(authority.unwrap_or_default())
}

/// The host that the target and `Host` name (RFC 9112, section 3.2).
fn named_authority(head: &request::Parts) -> Result<Option<&str>, HeadFault> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| HeadFault::HostInvalid)?.trim()),
        (Some(_), Some(_)) => return Err(HeadFault::HostRepeated),
        (None, _) if head.version >= Version::HTTP_11 => return Err(HeadFault::HostMissing),
        (None, _) => None,
    };
    let Some(target) = head.uri.authority() else { return Ok(host) };
    let is_http = matches!(head.uri.scheme_str(), Some("http" | "https"));
    let is_same = host.is_none_or(|host| host.eq_ignore_ascii_case(target.as_str()));
    if is_http && is_same { Ok(Some(target.as_str())) } else { Err(HeadFault::TargetDisagrees) }
}

#[cfg(test)]
mod tests;
