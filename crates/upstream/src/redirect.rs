//! Following redirects, which registries use to hand blobs over to a content network.
//!
//! What one host is shown is shown to no other. What the registry is shown is dropped at the first change of scheme,
//! host or port and never taken up again (CVE-2024-45336); another host that asks who we are is answered for itself.
//! A redirect never leads from `https` to `http`.

use std::sync::Arc;

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LOCATION, RANGE};
use http::{HeaderMap, Method};
use oci::Repository;
use policy::reach::{Class, Path, Scope};
use reqwest::Response;
use telemetry::UpstreamKind;
use url::Url;

use crate::auth::scope::Need;
use crate::auth::{Host, Role, Said, Ticket, Wires};
use crate::error::{Error, ErrorKind};
use crate::exchange::Exchange;
use crate::transport::{Patience, host_of};

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
    /// What a failure is about.
    pub(crate) path: Arc<Path>,
    /// Whether it goes over a further connection, beside one that brings the same.
    pub(crate) is_further: bool,
}

/// The answer at the end of the redirects.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) response: Response,
    /// Who gave it.
    pub(crate) host: String,
    /// Whether it came from the registry's own scheme, host and port, without a detour.
    pub(crate) is_home: bool,
    /// Whether a registry gave it: ours, or one that we were redirected to and that asked who we are.
    pub(crate) is_registry: bool,
}

impl Ask {
    /// Whether part of the content is an answer too: it says where it belongs.
    pub(crate) fn may_be_partial(&self) -> bool {
        self.range.is_some() || self.kind == UpstreamKind::GetBlob
    }

    /// Whether it is for a part of something. That this is refused says nothing about the whole, which is asked for next.
    pub(crate) fn is_of_part(&self) -> bool {
        self.is_further || self.range.is_some()
    }

    /// What it needs of a token.
    fn need(&self) -> Need {
        match self.path.scope.class {
            Class::Tags => Need::Tags,
            Class::Referrers => Need::Referrers,
            Class::Manifests | Class::Blobs | Class::Token => Need::Content,
        }
    }

    pub(crate) fn headers(&self, authorization: Option<&HeaderValue>) -> HeaderMap {
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

/// What a failure of a request is about.
pub(crate) fn path(repository: &Repository, class: Class, method: &Method, reference: String) -> Arc<Path> {
    let scope = Arc::new(Scope { repository: repository.to_string(), class });
    Arc::new(Path { scope, is_head: *method == Method::HEAD, reference })
}

impl Exchange {
    /// Asks, and goes where the answers lead, at most [`HOP_COUNT_MAX`] hops. Each host is shown what is its own.
    ///
    /// # Errors
    /// Those of [`Auth::converse`](crate::auth::Auth::converse); [`ErrorKind::Invalid`] for a loop, a chain too long, a
    /// downgrade, or an address that cannot be followed.
    pub(crate) async fn follow(
        &self,
        repository: &Repository,
        ask: &Ask,
        patience: &mut Patience,
    ) -> Result<(Reply, Ticket), Error> {
        let likely = &self.whereabouts.likely().root;
        let wires = Wires { transport: &self.transport, gates: &self.gates, root: likely };
        let base = self.whereabouts.find(wires, patience).await?;
        let wires = Wires { root: &base.root, ..wires };
        let first = self.whereabouts.moved(&ask.url, base);
        let mut host = Host {
            url: first.clone(),
            role: Role::Home,
            repository: name_in(&first).unwrap_or_else(|| repository.clone()),
            need: ask.need(),
        };
        let mut kind = ask.kind;
        let mut seen = vec![first.clone()];
        loop {
            let Said { response, ticket, is_registry } =
                self.auth.converse(wires, &host, ask, kind, patience).await?;
            let Some(next) = next_hop(&host.url, &response)? else {
                let reply =
                    Reply { response, host: host_of(&host.url), is_home: host.is_home(), is_registry };
                return Ok((reply, ticket));
            };
            if seen.contains(&next) || seen.len() > HOP_COUNT_MAX {
                let what = if seen.contains(&next) { "redirects in a circle" } else { "redirects too often" };
                return Err(Error::new(ErrorKind::Invalid, host_of(&host.url), what));
            }
            host.role = match host.role {
                Role::Home if is_same_origin(&first, &next) => Role::Home,
                _ if is_same_origin(&first, &next) => Role::Returned,
                _ => Role::Other,
            };
            host.repository = name_in(&next).unwrap_or(host.repository);
            host.url = next.clone();
            seen.push(next);
            kind = UpstreamKind::Redirect;
        }
    }
}

/// The repository in a URL of the pull API, if it is one: a host that is redirected to may call it otherwise.
fn name_in(url: &Url) -> Option<Repository> {
    let (_, rest) = url.path().split_once("/v2/")?;
    let parted = ["/manifests/", "/blobs/", "/referrers/"].iter().find_map(|kind| rest.rsplit_once(kind));
    let name = parted.map(|(name, _)| name).or_else(|| rest.strip_suffix("/tags/list"))?;
    name.parse().ok()
}

/// Where the answer leads, when it is a redirect with an address.
///
/// # Errors
/// [`ErrorKind::Invalid`] for an address that cannot be followed.
pub(crate) fn next_hop(current: &Url, response: &Response) -> Result<Option<Url>, Error> {
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
