//! One token request, and reading its answer (Docker's token authentication specification, "Requesting a
//! token").

use std::time::{Duration, SystemTime};

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use policy::retry::{RETRY_AFTER_DEFAULT, parse_retry_after};
use reqwest::Response;
use serde::Deserialize;
use serde_json::Value;
use telemetry::UpstreamKind;

use super::token_cache::{Token, TokenKey};
use crate::error::{Error, ErrorKind};
use crate::exchange::{is_web_page, read_body};
use crate::gate::Gate;
use crate::transport::{Outgoing, Patience, Transport, host_of};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long a token is good for when the answer does not say, or says something senseless.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(60);
/// The longest that is believed.
const LIFETIME_MAX: Duration = Duration::from_secs(60 * 60);

/// `issued_at` is not read: it is the service's clock, and a token that ends early costs one refresh.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<Value>,
}

/// Asks the realm once, with `basic` or anonymously. Redirects are not followed: a realm has no reason to.
///
/// # Errors
/// [`ErrorKind::Denied`] when the realm refuses; [`ErrorKind::Throttled`], [`ErrorKind::Unreachable`] and
/// [`ErrorKind::TimedOut`] as for any request; [`ErrorKind::Invalid`] for an answer without a token.
pub(super) async fn fetch(
    transport: &Transport,
    gate: &Gate,
    key: &TokenKey,
    basic: Option<&HeaderValue>,
    patience: &mut Patience,
) -> Result<Token, Error> {
    let mut url = key.realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &key.service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", &key.scope);
    }
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(basic) = basic {
        headers.insert(AUTHORIZATION, basic.clone());
    }
    let host = host_of(&url);
    let outgoing = Outgoing { kind: UpstreamKind::Token, method: Method::GET, url, headers };
    let permit = gate.admit(UpstreamKind::Token, &host)?;
    let sent = transport.send(&outgoing, patience).await;
    permit.report(&sent);
    let response = sent?;
    if response.status() != StatusCode::OK {
        let error = refused(&response, &host, basic.is_some());
        if let (ErrorKind::Throttled, Some(pause)) = (error.kind(), error.retry_after()) {
            transport.metrics.throttled();
            gate.rest(UpstreamKind::Token, &host, 429, pause);
        }
        return Err(error);
    }
    if is_web_page(response.headers()) {
        return Err(Error::new(ErrorKind::Invalid, host, "answered a token request with a web page"));
    }
    let bytes = read_body(response, ANSWER_BYTES_MAX, &transport.memory.documents, &host).await?;
    parse(&bytes)
        .ok_or_else(|| Error::new(ErrorKind::Invalid, host, "answered a token request without a token"))
}

fn refused(response: &Response, host: &str, has_credentials: bool) -> Error {
    let status = response.status().as_u16();
    let answered = |kind, what: &str| {
        Error::new(kind, host, format!("answered a token request with {status}{what}")).with_status(status)
    };
    match status {
        400 | 401 | 403 if has_credentials => {
            answered(ErrorKind::Denied, ": the configured credentials were refused")
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

/// None: there is no token in it that can be sent.
pub(crate) fn parse(bytes: &[u8]) -> Option<Token> {
    // The library would take a list for the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let is_usable = |token: &String| !token.is_empty();
    let token = answer.token.filter(is_usable).or(answer.access_token.filter(is_usable))?;
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(Token { header, lifetime: lifetime(answer.expires_in.as_ref()) })
}

/// Services write numbers, numbers as text, zero and nonsense; none of that may cost a pull.
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
