//! Whose word a no is. A router without a rule for the host, a gateway, a portal: all of them say 404 and 403 too, and
//! know nothing of the thing that was asked for.

use budget::Budget;
use bytes::Bytes;
use http::Method;
use http::header::{HeaderMap, WWW_AUTHENTICATE};
use oci::{Challenge, ErrorBody};
use policy::head_trust::No;
use reqwest::Response;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::exchange::{is_web_page, read_body};

/// The largest error body that is read, in bytes.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// What the status says, if that is a no.
pub(crate) fn no_of(status: u16) -> Option<No> {
    match status {
        404 | 410 => Some(No::Absent),
        401 | 403 | 451 => Some(No::Refused),
        _ => None,
    }
}

/// `error`, which says no, as what it proves: with the kind that it has only where the answer is the registry's own
/// word.
pub(crate) async fn weigh(
    error: Error,
    response: Response,
    method: &Method,
    deadline: Instant,
    budget: &Budget,
) -> Error {
    if is_registrys(response, method, error.host(), deadline, budget).await {
        return error;
    }
    error.with_kind(ErrorKind::Unconfirmed)
}

/// Whether the answer is a registry's own word about what was asked for.
async fn is_registrys(
    response: Response,
    method: &Method,
    host: &str,
    deadline: Instant,
    budget: &Budget,
) -> bool {
    let headers = response.headers().clone();
    if is_web_page(&headers) {
        return false;
    }
    let has_header = has_registrys_header(&headers);
    if method == Method::HEAD {
        return has_header;
    }
    // An error body that does not come costs no more than what it could have shown.
    let body = read_body(response, ERROR_BYTES_MAX, budget, host);
    let body = tokio::time::timeout_at(deadline, body).await;
    let body: Bytes = body.map(Result::unwrap_or_default).unwrap_or_default();
    match ErrorBody::read(&body) {
        Some(ErrorBody::AboutIt) => true,
        Some(ErrorBody::AboutTheMoment) => false,
        None => has_header,
    }
}

/// Headers that registries send and others do not.
fn has_registrys_header(headers: &HeaderMap) -> bool {
    let version = headers.get("docker-distribution-api-version");
    version.is_some_and(|value| value.as_bytes().starts_with(b"registry/"))
        || headers.contains_key("docker-content-digest")
        || has_registrys_challenge(headers)
}

/// A challenge that names a token service as the distribution specification's does, and not only a realm.
fn has_registrys_challenge(headers: &HeaderMap) -> bool {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(Challenge::parse_all).any(|challenge| {
        matches!(challenge, Challenge::Bearer { service, scope, .. } if service.is_some() || scope.is_some())
    })
}
