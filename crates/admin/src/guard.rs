//! The guard before every endpoint: it checks the host, the origin and the token of a request.
//!
//! A browser sends requests for whatever page it shows, and reaches what the person in front of it reaches. A page gets at
//! this listener in two ways: it asks for our address outright, and then the browser says so (`Origin`,
//! `Sec-Fetch-Site`); or its own name is made to lead to us, and then `Host` has that name. Both are refused.
//! docs/explanation/admin-listener.md says why it is these rules.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, request};
use policy::host::is_address_or_listed;
use server::foreign;
use server::site::{self, Framing, HeadFault};

use crate::settings::Settings;
use crate::text::text;
use crate::token::Token;

/// Endpoints that everybody may ask: they tell no more than that wharf is there, and probes have neither name nor token.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// Whether a request is answered without these checks.
pub(crate) fn is_open(head: &request::Parts) -> bool {
    is_read(&head.method) && OPEN.contains(&head.uri.path())
}

/// The checks that a request must pass before it is answered.
#[derive(Debug)]
pub(crate) struct Guard {
    /// None: no token is asked for.
    token: Option<Token>,
    /// The names of the listener, beside addresses and `localhost`.
    hosts: Vec<String>,
}

impl Guard {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { token: settings.token.as_ref().map(Token::new), hosts: settings.hosts.clone() }
    }

    /// The answer to a request that is malformed or has no business here; none: it may be answered.
    pub(crate) fn refusal(&self, head: &request::Parts) -> Option<Response<String>> {
        let authority = match check_form(head).and_then(|()| site::authority(head)) {
            Ok(authority) => authority,
            Err(fault) => return Some(closing(text(status_of(fault), format!("{fault}\n")))),
        };
        let authorization = head.headers.get(header::AUTHORIZATION);
        let is_trusted = self.token.as_ref().is_some_and(|token| token.is_given(authorization));
        // A page can have a name that its owner lets lead to us. It does not have the token.
        if !is_trusted && !is_address_or_listed(authority, &self.hosts) {
            let told = format!(
                "{} is no name of this listener: ask its address, or add the name to hosts of [admin]\n",
                foreign(authority)
            );
            return Some(closing(text(StatusCode::FORBIDDEN, told)));
        }
        if self.token.is_some() && !is_trusted {
            let mut answer = text(StatusCode::UNAUTHORIZED, "a token is required\n");
            let challenge = HeaderValue::from_static("Bearer realm=\"wharf admin\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            return Some(answer);
        }
        None
    }
}

/// Refuses what is malformed, and what a page in a browser sends.
fn check_form(head: &request::Parts) -> Result<(), HeadFault> {
    match site::check_form(head)? {
        // Nothing here takes content, and no client of this listener announces some that it may not have.
        Framing::Chunked => Err(HeadFault::Body),
        Framing::Empty if is_read(&head.method) => refuse_foreign_pages(&head.headers),
        // No page of ours changes anything.
        Framing::Empty => site::refuse_pages(&head.headers),
    }
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Refuses what pages of others send. People look with a browser too: what they typed, and what our own pages ask for, is
/// served.
fn refuse_foreign_pages(headers: &HeaderMap) -> Result<(), HeadFault> {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let is_own = headers.get_all(SITE).iter().all(|site| site == "none" || site == "same-origin");
    if is_own && !headers.contains_key(header::ORIGIN) { Ok(()) } else { Err(HeadFault::Page) }
}

fn status_of(fault: HeadFault) -> StatusCode {
    if fault == HeadFault::Page { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST }
}

/// Ends the connection with this answer: nothing of what the client sent besides is read.
fn closing(mut answer: Response<String>) -> Response<String> {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests;
