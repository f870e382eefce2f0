//! The admin listener: numbers and states for the operator, on an address of its own.

mod metrics;
mod registries;
mod token;

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode, request};
use policy::host::is_address_or_listed;
use telemetry::{Answered, Metrics};
use tokio_util::sync::CancellationToken;

use self::token::Token;
use crate::body::AnswerBody;
use crate::health;
use crate::reload::{ReloadAnswer, Reloads};
use crate::respond::Answer;
use crate::respond::foreign::foreign;
use crate::site::{self, Framing, HeadFault};
use crate::snapshot::Current;

/// What the admin listener serves.
#[derive(Debug)]
pub(crate) struct Admin {
    current: Current,
    metrics: Arc<Metrics>,
    /// None: there is nothing to reload.
    reloads: Option<Reloads>,
    shutdown: CancellationToken,
}

type Endpoint = fn(&Admin) -> Answer;

/// Every page, one row each.
const ENDPOINTS: [(&str, &str, Endpoint); 3] = [
    ("/", "this list", index),
    ("/metrics", "numbers in OpenMetrics text, for Prometheus", metrics::answer),
    ("/api/registries", "the registries that are served, in JSON", registries::answer),
];

/// The one path that takes POST.
const RELOAD: &str = "/api/reload";

/// Endpoints that are answered before any other check.
const HEALTH: [(&str, &str); 2] =
    [("/livez", "whether wharf runs"), ("/readyz", "whether it takes requests")];

impl Admin {
    /// An admin surface for what `current` serves.
    pub(crate) fn new(
        current: Current,
        metrics: Arc<Metrics>,
        reloads: Option<Reloads>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { current, metrics, reloads, shutdown }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, head: &request::Parts) -> Response<AnswerBody> {
        let answer = match health::answer(head, &self.shutdown) {
            Some(answer) => answer,
            None => self.serve(head).await,
        };
        answer.into_response(&head.method, None)
    }

    async fn serve(&self, head: &request::Parts) -> Answer {
        if let Some(refusal) = self.refuse(head) {
            return refusal;
        }
        let path = head.uri.path();
        match ENDPOINTS.iter().find(|(endpoint, ..)| *endpoint == path) {
            Some((.., answer)) => answer(self),
            None if path == RELOAD => self.reload(head).await,
            None => {
                let message = format!("there is nothing at {}\n\n{}", foreign(path), list());
                text(StatusCode::NOT_FOUND, &message)
            }
        }
    }

    /// The answer to a request that is malformed or has no business here.
    fn refuse(&self, head: &request::Parts) -> Option<Answer> {
        let is_reload = is_reload(head);
        let checked = if is_reload { site::check_form(head) } else { site::check(head) };
        let checked = match checked {
            // A scraper that sends chunks is not known, so nothing waits for their end here.
            Ok(Framing::Chunked) => Err(HeadFault::Body),
            // No page of ours asks for a reload.
            Ok(Framing::Empty) if is_reload => site::refuse_pages(&head.headers),
            Ok(Framing::Empty) => site::refuse_foreign_pages(&head.headers),
            Err(fault) => Err(fault),
        };
        let authority = match checked.and_then(|()| site::authority(head)) {
            Ok(authority) => authority,
            Err(fault) => return Some(text(status_of(fault), &format!("{fault}\n")).closing()),
        };
        let snapshot = self.current.peek();
        let settings = &snapshot.settings;
        let token = settings.admin.as_ref().and_then(|admin| admin.token.as_ref()).map(Token::new);
        let is_trusted =
            token.as_ref().is_some_and(|token| token.is_given(head.headers.get(header::AUTHORIZATION)));
        // A page can have a name that its owner lets lead to us. It does not have the token.
        if !is_trusted && !is_address_or_listed(authority, &settings.admin_hosts) {
            let message = format!(
                "{} is no name of this listener: ask its address, or add the name to hosts of [admin]\n",
                foreign(authority)
            );
            return Some(text(StatusCode::FORBIDDEN, &message).closing());
        }
        if token.is_some() && !is_trusted {
            let challenge = HeaderValue::from_static("Bearer realm=\"wharf admin\"");
            let answer = text(StatusCode::UNAUTHORIZED, "a token is required\n");
            return Some(answer.with(header::WWW_AUTHENTICATE, challenge));
        }
        None
    }

    /// Has the configuration read again, and answers once that is over.
    async fn reload(&self, head: &request::Parts) -> Answer {
        if !is_reload(head) {
            let answer = text(StatusCode::METHOD_NOT_ALLOWED, "POST reloads the configuration\n");
            return answer.with(header::ALLOW, HeaderValue::from_static("POST"));
        }
        let Some(reloads) = &self.reloads else {
            return text(StatusCode::NOT_FOUND, "this server has no configuration to reload\n");
        };
        match reloads.request().await {
            Some(ReloadAnswer { is_success: true, text: told }) => text(StatusCode::OK, &told),
            Some(ReloadAnswer { is_success: false, text: told }) => {
                text(StatusCode::UNPROCESSABLE_ENTITY, &told)
            }
            None => text(StatusCode::SERVICE_UNAVAILABLE, "wharf is stopping\n"),
        }
    }
}

fn is_reload(head: &request::Parts) -> bool {
    head.method == Method::POST && head.uri.path() == RELOAD
}

fn index(_: &Admin) -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    text(StatusCode::OK, &format!("This is the admin listener of wharf {version}.\n\n{}", list()))
}

/// Each path with what is there, one a line.
fn list() -> String {
    let endpoints = ENDPOINTS.iter().map(|(path, what, _)| (*path, *what)).chain(HEALTH);
    let lines = endpoints.map(|(path, what)| format!("{path:<16}  {what}\n"));
    let reload = format!("POST {RELOAD:<11}  reads the configuration again\n");
    lines.chain([reload]).collect()
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
