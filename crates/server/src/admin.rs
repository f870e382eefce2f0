//! The admin listener: numbers and states for the operator, on an address of its own.

mod metrics;
mod registries;
mod token;

use std::sync::Arc;

use cache::Backend;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode, request};
use secret::Secret;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use self::token::Token;
use crate::body::AnswerBody;
use crate::health;
use crate::respond::Answer;
use crate::site::{self, Framing, HeadFault};

/// What the admin listener serves.
#[derive(Debug)]
pub(crate) struct Admin {
    registries: Vec<Arc<Backend>>,
    metrics: Arc<Metrics>,
    token: Option<Token>,
    shutdown: CancellationToken,
}

type Endpoint = fn(&Admin) -> Answer;

/// Every endpoint, one row each.
const ENDPOINTS: [(&str, Endpoint); 2] =
    [("/metrics", metrics::answer), ("/api/registries", registries::answer)];

impl Admin {
    /// An admin surface that asks for `token`, if there is one.
    pub(crate) fn new(
        registries: &[Arc<Backend>],
        metrics: Arc<Metrics>,
        token: Option<&Secret<String>>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { registries: registries.to_vec(), metrics, token: token.map(Token::new), shutdown }
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
            checked => checked,
        };
        if let Err(fault) = checked {
            let status = if head.method == Method::GET || head.method == Method::HEAD {
                StatusCode::BAD_REQUEST
            } else {
                StatusCode::METHOD_NOT_ALLOWED
            };
            return text(status, &format!("{fault}\n")).closing();
        }
        let authorization = head.headers.get(header::AUTHORIZATION);
        if self.token.as_ref().is_some_and(|token| !token.is_given(authorization)) {
            let challenge = HeaderValue::from_static("Bearer realm=\"wharf admin\"");
            return text(StatusCode::UNAUTHORIZED, "a token is required\n")
                .with(header::WWW_AUTHENTICATE, challenge);
        }
        let endpoint = ENDPOINTS.iter().find(|(path, _)| *path == head.uri.path());
        match endpoint {
            Some((_, answer)) => answer(self),
            None => text(StatusCode::NOT_FOUND, "no such endpoint\n"),
        }
    }
}

fn text(status: StatusCode, text: &str) -> Answer {
    let text_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Answer::whole(status, "admin", text.to_owned()).with(header::CONTENT_TYPE, text_type)
}
