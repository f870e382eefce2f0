//! The answers for people and programs that look at the wrong place: the root of the public listener, where a registry
//! has nothing, `/metrics`, which is on the admin listener, health under the names that it has elsewhere, and a search.
//!
//! They are the same on every host and say nothing about what is configured, so a page in a browser may read them.

use http::header::{self, HeaderValue};
use http::{StatusCode, request};

use telemetry::Answered;

use crate::respond::Answer;

const ROOT: &str = concat!(
    "This is wharf ",
    env!("CARGO_PKG_VERSION"),
    ", a pull-through cache for container registries. It runs.\n\n\
     Pull through it with a container client, for example (HOST is this address without http://):\n\n    \
     docker pull HOST/docker.io/library/alpine\n\n\
     /v2/      the registry API, for clients\n\
     /livez    whether it runs\n\
     /readyz   whether it takes requests\n\n\
     Metrics and the list of registries are on the admin listener: see `admin on` in wharf's first log lines.\n"
);

const METRICS: &str = "This is wharf's listener for container clients, and has no metrics. They are at /metrics of the \
                       admin listener: see `admin on` in wharf's first log lines.\n";

const HEALTH: &str =
    "wharf's health is at /livez (whether it runs) and at /readyz (whether it takes requests).\n";

const SEARCH: &str = "wharf cannot search: it caches what is pulled by name. Search on the registry's own website, then \
                      pull through wharf.\n";

/// The answer to a request for one of these paths; none for any other. No program may take a text for what it
/// asked for, so all but the root are 404.
pub(crate) fn answer(head: &request::Parts) -> Option<Answer> {
    let (status, outcome, text) = match head.uri.path() {
        "/" => (StatusCode::OK, Answered::About, ROOT),
        "/metrics" => (StatusCode::NOT_FOUND, Answered::About, METRICS),
        "/health" | "/healthz" => (StatusCode::NOT_FOUND, Answered::About, HEALTH),
        // What `docker search` asks.
        "/v1/search" => (StatusCode::NOT_FOUND, Answered::About, SEARCH),
        _ => return None,
    };
    let text_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Some(Answer::whole(status, outcome, text).with(header::CONTENT_TYPE, text_type))
}
