//! containerd, and the clients that read its files.

use crate::hosts_file::{self, AUTHORITY, PULL, Places};
use crate::mirror::Mirror;
use crate::settings::{Placement, Settings};

/// The file of the daemon's own settings.
const CONFIG: &str = "/etc/containerd/config.toml";

const PLACES: Places<'_> = Places {
    directory: "/etc/containerd/certs.d",
    authority: AUTHORITY,
    authority_for_client: AUTHORITY,
    capabilities: PULL,
};

/// The note about `ctr`.
const CTR: &str = "`ctr` reads these files only with `--hosts-dir /etc/containerd/certs.d`.";

/// containerd 2.
pub(crate) fn containerd_2(mirror: &Mirror) -> Settings {
    // `config_path` is one directory: the default of 2.2 is a list of two, and the CRI plugin finds neither.
    with_config(mirror, 3, "io.containerd.cri.v1.images")
}

/// containerd 1.
pub(crate) fn containerd_1(mirror: &Mirror) -> Settings {
    with_config(mirror, 2, "io.containerd.grpc.v1.cri")
}

fn with_config(mirror: &Mirror, version: u8, plugin: &str) -> Settings {
    let mut settings = Settings::default();
    let text = format!(
        "version = {version}\n\n[plugins.\"{plugin}\".registry]\n  config_path = \"{}\"\n",
        PLACES.directory
    );
    settings.file(Placement::Toml, CONFIG, text);
    hosts_file::add(&mut settings, mirror, mirror.registries.iter(), &PLACES);
    settings.command("systemctl restart containerd");
    settings.note(
        "Remove `registry.mirrors` and `registry.configs` from config.toml: containerd refuses them together \
         with config_path. A later change of a hosts.toml needs no restart.",
    );
    settings.note(CTR);
    settings
}

/// nerdctl, which needs no `config_path`.
pub(crate) fn nerdctl(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    hosts_file::add(&mut settings, mirror, mirror.registries.iter(), &PLACES);
    settings.note(
        "Rootless nerdctl reads ~/.config/containerd/certs.d instead. Its builds use BuildKit: `wharf client \
         buildkit`.",
    );
    settings
}
