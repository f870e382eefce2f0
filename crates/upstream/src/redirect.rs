//! Follows redirects, which registries use to serve blobs from a content network.
//!
//! An authorization goes to one host only. The registry's is dropped at the first change of scheme, host or
//! port and never sent again (CVE-2024-45336). Another host's challenge is answered for that host. A redirect
//! never leads from `https` to `http`.

use std::sync::Arc;

use oci::Repository;
use telemetry::UpstreamKind;
use url::Url;

use crate::auth::Credential;
use crate::auth::challenge_loop::HostAnswer;
use crate::auth::context::RequestContext;
use crate::auth::hop::{Hop, HopRole};
use crate::auth::login::Login;
use crate::error::{Error, ErrorKind};
use crate::location::{host_of, is_same_origin, next_hop};
use crate::operation::{Operation, Reply};
use crate::registry::Registry;
use crate::transport::Allowance;

/// The most redirects to follow.
const HOP_COUNT_MAX: usize = 5;

/// Sends the operation and follows at most [`HOP_COUNT_MAX`] redirects. Each host gets only its own
/// authorization.
///
/// # Errors
/// Those of [`Auth::converse`](crate::auth::Auth::converse); [`ErrorKind::Invalid`] for a loop, too many
/// redirects, a downgrade, or a `Location` that cannot be followed.
pub(crate) async fn follow(
    registry: &Registry,
    repository: &Repository,
    operation: &Operation,
    login: Option<&Arc<Login>>,
    allowance: &mut Allowance,
) -> Result<(Reply, Credential), Error> {
    let likely = &registry.base_locator.likely().root;
    let context = RequestContext { transport: &registry.transport, gates: &registry.gates, root: likely };
    let base = registry.base_locator.find(context, allowance).await?;
    let context = RequestContext { root: &base.root, ..context };
    let first = registry.base_locator.moved(&operation.url, base);
    let mut host = Hop {
        url: first.clone(),
        role: HopRole::Home,
        repository: name_in(&first).unwrap_or_else(|| repository.clone()),
        need: operation.need(),
        login: login.cloned(),
    };
    let mut kind = operation.kind;
    let mut seen = vec![first.clone()];
    loop {
        let HostAnswer { response, credential, is_registry } =
            registry.auth.send_authenticated(context, &host, operation, kind, allowance).await?;
        let Some(next) = next_hop(&host.url, &response)? else {
            let (host_name, is_home, has_login) = (host_of(&host.url), host.is_home(), host.login.is_some());
            let reply = Reply { response, host: host_name, is_home, is_registry, has_login };
            return Ok((reply, credential));
        };
        if seen.contains(&next) || seen.len() > HOP_COUNT_MAX {
            let what = if seen.contains(&next) { "redirects in a circle" } else { "redirects too often" };
            return Err(Error::new(ErrorKind::Invalid, host_of(&host.url), what));
        }
        host.role = match host.role {
            HopRole::Home if is_same_origin(&first, &next) => HopRole::Home,
            _ if is_same_origin(&first, &next) => HopRole::Returned,
            _ => HopRole::Other,
        };
        host.repository = name_in(&next).unwrap_or(host.repository);
        host.url = next.clone();
        seen.push(next);
        kind = UpstreamKind::Redirect;
    }
}

/// Returns the repository in a URL of the pull API: a redirect target may use another name.
fn name_in(url: &Url) -> Option<Repository> {
    let (_, rest) = url.path().split_once("/v2/")?;
    let parted = ["/manifests/", "/blobs/", "/referrers/"].iter().find_map(|kind| rest.rsplit_once(kind));
    let name = parted.map(|(name, _)| name).or_else(|| rest.strip_suffix("/tags/list"))?;
    name.parse().ok()
}
