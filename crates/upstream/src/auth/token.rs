//! Requests a token from a token service (Docker's token authentication specification, "Requesting a token").

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use http::{Method, StatusCode};
use policy::host_health::{Target, TargetGroup, TargetKind};
use policy::retry::{RETRY_AFTER_DEFAULT, parse_retry_after};
use reqwest::Response;
use secret::Secret;
use serde::Deserialize;
use serde_json::Value;
use telemetry::UpstreamKind;
use url::Url;
use url::form_urlencoded::Serializer;

use super::login::Offer;
use super::token_cache::Token;
use crate::error::{Error, ErrorKind};
use crate::gates::Gates;
use crate::location::{host_of, is_same_origin, next_hop};
use crate::negative_answer;
use crate::response_headers::is_web_page;
use crate::transport::{Allowance, Outgoing, Transport};
use crate::whole_body::read_body;

/// The type of the form that carries a refresh token.
pub(crate) const FORM_TYPE: &str = "application/x-www-form-urlencoded";
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The lifetime of a token if the answer gives none, or an invalid one.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(60);
/// The longest lifetime that is accepted.
const LIFETIME_MAX: Duration = Duration::from_secs(60 * 60);

/// The most redirects to follow.
const HOP_COUNT_MAX: usize = 3;

/// A token request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenRequest<'a> {
    pub(crate) realm: &'a Url,
    pub(crate) service: Option<&'a str>,
    /// Scopes separated by blanks; `None` requests a token without a scope.
    pub(crate) scope: Option<&'a str>,
}

/// `issued_at` is not read: it uses the service's clock, and a token that ends early costs one refresh.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<Value>,
}

/// The reasons why there is no token.
#[derive(Debug)]
pub(super) enum TokenFailure {
    /// The service got the credentials and refused.
    Login(Error),
    /// Anything else.
    Other(Error),
}

impl From<TokenFailure> for Error {
    fn from(failure: TokenFailure) -> Self {
        match failure {
            TokenFailure::Login(error) | TokenFailure::Other(error) => error,
        }
    }
}

impl From<Error> for TokenFailure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Requests a token from the realm, with `offer` or anonymously. Without a scope this only checks the login.
/// Redirects are followed; the login goes to the realm's own origin only, and once dropped is not sent again.
/// A refresh token goes in a form, by POST (OAuth 2.0, RFC 6749, section 6), and only to the realm itself.
///
/// # Errors
/// [`Failure`]: [`ErrorKind::Denied`] when the realm refuses; [`ErrorKind::Throttled`],
/// [`ErrorKind::Unreachable`] and [`ErrorKind::TimedOut`] as for any request; [`ErrorKind::Invalid`] for an
/// answer without a token.
pub(super) async fn fetch(
    transport: &Transport,
    gates: &Gates,
    request: &TokenRequest<'_>,
    offer: Option<&Offer>,
    allowance: &mut Allowance,
) -> Result<Token, TokenFailure> {
    let group =
        TargetGroup { repository: request.scope.unwrap_or_default().to_owned(), kind: TargetKind::Token };
    let target = Arc::new(Target { group: Arc::new(group), is_head: false, reference: String::new() });
    let (mut authorization, form) = match offer {
        Some(Offer::Basic(header) | Offer::Bearer(header)) => (Some(header), None),
        Some(Offer::Refresh(token)) => (None, Some(request.form(token))),
        None => (None, None),
    };
    let has_form = form.is_some();
    let mut url = if has_form { request.realm.clone() } else { request.url() };
    let mut seen = Vec::new();
    let mut response =
        gates.send(transport, &outgoing(url.clone(), authorization, form, &target), allowance).await?;
    while let Some(next) = next_hop(&url, &response)? {
        seen.push(url.clone());
        if has_form {
            let detail = "redirects a request with a refresh token, which goes to the named service only";
            return Err(Error::new(ErrorKind::Invalid, host_of(&url), detail).into());
        }
        if seen.contains(&next) || seen.len() > HOP_COUNT_MAX {
            let detail = "redirects token requests in a circle, or too often";
            return Err(Error::new(ErrorKind::Invalid, host_of(&url), detail).into());
        }
        if !is_same_origin(&url, &next) {
            authorization = None;
        }
        let query = next.query().or(url.query()).map(str::to_owned);
        url = next;
        // A redirect that adds a slash and drops the query means the same request.
        url.set_query(query.as_deref());
        response =
            gates.send(transport, &outgoing(url.clone(), authorization, None, &target), allowance).await?;
    }
    let has_login = authorization.is_some() || has_form;
    let host = host_of(&url);
    if response.status() != StatusCode::OK {
        let error = refused(&response, &host, has_login);
        if let (ErrorKind::Throttled, Some(pause)) = (error.kind(), error.retry_after()) {
            transport.metrics.throttled();
            gates.throttle(&host, &target, pause);
        }
        let error = if error.kind() == ErrorKind::Denied {
            let budget = &transport.memory.documents;
            negative_answer::verify_token_refusal(error, response, allowance.deadline, budget).await
        } else {
            error
        };
        let is_refusal = matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unconfirmed);
        let is_login = is_refusal && has_login;
        return Err(if is_login { TokenFailure::Login(error) } else { TokenFailure::Other(error) });
    }
    let unusable = |what| Error::new(ErrorKind::Invalid, &host, format!("answered a token request {what}"));
    if is_web_page(response.headers()) {
        return Err(unusable("with a web page").into());
    }
    let bytes = read_body(response, ANSWER_BYTES_MAX, &transport.memory.documents, &host).await?;
    let token = parse(&bytes).ok_or_else(|| unusable("without a token"))?;
    Ok(Token { with_login: has_login, ..token })
}

fn outgoing(
    url: Url,
    authorization: Option<&HeaderValue>,
    form: Option<Secret<Bytes>>,
    target: &Arc<Target>,
) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(authorization) = authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    let mut method = Method::GET;
    if form.is_some() {
        method = Method::POST;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM_TYPE));
    }
    let (kind, target) = (UpstreamKind::Token, Arc::clone(target));
    Outgoing { kind, method, url, headers, body: form, target, is_further: false }
}

impl TokenRequest<'_> {
    pub(crate) fn url(&self) -> Url {
        let mut url = self.realm.clone();
        if self.service.is_some() || self.scope.is_some() {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(self.service.map(|service| ("service", service)));
            let scopes = self.scope.unwrap_or_default().split_ascii_whitespace();
            query.extend_pairs(scopes.map(|scope| ("scope", scope)));
        }
        url
    }

    /// The form that exchanges a refresh token for an access token.
    pub(crate) fn form(&self, token: &Secret<String>) -> Secret<Bytes> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("client_id", "wharf");
        form.extend_pairs(self.service.map(|service| ("service", service)));
        form.extend_pairs(self.scope.map(|scope| ("scope", scope)));
        form.append_pair("refresh_token", token.expose());
        Secret::new(Bytes::from(form.finish()))
    }
}

fn refused(response: &Response, host: &str, has_credentials: bool) -> Error {
    let status = response.status().as_u16();
    let answered = |kind, what: &str| {
        let error = Error::new(kind, host, format!("answered a token request with {status}{what}"));
        error.with_status(status).by_token_service()
    };
    match status {
        400 | 401 | 403 if has_credentials => {
            answered(ErrorKind::Denied, ": the configured credentials were refused").after_login()
        }
        400 | 401 | 403 => answered(ErrorKind::Denied, ": it was asked without credentials"),
        429 => {
            let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let pause = header.and_then(|value| parse_retry_after(value, SystemTime::now()));
            answered(ErrorKind::Throttled, "").with_retry_after(pause.unwrap_or(RETRY_AFTER_DEFAULT))
        }
        500.. => answered(ErrorKind::Unreachable, ""),
        _ => answered(ErrorKind::Invalid, ""),
    }
}

/// Returns `None` if the answer holds no usable token.
pub(crate) fn parse(bytes: &[u8]) -> Option<Token> {
    // serde would accept a JSON array as the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let is_usable = |token: &String| !token.is_empty();
    let token = answer.token.filter(is_usable).or(answer.access_token.filter(is_usable))?;
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(Token { header, lifetime: lifetime(answer.expires_in.as_ref()), with_login: false })
}

/// Services write numbers, numbers as text, zero and nonsense; none of these may fail a pull.
fn lifetime(expires_in: Option<&Value>) -> Duration {
    let seconds = match expires_in {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let sane = seconds.filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0);
    let lifetime = sane.map(|seconds| Duration::from_secs_f64(seconds.min(LIFETIME_MAX.as_secs_f64())));
    // Less than a nanosecond counts as zero.
    lifetime.filter(|lifetime| !lifetime.is_zero()).unwrap_or(LIFETIME_DEFAULT)
}

#[cfg(test)]
mod tests;
