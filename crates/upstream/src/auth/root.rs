//! Requests a registry's root, `/v2/` (distribution-spec, "Determining Support").

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use policy::host_health::{Target, TargetGroup, TargetKind};
use policy::retry::RETRY_AFTER_DEFAULT;
use reqwest::Response;
use telemetry::UpstreamKind;
use url::Url;

use super::context::RequestContext;
use crate::error::{Error, ErrorKind};
use crate::location::{host_of, is_same_origin, next_hop};
use crate::response_headers::retry_after;
use crate::transport::{Allowance, Outgoing};

/// The most redirects to follow: some servers redirect `/v2` to `/v2/` or back.
const HOP_COUNT_MAX: usize = 2;

/// Returns the answer of `root` with any status below 500 except 429. Redirects are followed within the
/// origin only, so that `authorization` stays there.
///
/// # Errors
/// Errors of sending; [`ErrorKind::Unreachable`] and [`ErrorKind::Throttled`] for an answer that says nothing
/// about the registry.
pub(crate) async fn ask(
    context: RequestContext<'_>,
    root: &Url,
    authorization: Option<&HeaderValue>,
    allowance: &mut Allowance,
) -> Result<Response, Error> {
    let host = host_of(root);
    let group = Arc::new(TargetGroup { repository: String::new(), kind: TargetKind::Token });
    let target = Arc::new(Target { group, is_head: false, reference: String::new() });
    let mut url = root.clone();
    let mut hop_count = 0;
    loop {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let outgoing = Outgoing {
            kind: UpstreamKind::Version,
            method: Method::GET,
            url,
            headers,
            body: None,
            target: Arc::clone(&target),
            is_further: false,
        };
        let response = context.send(&outgoing, allowance).await?;
        let status = response.status();
        let answered = |kind| {
            let detail = format!("answered {} for /v2/", status.as_u16());
            Error::new(kind, &host, detail).with_status(status.as_u16())
        };
        if status == StatusCode::TOO_MANY_REQUESTS {
            let pause = retry_after(response.headers()).unwrap_or(RETRY_AFTER_DEFAULT);
            context.transport.metrics.throttled();
            context.gates.throttle(&host, &target, pause);
            return Err(answered(ErrorKind::Throttled).with_retry_after(pause));
        }
        if status.is_server_error() {
            return Err(answered(ErrorKind::Unreachable));
        }
        match next_hop(&outgoing.url, &response)? {
            Some(next) if hop_count < HOP_COUNT_MAX && is_same_origin(root, &next) => {
                hop_count += 1;
                url = next;
            }
            _ => return Ok(response),
        }
    }
}
