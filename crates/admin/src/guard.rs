//! The guard before the endpoints: it checks the host, the origin and the token of a request.
//!
//! A web page can make its reader's browser send requests to this listener in two ways. It can use the
//! listener's address, and then the browser says so (`Origin`, `Sec-Fetch-Site`). Or it can point its own
//! host name here (DNS rebinding), and then `Host` has that name. The guard refuses both;
//! docs/explanation/admin-listener.md has the reasons for these rules.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, request};
use policy::host::is_address_or_listed;
use server::quoted;
use server::site::{self, Framing, HeadFault};

use crate::settings::Settings;
use crate::text::text;
use crate::token::Token;

/// Endpoints without checks. They reveal only that wharf runs, and health probes have neither name nor token.
const OPEN_PATHS: [&str; 2] = ["/livez", "/readyz"];

/// Endpoints that take content.
const CONTENT_PATHS: [&str; 5] =
    ["/api/pull", "/api/verify", "/api/export", "/api/import/missing", "/api/pins"];

/// The endpoint that takes an archive, of any length.
const ARCHIVE_PATH: &str = "/api/import";

/// The longest content, in bytes: ten thousand images with long names.
pub(crate) const CONTENT_BYTES_MAX: u64 = 4 << 20;

/// Whether a request is answered without checks.
pub(crate) fn is_open(head: &request::Parts) -> bool {
    is_read(&head.method) && OPEN_PATHS.contains(&head.uri.path())
}

/// The checks that a request must pass before it is answered.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The required token; `None` if every client may send requests.
    token: Option<Token>,
    /// The listener's names, besides addresses and `localhost`.
    hosts: Vec<String>,
}

impl Guard {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { token: settings.token.as_ref().map(Token::new), hosts: settings.hosts.clone() }
    }

    /// Returns the refusal of a malformed or unauthorized request, and `None` if the request may pass.
    pub(crate) fn refusal(&self, head: &request::Parts) -> Option<Response<String>> {
        let authority = match check_form(head).and_then(|()| site::authority(head)) {
            Ok(authority) => authority,
            Err(fault) => return Some(closing(text(status_of(fault), format!("{fault}\n")))),
        };
        let authorization = head.headers.get(header::AUTHORIZATION);
        let is_trusted = self.token.as_ref().is_some_and(|token| token.is_given(authorization));
        // DNS rebinding can point a web page's host name here, but the page does not have the token.
        if !is_trusted && !is_address_or_listed(authority, &self.hosts) {
            let message = format!(
                "{} is not a name of this listener; use its address, or add the name to hosts of [admin]\n",
                quoted(authority)
            );
            return Some(closing(text(StatusCode::FORBIDDEN, message)));
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

/// Refuses malformed requests and those of web pages.
fn check_form(head: &request::Parts) -> Result<(), HeadFault> {
    if head.method == Method::POST && head.uri.path() == ARCHIVE_PATH {
        site::check_form_with_stream(head)?;
        return site::refuse_pages(&head.headers);
    }
    if head.method == Method::POST && CONTENT_PATHS.contains(&head.uri.path()) {
        site::check_form_with_content(head, CONTENT_BYTES_MAX)?;
        return site::refuse_pages(&head.headers);
    }
    match site::check_form(head)? {
        // No other endpoint takes content.
        Framing::Chunked => Err(HeadFault::Body),
        Framing::Empty if is_read(&head.method) => refuse_foreign_pages(&head.headers),
        // wharf's own pages change nothing either.
        Framing::Empty => site::refuse_pages(&head.headers),
    }
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Refuses requests of other sites' pages. Addresses that people type into a browser, and requests of wharf's
/// own pages, pass.
fn refuse_foreign_pages(headers: &HeaderMap) -> Result<(), HeadFault> {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let is_own = headers.get_all(SITE).iter().all(|site| site == "none" || site == "same-origin");
    if is_own && !headers.contains_key(header::ORIGIN) { Ok(()) } else { Err(HeadFault::Page) }
}

fn status_of(fault: HeadFault) -> StatusCode {
    match fault {
        HeadFault::Page => StatusCode::FORBIDDEN,
        HeadFault::Content => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Ends the connection with this answer. Further bytes from the client are not read.
fn closing(mut answer: Response<String>) -> Response<String> {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests;
