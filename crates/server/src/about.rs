//! Answers at paths outside the registry API: the root, `/metrics` (served by the admin listener), the usual
//! health paths of other programs, and `docker search`.
//!
//! They are the same on every host and reveal no configuration, so a web page may read them.

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
     /livez    liveness\n\
     /readyz   readiness\n\n\
     Metrics and the list of registries are on the admin listener: see `admin on` in wharf's first \
     log lines.\n"
);

const METRICS: &str = "This is wharf's listener for container clients; it serves no metrics. They are at \
                       /metrics of the admin listener: see `admin on` in wharf's first log lines.\n";

const HEALTH: &str = "wharf's health checks are at /livez (liveness) and /readyz (readiness).\n";

const SEARCH: &str = "wharf cannot search: it caches images that are pulled by name. Search on the registry's \
                      own website, then pull through wharf.\n";

/// Returns the answer to a request for one of these paths, and `None` for any other path. All but the root
/// are 404, so that no program mistakes the text for the answer it expects.
pub(crate) fn answer(head: &request::Parts) -> Option<Answer> {
    let (status, outcome, text) = match head.uri.path() {
        "/" => (StatusCode::OK, Answered::About, ROOT),
        "/metrics" => (StatusCode::NOT_FOUND, Answered::About, METRICS),
        "/health" | "/healthz" => (StatusCode::NOT_FOUND, Answered::About, HEALTH),
        // `docker search` requests this path.
        "/v1/search" => (StatusCode::NOT_FOUND, Answered::About, SEARCH),
        _ => return None,
    };
    let text_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Some(Answer::whole(status, outcome, text).with(header::CONTENT_TYPE, text_type))
}
