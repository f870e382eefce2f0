//! Redirects requests in plain text to the TLS listener, if the operator wants that.
//!
//! Health checks, and the pages outside the registry API, are answered before: they hold nothing to protect.

use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{StatusCode, request};
use oci::ErrorCode;
use policy::host_port::HostPort;
use telemetry::Answered;

use crate::respond::Answer;
use crate::settings::Settings;
use crate::site;
use crate::tls::TlsSession;

/// The port that `https` URLs leave out.
const HTTPS_PORT: u16 = 443;

/// Returns the answer to a request in plain text that must come over TLS, and `None` for any other request,
/// and for a malformed host, which routing refuses.
pub(crate) fn answer(head: &request::Parts, settings: &Settings) -> Option<Answer> {
    let port = settings.tls.as_ref()?.redirect_port?;
    if head.extensions.get::<TlsSession>().is_some() {
        return None;
    }
    let authority = site::authority(head).ok()?;
    let location = location(authority, port, head.uri.path_and_query().map_or("/", |target| target.as_str()));
    let (status, message) = match &location {
        // The method stays (RFC 9110, section 15.4.9).
        Some(location) => (
            StatusCode::PERMANENT_REDIRECT,
            format!("this port redirects to TLS: {}", location_text(location)),
        ),
        None => {
            (StatusCode::BAD_REQUEST, "this port redirects to TLS, and the request has no host".to_owned())
        }
    };
    let document = serde_json::json!({
        "errors": [{ "code": ErrorCode::Unsupported.as_str(), "message": message, "detail": null }]
    });
    let json = HeaderValue::from_static("application/json");
    let answer = Answer::whole(status, Answered::Redirected, document.to_string());
    let answer = answer.with(header::CONTENT_TYPE, json).with_api_version();
    Some(match location {
        Some(location) => answer.with(header::LOCATION, location),
        None => answer,
    })
}

/// The same target over TLS; `None` without a well-formed host.
fn location(authority: &str, port: u16, target: &str) -> Option<HeaderValue> {
    let (host, _) = HostPort::split(authority)?;
    if host.is_empty() || host.parse::<Authority>().is_err() || host.contains('@') {
        return None;
    }
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    HeaderValue::from_str(&format!("https://{host}{port}{target}")).ok()
}

fn location_text(location: &HeaderValue) -> String {
    String::from_utf8_lossy(location.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_keeps_host_path_and_query_and_changes_scheme_and_port() {
        let target = "/v2/library/alpine/manifests/3?ns=docker.io";
        for (authority, port, expected) in [
            ("cache.example", 443, "https://cache.example"),
            ("cache.example:5000", 443, "https://cache.example"),
            ("Cache.example:80", 5443, "https://Cache.example:5443"),
            ("192.0.2.7:5000", 5443, "https://192.0.2.7:5443"),
            ("[2001:db8::7]:5000", 443, "https://[2001:db8::7]"),
            ("[2001:db8::7]", 5443, "https://[2001:db8::7]:5443"),
        ] {
            let found = location(authority, port, target).unwrap();
            assert_eq!(found.to_str().unwrap(), format!("{expected}{target}"), "{authority}");
        }
    }

    #[test]
    fn s32_a_malformed_host_is_no_location() {
        for authority in [
            "",
            ":5000",
            "a.example:x",
            "user@evil.example",
            "evil.example/..",
            "a b",
            "a.example\\@b",
            "[::1",
        ] {
            assert_eq!(location(authority, 443, "/v2/"), None, "{authority}");
        }
    }
}
