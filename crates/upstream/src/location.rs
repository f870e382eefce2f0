//! Resolves redirects, and compares and prints URLs.

use http::header::LOCATION;
use policy::realm::is_same_host;
use reqwest::Response;
use url::Url;

use crate::error::{Error, ErrorKind};

/// Returns the target of an answer that is a redirect with a `Location`.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a `Location` that cannot be followed.
pub(crate) fn next_hop(current: &Url, response: &Response) -> Result<Option<Url>, Error> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let next = resolve_location(current, location.as_bytes());
    next.map(Some).map_err(|what| Error::new(ErrorKind::Invalid, host_of(current), what))
}

/// Resolves a `Location` against `current` (RFC 9110, section 10.2.2), or returns why it cannot be followed.
pub(crate) fn resolve_location(current: &Url, location: &[u8]) -> Result<Url, &'static str> {
    let text = std::str::from_utf8(location).ok();
    let Some(mut next) = text.and_then(|text| current.join(text).ok()) else {
        return Err("redirects to something that is no URL");
    };
    next.set_fragment(None);
    match (current.scheme(), next.scheme()) {
        ("https", "http") => return Err("redirects from https to http"),
        (_, "http" | "https") => {}
        _ => return Err("redirects to something other than http"),
    }
    if !next.username().is_empty() || next.password().is_some() {
        return Err("redirects to a URL with a user in it");
    }
    Ok(next)
}

/// Tells whether two URLs lead to the same server. With the dot of the root behind its name it is the same
/// one: else a host could lead back to the registry as if to another one.
pub(crate) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && is_same_host(one, other)
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Returns the host of a URL for messages, with its port unless that is the scheme's default.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests;
