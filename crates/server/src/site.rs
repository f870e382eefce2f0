//! The checks on a request that come before any routing: what is malformed or has no business at a
//! pull-only registry is refused here, and the connection ends with the refusal.
//!
//! What a request merely offers is ignored: a protocol to go on with (`Upgrade`; RFC 9110, section 7.8), trailers
//! (`TE`), to wait before it sends a body (`Expect`) that it does not have.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version, request};
use http_body::Body;

use crate::tls::TlsName;

/// The longest request target accepted, in bytes.
const TARGET_BYTES_MAX: usize = 8 * 1024;

/// What is wrong with a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// A method other than GET and HEAD.
    #[error(
        "this is a pull-only cache: it answers GET and HEAD, and takes no push; push to the registry itself"
    )]
    Method,
    /// A body, or the announcement of one.
    #[error("a GET or HEAD request has no body here")]
    Body,
    /// No `Host` in HTTP/1.1.
    #[error("the request has no Host")]
    HostMissing,
    /// Several `Host` lines.
    #[error("the request has more than one Host")]
    HostRepeated,
    /// A `Host` that is no text.
    #[error("the request's Host is not visible ASCII")]
    HostInvalid,
    /// An absolute target that names another host than `Host`, or another protocol than HTTP.
    #[error("the request's target and its Host name different servers")]
    TargetDisagrees,
    /// A `Host` that is not the server that the TLS connection was made to.
    #[error("the TLS server name and the Host header differ; open a connection for that host")]
    Misdirected,
    /// What a page in a browser sends, and no client of a registry.
    #[error(
        "a web page in a browser asked (`Origin` or `Sec-Fetch-*`), and pages may not read what is served here; \
         use a container client, or curl"
    )]
    Page,
    /// A target too long.
    #[error("the request's target is longer than {TARGET_BYTES_MAX} bytes")]
    TargetTooLong,
}

/// How a request announces its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// In chunks, whose number is known once they are read: some clients send none, and say so.
    Chunked,
}

/// Refuses what a pull never sends (RFC 9112, section 11: a body that one side reads and the other does not
/// is how requests are smuggled).
pub(crate) fn check(head: &request::Parts) -> Result<Framing, HeadFault> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(HeadFault::Method);
    }
    check_form(head)
}

/// The same for any method.
pub fn check_form(head: &request::Parts) -> Result<Framing, HeadFault> {
    let framing = framing(&head.headers)?;
    let target_bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target_bytes > TARGET_BYTES_MAX {
        return Err(HeadFault::TargetTooLong);
    }
    Ok(framing)
}

fn framing(headers: &HeaderMap) -> Result<Framing, HeadFault> {
    if headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length != "0") {
        return Err(HeadFault::Body);
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(Framing::Empty),
        // Who waits to be told to go on has something to send.
        (Some(_), _) if headers.contains_key(header::EXPECT) => Err(HeadFault::Body),
        (Some(coding), None) if is_chunked(coding) => Ok(Framing::Chunked),
        (Some(_), _) => Err(HeadFault::Body),
    }
}

/// Refuses what a page in a browser sends. A page can have a name that its owner lets lead to us, and would read
/// for its owner what only this network may see.
pub fn refuse_pages(headers: &HeaderMap) -> Result<(), HeadFault> {
    let is_of_a_page = |name: &HeaderName| name == header::ORIGIN || name.as_str().starts_with("sec-fetch-");
    if headers.keys().any(is_of_a_page) { Err(HeadFault::Page) } else { Ok(()) }
}

/// Reads the chunks of a request, of which there must be none, and no trailer. The connection has to end with the
/// answer all the same: another server on the way may see another end of them.
///
/// # Errors
/// [`HeadFault::Body`], also when the end does not come within `wait_max`.
pub(crate) async fn read_nothing<B: Body + Unpin>(mut body: B, wait_max: Duration) -> Result<(), HeadFault> {
    let first = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
    match tokio::time::timeout(wait_max, first).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) | Err(_) => Err(HeadFault::Body),
    }
}

/// The host that a request is meant for, port included, as the client wrote it. Empty when an HTTP/1.0
/// client named none.
pub fn authority(head: &request::Parts) -> Result<&str, HeadFault> {
    let authority = named_authority(head)?;
    // A certificate vouches for one name; what another name serves is asked for on a connection to it
    // (RFC 9110, section 15.5.20).
    let is_met = |name: &TlsName| authority.is_none_or(|authority| name.is_host(authority));
    if !head.extensions.get::<TlsName>().is_none_or(is_met) {
        return Err(HeadFault::Misdirected);
    }
    Ok(authority.unwrap_or_default())
}

/// What the target and `Host` name (RFC 9112, section 3.2).
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
