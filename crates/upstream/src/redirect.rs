//! Following redirects, which registries use to hand blobs over to a content network.
//!
//! What one host is shown is shown to no other. What the registry is shown is dropped at the first change of scheme,
//! host or port and never taken up again (CVE-2024-45336); another host that asks who we are is answered for itself.
//! A redirect never leads from `https` to `http`.

use oci::Repository;
use telemetry::UpstreamKind;
use url::Url;

use crate::ask::{Ask, Reply};
use crate::auth::Ticket;
use crate::auth::dialogue::Said;
use crate::auth::host::{Host, Role};
use crate::auth::wires::Wires;
use crate::error::{Error, ErrorKind};
use crate::location::{host_of, is_same_origin, next_hop};
use crate::registry::Registry;
use crate::transport::Patience;

/// Hops that are followed, the first request apart.
const HOP_COUNT_MAX: usize = 5;

/// Asks, and goes where the answers lead, at most [`HOP_COUNT_MAX`] hops. Each host is shown what is its own.
///
/// # Errors
/// Those of [`Auth::converse`](crate::auth::Auth::converse); [`ErrorKind::Invalid`] for a loop, a chain too long, a
/// downgrade, or an address that cannot be followed.
pub(crate) async fn follow(
    registry: &Registry,
    repository: &Repository,
    ask: &Ask,
    patience: &mut Patience,
) -> Result<(Reply, Ticket), Error> {
    let likely = &registry.whereabouts.likely().root;
    let wires = Wires { transport: &registry.transport, gates: &registry.gates, root: likely };
    let base = registry.whereabouts.find(wires, patience).await?;
    let wires = Wires { root: &base.root, ..wires };
    let first = registry.whereabouts.moved(&ask.url, base);
    let mut host = Host {
        url: first.clone(),
        role: Role::Home,
        repository: name_in(&first).unwrap_or_else(|| repository.clone()),
        need: ask.need(),
    };
    let mut kind = ask.kind;
    let mut seen = vec![first.clone()];
    loop {
        let Said { response, ticket, is_registry } =
            registry.auth.converse(wires, &host, ask, kind, patience).await?;
        let Some(next) = next_hop(&host.url, &response)? else {
            let reply = Reply { response, host: host_of(&host.url), is_home: host.is_home(), is_registry };
            return Ok((reply, ticket));
        };
        if seen.contains(&next) || seen.len() > HOP_COUNT_MAX {
            let what = if seen.contains(&next) { "redirects in a circle" } else { "redirects too often" };
            return Err(Error::new(ErrorKind::Invalid, host_of(&host.url), what));
        }
        host.role = match host.role {
            Role::Home if is_same_origin(&first, &next) => Role::Home,
            _ if is_same_origin(&first, &next) => Role::Returned,
            _ => Role::Other,
        };
        host.repository = name_in(&next).unwrap_or(host.repository);
        host.url = next.clone();
        seen.push(next);
        kind = UpstreamKind::Redirect;
    }
}

/// The repository in a URL of the pull API, if it is one: a host that is redirected to may call it otherwise.
fn name_in(url: &Url) -> Option<Repository> {
    let (_, rest) = url.path().split_once("/v2/")?;
    let parted = ["/manifests/", "/blobs/", "/referrers/"].iter().find_map(|kind| rest.rsplit_once(kind));
    let name = parted.map(|(name, _)| name).or_else(|| rest.strip_suffix("/tags/list"))?;
    name.parse().ok()
}
