//! Lazy snapshotters, and peer-to-peer distribution in front of wharf.

use crate::hosts_file::{self, LOGIN};
use crate::mirror::{Mirror, Registry};
use crate::settings::{Placement, Settings};

/// The address of Dragonfly's proxy on each node.
const DRAGONFLY: &str = "http://127.0.0.1:4001";

/// stargz-snapshotter beside containerd.
pub(crate) fn stargz(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let mut tables = Vec::new();
    for registry in &mirror.registries {
        // Here `insecure` means plain HTTP.
        let insecure = if mirror.is_tls { "" } else { "insecure = true\n" };
        let mut table = format!(
            "[[resolver.host.\"{}\".mirrors]]\nhost = \"{}\"\n{insecure}",
            registry.name,
            mirror.host(registry)
        );
        if registry.needs_login {
            table.push_str(&format!(
                "{LOGIN}\n# [resolver.host.\"{}\".mirrors.header]\n#   Authorization = [\"Basic BASE64\"]\n",
                registry.name
            ));
        }
        tables.push(table);
    }
    settings.file(Placement::Toml, "/etc/containerd-stargz-grpc/config.toml", tables.join("\n"));
    trust_in_all(&mut settings, mirror);
    settings.command("systemctl restart stargz-snapshotter");
    settings.note(
        "containerd itself needs `wharf client containerd` too: it pulls manifests, and images that are not eStargz.",
    );
    settings
}

/// nydus-snapshotter, which sends no `ns` and takes no path.
pub(crate) fn nydus(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let directory = "/etc/nydus/certs.d";
    settings.file(
        Placement::Toml,
        "/etc/nydus/config.toml",
        format!("[remote.mirrors_config]\ndir = \"{directory}\"\n"),
    );
    for registry in &mirror.registries {
        let Some(host) = mirror.plain_host(registry) else {
            settings.note(format!(
                "nydusd sends neither `ns` nor a path, so it cannot reach {} without a virtual host: set `domain` \
                 in [server] of wharf.",
                registry.name
            ));
            continue;
        };
        // nydus-snapshotter knows Docker Hub by this name.
        let name = if registry.is_hub { "index.docker.io" } else { &registry.name };
        let url = format!("{}://{host}", mirror.scheme());
        let text = format!(
            "server = \"{}\"\n\n[host]\n  [host.\"{url}\"]\n{}",
            origin(registry),
            login(registry, &url)
        );
        settings.file(Placement::Own, format!("{directory}/{name}/hosts.toml"), text);
    }
    trust_in_all(&mut settings, mirror);
    settings.command("systemctl restart nydus-snapshotter");
    settings.note("containerd itself needs `wharf client containerd` too: it pulls manifests.");
    settings
}

/// Dragonfly: containerd asks the proxy on its node, and the proxy asks wharf.
pub(crate) fn dragonfly(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    for registry in &mirror.registries {
        let url = mirror.url(registry);
        let text = format!(
            "server = \"{}\"\n\n[host.\"{DRAGONFLY}\"]\n  capabilities = {}\n  [host.\"{DRAGONFLY}\".header]\n    \
             X-Dragonfly-Registry = [\"{url}\"]\n{}",
            registry.origin(),
            hosts_file::PULL,
            if registry.needs_login {
                "    # wharf asks for a login: write the base64 of USER:PASSWORD, and remove the mark of the \
                 comment.\n    # Authorization = [\"Basic BASE64\"]\n"
            } else {
                ""
            }
        );
        let path = format!("/etc/containerd/certs.d/{}/hosts.toml", registry.directory());
        settings.file(Placement::Own, path, text);
    }
    trust_in_all(&mut settings, mirror);
    settings.note(
        "4001 is the port of Dragonfly's proxy on the node; the client in Go has 65001. `wharf client containerd` \
         shows the config_path that containerd needs.",
    );
    settings
}

fn origin(registry: &Registry) -> String {
    if registry.is_hub { "https://index.docker.io".to_owned() } else { registry.origin() }
}

fn login(registry: &Registry, url: &str) -> String {
    if !registry.needs_login {
        return String::new();
    }
    format!("    {LOGIN}\n    # [host.\"{url}\".header]\n    #   Authorization = [\"Basic BASE64\"]\n")
}

/// These clients trust the authorities of the system alone.
fn trust_in_all(settings: &mut Settings, mirror: &Mirror) {
    if mirror.authority.is_some() {
        hosts_file::add_authority(settings, mirror, "/usr/local/share/ca-certificates/wharf.crt");
        settings.command("update-ca-certificates");
    }
}
