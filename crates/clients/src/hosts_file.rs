//! containerd's `hosts.toml`, which several clients read.

use crate::mirror::{Mirror, Registry};
use crate::settings::{Placement, Settings};

/// The capabilities for containerd. Without the list it would push to the mirror, and before 2.2 it ignores a
/// file with a word that it does not know, such as `referrers`.
pub(crate) const PULL: &str = "[\"pull\", \"resolve\"]";

/// The capabilities for Docker Engine, which asks only hosts with `referrers` for the attestations of images.
pub(crate) const PULL_WITH_REFERRERS: &str = "[\"pull\", \"resolve\", \"referrers\"]";

/// The place of the authority's certificate on a machine whose client lets one choose.
pub(crate) const AUTHORITY: &str = "/etc/ssl/wharf-ca.pem";

/// A comment above a login in comments. What is commented out needs the login's base64.
pub(crate) const LOGIN: &str =
    "# wharf asks for a login: write the base64 of USER:PASSWORD, and remove the marks of the comments.";

/// Places for the files of one client.
pub(crate) struct Places<'a> {
    /// The directory of the files.
    pub(crate) directory: &'a str,
    /// The place where the authority's certificate is written.
    pub(crate) authority: &'a str,
    /// The path by which the client reads it.
    pub(crate) authority_for_client: &'a str,
    pub(crate) capabilities: &'a str,
}

/// Adds one file for each of `registries`, and the authority's certificate.
pub(crate) fn add<'a>(
    settings: &mut Settings,
    mirror: &Mirror,
    registries: impl Iterator<Item = &'a Registry>,
    places: &Places<'_>,
) {
    for registry in registries {
        let path = format!("{}/{}/hosts.toml", places.directory, registry.directory());
        settings.file(Placement::Own, path, text(mirror, registry, places));
    }
    add_authority(settings, mirror, places.authority);
}

/// Adds the authority's certificate, if clients need it.
pub(crate) fn add_authority(settings: &mut Settings, mirror: &Mirror, path: &str) {
    if let Some(authority) = &mirror.authority {
        settings.file(Placement::Own, path, authority.pem.clone());
    }
}

fn text(mirror: &Mirror, registry: &Registry, places: &Places<'_>) -> String {
    let url = mirror.url(registry);
    let mut text = format!(
        "server = \"{}\"\n\n[host.\"{url}\"]\n  capabilities = {}\n",
        registry.origin(),
        places.capabilities
    );
    if mirror.authority.is_some() {
        text.push_str(&format!("  ca = \"{}\"\n", places.authority_for_client));
    }
    if registry.needs_login {
        text.push_str(&format!(
            "  {LOGIN}\n  # [host.\"{url}\".header]\n  #   Authorization = \"Basic BASE64\"\n"
        ));
    }
    text
}
