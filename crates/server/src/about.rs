//! The answers for people and programs that look at the wrong place: the root of the public listener, where a registry
//! has nothing, and `/metrics`, which is on the admin listener.
//!
//! They are the same on every host and say nothing about what is configured, so a page in a browser may read them.

use http::header::{self, HeaderValue};
use http::{StatusCode, request};

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
     Metrics and the list of registries are on the admin listener: `listen` of [admin] in wharf's configuration, \
     127.0.0.1:5001 if that says nothing else.\n"
);

const METRICS: &str = "This is wharf's listener for container clients, and has no metrics. They are at /metrics of the \
                       admin listener: `listen` of [admin] in wharf's configuration, 127.0.0.1:5001 if that says nothing \
                       else.\n";

/// The answer to a request for one of these paths; none for any other. A scraper must not take a text for metrics, so
/// `/metrics` is 404.
pub(crate) fn answer(head: &request::Parts) -> Option<Answer> {
    let (status, outcome, text) = match head.uri.path() {
        "/" => (StatusCode::OK, "about", ROOT),
        "/metrics" => (StatusCode::NOT_FOUND, "about", METRICS),
        _ => return None,
    };
    let text_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Some(Answer::whole(status, outcome, text).with(header::CONTENT_TYPE, text_type))
}
