//! All other tests trust the fake registry, so these check it.

mod content;
mod doors;
mod faults;
mod pace;
mod ranges;
mod script;
mod tls;
mod tokens;

use super::{Auth, Behaviour, Endpoint, FakeRegistry};
use crate::client::{Broken, Response, request};
use crate::deadline::within;

const REPOSITORY: &str = "library/thing";

/// A registry without authentication that serves blobs itself: one connection, one response.
async fn simple() -> FakeRegistry {
    FakeRegistry::start_with(Behaviour { auth: Auth::Anonymous, redirects: false, ..Behaviour::default() })
        .await
}

/// One request to an endpoint, on a new connection.
async fn ask(
    registry: &FakeRegistry,
    endpoint: Endpoint,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<Response, Broken> {
    let host = registry.host_of(endpoint);
    within(target, request(method, registry.address_of(endpoint), &host, target, headers)).await
}

/// A GET from the registry that must have a head.
async fn get(registry: &FakeRegistry, target: &str) -> Response {
    ask(registry, Endpoint::Registry, "GET", target, &[]).await.unwrap()
}

fn blob(digest: &str) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}")
}

fn manifest(reference: &str) -> String {
    format!("/v2/{REPOSITORY}/manifests/{reference}")
}
