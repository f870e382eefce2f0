//! Following redirects, which registries use to hand blobs over to a content network.
//!
//! Credentials belong to the registry. They are dropped at the first change of scheme, host or port and never
//! taken up again (CVE-2024-45336), and a redirect never leads from `https` to `http`.

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LOCATION, RANGE};
use http::{HeaderMap, Method};
use reqwest::Response;
use telemetry::UpstreamKind;
use url::Url;

use crate::error::{Error, ErrorKind};
use crate::gate::Gate;
use crate::transport::{Outgoing, Patience, Transport, host_of};

/// Hops that are followed, the first request apart.
const HOP_COUNT_MAX: usize = 5;

/// What is asked of the registry: everything but the authorization.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) kind: UpstreamKind,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) accept: Option<&'static str>,
    pub(crate) range: Option<HeaderValue>,
}

/// The answer at the end of the redirects.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) response: Response,
    /// Who gave it.
    pub(crate) host: String,
    /// Whether it came from the registry's own scheme, host and port, without a detour.
    pub(crate) is_home: bool,
}

impl Ask {
    fn headers(&self, authorization: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // Digests and lengths are of the bytes as they are, never of an encoding of them.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(accept) = self.accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        if let Some(range) = &self.range {
            headers.insert(RANGE, range.clone());
        }
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        headers
    }
}

/// Asks, and goes where the answers lead, at most [`HOP_COUNT_MAX`] hops.
///
/// # Errors
/// Those of [`Gate::admit`] and [`Transport::send`]; [`ErrorKind::Invalid`] for a loop, a chain too long, a
/// downgrade, or an address that cannot be followed.
pub(crate) async fn follow(
    transport: &Transport,
    gate: &Gate,
    ask: &Ask,
    mut authorization: Option<&HeaderValue>,
    patience: &mut Patience,
) -> Result<Reply, Error> {
    let mut outgoing = Outgoing {
        kind: ask.kind,
        method: ask.method.clone(),
        url: ask.url.clone(),
        headers: ask.headers(authorization),
    };
    let mut is_home = true;
    let mut response = ask_registry(transport, gate, &outgoing, patience).await?;
    let mut seen = vec![ask.url.clone()];
    while let Some(next) = next_hop(&outgoing.url, &response)? {
        if seen.contains(&next) || seen.len() > HOP_COUNT_MAX {
            let what = if seen.contains(&next) { "redirects in a circle" } else { "redirects too often" };
            return Err(Error::new(ErrorKind::Invalid, host_of(&outgoing.url), what));
        }
        if !is_same_origin(&outgoing.url, &next) {
            is_home = false;
            authorization = None;
        }
        seen.push(next.clone());
        outgoing = Outgoing {
            kind: UpstreamKind::Redirect,
            url: next,
            headers: ask.headers(authorization),
            method: outgoing.method,
        };
        response = transport.send(&outgoing, patience).await?;
    }
    Ok(Reply { response, host: host_of(&outgoing.url), is_home })
}

/// The first request of a chain: how the registry's host behaves here is what its breaker goes by.
async fn ask_registry(
    transport: &Transport,
    gate: &Gate,
    outgoing: &Outgoing,
    patience: &mut Patience,
) -> Result<Response, Error> {
    let host = host_of(&outgoing.url);
    let permit = gate.admit(outgoing.kind, &host)?;
    let sent = transport.send(outgoing, patience).await;
    permit.report(&sent);
    sent
}

/// Where the answer leads, when it is a redirect with an address.
fn next_hop(current: &Url, response: &Response) -> Result<Option<Url>, Error> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let next = resolve_location(current, location.as_bytes());
    next.map(Some).map_err(|what| Error::new(ErrorKind::Invalid, host_of(current), what))
}

/// The address that a `Location` names, seen from `current` (RFC 9110, section 10.2.2), or why nobody goes there.
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

pub(crate) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}
