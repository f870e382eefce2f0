//! The response of each endpoint without faults.

use super::behaviour::Behaviour;
use super::listing::{referrers, tags};
use super::reply::Reply;
use super::route::{Endpoint, Kind, Route};
use super::state::State;
use super::token;
use crate::incoming::Incoming;

/// The answer to a request.
pub(crate) fn answer(state: &State, route: &Route, request: &Incoming) -> Reply {
    match route.endpoint {
        Endpoint::Token => token::issue(state, route, request),
        Endpoint::Cdn => serve_cdn(state, route, request),
        // Outside of the registry's base, the host belongs to another service.
        Endpoint::Registry if !request.target.starts_with(&state.behaviour().base) => {
            Reply::new(404, "text/html", "<h1>There is no such page</h1>")
        }
        Endpoint::Registry => {
            if token::is_let_in(state, route, request) {
                return serve_registry(state, route, request);
            }
            token::refuse(state, route, request)
        }
    }
}

fn serve_registry(state: &State, route: &Route, request: &Incoming) -> Reply {
    let behaviour = state.behaviour();
    if behaviour.throttled && (route.is_manifest() || route.is_blob()) {
        return throttle(&behaviour);
    }
    let repository = route.repository.as_deref().unwrap_or_default();
    let reference = route.reference.as_deref().unwrap_or_default();
    let reply = match route.kind {
        Kind::Version => Reply::new(200, "application/json", "{}"),
        Kind::HeadManifest | Kind::GetManifest => manifest(state, route.kind, repository, reference),
        Kind::HeadBlob if !behaviour.head_blob => Reply::error(405, "UNSUPPORTED"),
        Kind::HeadBlob | Kind::GetBlob => match blob(state, repository, reference) {
            Some(_) if behaviour.redirects => Reply::redirect(&state.sign(repository, reference)),
            Some(reply) => reply.with("docker-content-digest", reference),
            None => Reply::error(404, "BLOB_UNKNOWN"),
        },
        Kind::Tags => tags(state, route, repository),
        Kind::Referrers => referrers(state, route, repository, reference),
        Kind::Token | Kind::Other => match request.method.as_str() {
            "GET" | "HEAD" => Reply::error(404, "UNSUPPORTED"),
            _ => Reply::error(405, "UNSUPPORTED"),
        },
    };
    reply.with("docker-distribution-api-version", "registry/2.0")
}

/// Like the object stores of real registries: a second credential in addition to the signature is an error.
fn serve_cdn(state: &State, route: &Route, request: &Incoming) -> Reply {
    if request.header("authorization").is_some() {
        return Reply::new(400, "text/plain", "only one way of authentication is allowed\n").refusing();
    }
    if !state.is_signed(route) {
        return Reply::new(403, "text/plain", "the signature has expired\n").refusing();
    }
    let found = match (&route.repository, &route.reference) {
        (Some(repository), Some(digest)) => blob(state, repository, digest),
        _ => None,
    };
    found.unwrap_or_else(|| Reply::new(404, "text/plain", "no such object\n"))
}

/// A whole blob, from which ranges are taken later.
fn blob(state: &State, repository: &str, digest: &str) -> Option<Reply> {
    let source = state.lock_content().blob(repository, digest)?.clone();
    let reply = Reply::new(200, "application/octet-stream", source);
    let mut reply = reply.with("etag", format!("\"{digest}\""));
    reply.is_ranged = true;
    Some(reply)
}

/// A manifest, counted against the rate limit when it is fetched.
fn manifest(state: &State, kind: Kind, repository: &str, reference: &str) -> Reply {
    let mut limits = Vec::new();
    {
        let mut behaviour = state.lock_behaviour();
        let is_exhausted = behaviour.rate_limit.as_ref().is_some_and(|limit| limit.remaining == 0);
        if is_exhausted && kind == Kind::GetManifest {
            return throttle(&behaviour);
        }
        if let Some(limit) = &mut behaviour.rate_limit {
            limit.remaining -= u64::from(kind == Kind::GetManifest);
            let window = limit.window.as_secs();
            limits.push(("ratelimit-limit", format!("{};w={window}", limit.limit)));
            limits.push(("ratelimit-remaining", format!("{};w={window}", limit.remaining)));
        }
    }
    let content = state.lock_content();
    let Some((digest, manifest)) = content.manifest(repository, reference) else {
        return Reply::error(404, "MANIFEST_UNKNOWN");
    };
    let mut reply = Reply::new(200, &manifest.media_type, manifest.bytes.clone());
    reply = reply.with("etag", format!("\"{digest}\""));
    if state.lock_behaviour().content_digest {
        reply = reply.with("docker-content-digest", digest);
    }
    for (name, value) in limits {
        reply = reply.with(name, value);
    }
    reply
}

fn throttle(behaviour: &Behaviour) -> Reply {
    let reply = Reply::error(429, "TOOMANYREQUESTS");
    match &behaviour.retry_after {
        Some(value) => reply.with("retry-after", value),
        None => reply,
    }
}
