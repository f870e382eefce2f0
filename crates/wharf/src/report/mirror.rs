//! The mirror that clients use, from the configuration.

use std::net::Ipv4Addr;

use clients::{Authority, Mirror};

use super::entry_point::{EntryPoint, GivenAddress, UNKNOWN_ADDRESS};
use crate::config::{Config, Registry};

/// The reason why no client can be configured.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MirrorError {
    /// wharf listens on every address of a machine that does not know its own.
    #[error(
        "the configuration does not say by which address clients reach wharf; name it with --address HOST:PORT"
    )]
    UnknownAddress,
}

/// The mirror of this configuration. `given` is the address from the operator, `own` that of this machine,
/// and `authority` the private one that signed the certificate.
///
/// # Errors
/// [`MirrorError`].
pub(crate) fn mirror(
    config: &Config,
    given: Option<GivenAddress>,
    own: Option<Ipv4Addr>,
    authority: Option<Authority>,
) -> Result<Mirror, MirrorError> {
    let tls = config.server.tls.as_ref().map_or(&[][..], |tls| &tls.listen);
    let entry = EntryPoint::of(config, &config.server.listen, tls, own);
    let mut entry = entry.expect("a valid configuration listens somewhere");
    if let Some(given) = given {
        entry = entry.reached_by(given);
    }
    let base = entry.base();
    if base.starts_with(UNKNOWN_ADDRESS) {
        return Err(MirrorError::UnknownAddress);
    }
    let default = entry.bare().map(|registry| &registry.names.name);
    let registries = config.registries.iter().map(|registry| clients::Registry {
        name: registry.names.name.clone(),
        host: entry.virtual_host(registry),
        is_hub: registry.cache.hub_names,
        is_default: default == Some(&registry.names.name),
        needs_login: needs_login(config, registry),
    });
    let registries = registries.collect();
    Ok(Mirror { base, is_tls: entry.is_tls, authority: authority.filter(|_| entry.is_tls), registries })
}

/// Tells whether a client may need a login: it is a way in, even if an address is one too, or the upstream
/// asks for it.
fn needs_login(config: &Config, registry: &Registry) -> bool {
    let access = config.access.as_ref().and_then(|table| table.of(&registry.names.name));
    registry.cache.passthrough || access.is_some_and(|access| access.rules.ways.logins)
}
