//! The checks on a request's head that come before any routing: what is malformed or has no business at a
//! pull-only registry is refused here, and the connection ends with the refusal.

use http::{Method, Version, header, request};

use crate::tls::TlsName;

/// The longest request target accepted, in bytes.
const TARGET_BYTES_MAX: usize = 8 * 1024;

/// What is wrong with a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadFault {
    /// A method other than GET and HEAD.
    #[error("this is a pull-only cache: it answers GET and HEAD, and takes no push")]
    Method,
    /// A body, or the announcement of one.
    #[error("a GET or HEAD request has no body here")]
    Body,
    /// `Upgrade`.
    #[error("this server speaks HTTP/1.1 only and upgrades to nothing")]
    Upgrade,
    /// `Expect`.
    #[error("this server meets no expectations (Expect)")]
    Expect,
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
    #[error("the connection was made to another server name than the request's Host; open one to that host")]
    Misdirected,
    /// A target too long.
    #[error("the request's target is longer than {TARGET_BYTES_MAX} bytes")]
    TargetTooLong,
}

/// Refuses what a pull never sends (RFC 9112, section 11: a body that one side reads and the other does not
/// is how requests are smuggled).
pub(crate) fn check(head: &request::Parts) -> Result<(), HeadFault> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(HeadFault::Method);
    }
    let headers = &head.headers;
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if headers.contains_key(header::TRANSFER_ENCODING) || lengths.any(|length| length != "0") {
        return Err(HeadFault::Body);
    }
    if headers.contains_key(header::UPGRADE) {
        return Err(HeadFault::Upgrade);
    }
    if headers.contains_key(header::EXPECT) {
        return Err(HeadFault::Expect);
    }
    let target_bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target_bytes > TARGET_BYTES_MAX {
        return Err(HeadFault::TargetTooLong);
    }
    Ok(())
}

/// The host that a request is meant for, port included, as the client wrote it. Empty when an HTTP/1.0
/// client named none.
pub(crate) fn authority(head: &request::Parts) -> Result<&str, HeadFault> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| HeadFault::HostInvalid)?.trim()),
        (Some(_), Some(_)) => return Err(HeadFault::HostRepeated),
        (None, _) if head.version >= Version::HTTP_11 => return Err(HeadFault::HostMissing),
        (None, _) => None,
    };
    // A certificate vouches for one name; what another name serves is asked for on a connection to it
    // (RFC 9110, section 15.5.20).
    let is_met = |name: &TlsName| host.is_none_or(|host| name.is_host(host));
    if !head.extensions.get::<TlsName>().is_none_or(is_met) {
        return Err(HeadFault::Misdirected);
    }
    let Some(target) = head.uri.authority() else { return Ok(host.unwrap_or_default()) };
    let is_http = matches!(head.uri.scheme_str(), Some("http" | "https"));
    let is_same = host.is_none_or(|host| host.eq_ignore_ascii_case(target.as_str()));
    if is_http && is_same { Ok(target.as_str()) } else { Err(HeadFault::TargetDisagrees) }
}

#[cfg(test)]
mod tests;
