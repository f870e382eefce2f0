//! The admin listener: numbers and states for the operator, on an address of its own.

mod metrics;
mod registries;
mod token;

use std::sync::Arc;

use cache::Backend;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode, request};
use policy::host::is_address_or_listed;
use secret::Secret;
use telemetry::{Answered, Metrics};
use tokio_util::sync::CancellationToken;

use self::token::Token;
use crate::body::AnswerBody;
use crate::health;
use crate::respond::Answer;
use crate::respond::foreign::foreign;
use crate::site::{self, Framing, HeadFault};

/// What the admin listener serves.
#[derive(Debug)]
pub(crate) struct Admin {
    registries: Vec<Arc<Backend>>,
    metrics: Arc<Metrics>,
    token: Option<Token>,
    /// The names by which it may be asked for, beside addresses and `localhost`.
    hosts: Vec<String>,
    shutdown: CancellationToken,
}

type Endpoint = fn(&Admin) -> Answer;

/// Every endpoint, one row each.
const ENDPOINTS: [(&str, &str, Endpoint); 3] = [
    ("/", "this list", index),
    ("/metrics", "numbers in OpenMetrics text, for Prometheus", metrics::answer),
    ("/api/registries", "the registries that are served, in JSON", registries::answer),
];

/// Endpoints that are answered before any other check.
const HEALTH: [(&str, &str); 2] =
    [("/livez", "whether wharf runs"), ("/readyz", "whether it takes requests")];

impl Admin {
    /// An admin surface that asks for `token`, if there is one, and is also called by the names of `hosts`.
    pub(crate) fn new(
        registries: &[Arc<Backend>],
        metrics: Arc<Metrics>,
        token: Option<&Secret<String>>,
        hosts: Vec<String>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { registries: registries.to_vec(), metrics, token: token.map(Token::new), hosts, shutdown }
    }

    /// Answers one request.
    pub(crate) fn answer(&self, head: &request::Parts) -> Response<AnswerBody> {
        let answer = health::answer(head, &self.shutdown).unwrap_or_else(|| self.serve(head));
        answer.into_response(&head.method, None)
    }

    fn serve(&self, head: &request::Parts) -> Answer {
        // A scraper that sends chunks is not known, so nothing waits for their end here.
        let checked = match site::check(head) {
            Ok(Framing::Chunked) => Err(HeadFault::Body),
            Ok(Framing::Empty) => site::refuse_foreign_pages(&head.headers),
            Err(fault) => Err(fault),
        };
        let authority = match checked.and_then(|()| site::authority(head)) {
            Ok(authority) => authority,
            Err(fault) => return text(status_of(fault), &format!("{fault}\n")).closing(),
        };
        let is_trusted = match &self.token {
            Some(token) => token.is_given(head.headers.get(header::AUTHORIZATION)),
            None => false,
        };
        // A page can have a name that its owner lets lead to us. It does not have the token.
        if !is_trusted && !is_address_or_listed(authority, &self.hosts) {
            let message = format!(
                "{} is no name of this listener: ask its address, or add the name to hosts of [admin]\n",
                foreign(authority)
            );
            return text(StatusCode::FORBIDDEN, &message).closing();
        }
        if self.token.is_some() && !is_trusted {
            let challenge = HeaderValue::from_static("Bearer realm=\"wharf admin\"");
            return text(StatusCode::UNAUTHORIZED, "a token is required\n")
                .with(header::WWW_AUTHENTICATE, challenge);
        }
        let endpoint = ENDPOINTS.iter().find(|(path, ..)| *path == head.uri.path());
        match endpoint {
            Some((.., answer)) => answer(self),
            None => {
                let message = format!("there is nothing at {}\n\n{}", foreign(head.uri.path()), list());
                text(StatusCode::NOT_FOUND, &message)
            }
        }
    }
}

fn index(_: &Admin) -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    text(StatusCode::OK, &format!("This is the admin listener of wharf {version}.\n\n{}", list()))
}

/// Each path with what is there, one a line.
fn list() -> String {
    let endpoints = ENDPOINTS.iter().map(|(path, what, _)| (*path, *what)).chain(HEALTH);
    endpoints.map(|(path, what)| format!("{path:<16}  {what}\n")).collect()
}

fn status_of(fault: HeadFault) -> StatusCode {
    match fault {
        HeadFault::Method => StatusCode::METHOD_NOT_ALLOWED,
        HeadFault::Page => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn text(status: StatusCode, text: &str) -> Answer {
    let text_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Answer::whole(status, Answered::Admin, text.to_owned()).with(header::CONTENT_TYPE, text_type)
}
