//! One operation on the registry, and the answer at the end of the redirects.

use std::sync::Arc;

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, RANGE};
use http::{HeaderMap, Method};
use oci::Repository;
use policy::host_health::{Target, TargetGroup, TargetKind};
use reqwest::Response;
use telemetry::UpstreamKind;
use url::Url;

use crate::auth::scope::Need;

/// A request to the registry, without its authorization.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) kind: UpstreamKind,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) accept: Option<&'static str>,
    pub(crate) range: Option<HeaderValue>,
    /// The target that a failure counts for.
    pub(crate) target: Arc<Target>,
    /// Whether it is a further connection for a blob that another transfer already fetches.
    pub(crate) is_further: bool,
}

/// The answer at the end of the redirects.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) response: Response,
    /// The host that gave it.
    pub(crate) host: String,
    /// Whether it came from the registry's own scheme, host and port, without a detour over another host.
    pub(crate) is_home: bool,
    /// Whether a registry gave it: ours, or a redirect target that sent a challenge.
    pub(crate) is_registry: bool,
    /// Whether the operation has a login, sent or not.
    pub(crate) has_login: bool,
}

impl Operation {
    /// Tells whether a partial answer is acceptable: it says where it belongs.
    pub(crate) fn may_be_partial(&self) -> bool {
        self.range.is_some() || self.kind == UpstreamKind::GetBlob
    }

    /// Tells whether it requests a part. A refused part says nothing about the whole, which is requested
    /// next.
    pub(crate) fn is_of_part(&self) -> bool {
        self.is_further || self.range.is_some()
    }

    /// Returns the permissions that its token needs.
    pub(crate) fn need(&self) -> Need {
        match self.target.group.kind {
            TargetKind::Tags => Need::Tags,
            TargetKind::Referrers => Need::Referrers,
            TargetKind::Manifests | TargetKind::Blobs | TargetKind::Token => Need::Content,
        }
    }

    pub(crate) fn headers(&self, authorization: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // Digests and lengths refer to the unencoded bytes.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(accept) = self.accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        if let Some(range) = &self.range {
            headers.insert(RANGE, range.clone());
        }
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        headers
    }
}

/// Returns the target that a failure of the request counts for.
pub(crate) fn target_of(
    repository: &Repository,
    kind: TargetKind,
    method: &Method,
    reference: String,
) -> Arc<Target> {
    let group = Arc::new(TargetGroup { repository: repository.to_string(), kind });
    Arc::new(Target { group, is_head: *method == Method::HEAD, reference })
}
