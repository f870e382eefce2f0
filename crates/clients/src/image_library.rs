//! podman, skopeo, buildah and CRI-O, which share one library for images.

use crate::hosts_file;
use crate::mirror::{Mirror, host_of};
use crate::settings::{Placement, Settings};

/// podman, skopeo and buildah.
pub(crate) fn podman(mirror: &Mirror) -> Settings {
    let mut settings = registries_conf(mirror);
    for host in login_hosts(mirror) {
        settings.command(format!("podman login {host}"));
    }
    settings
}

/// CRI-O.
pub(crate) fn cri_o(mirror: &Mirror) -> Settings {
    let mut settings = registries_conf(mirror);
    settings.command("systemctl reload crio");
    let hosts = login_hosts(mirror);
    if !hosts.is_empty() {
        settings.note(format!(
            "wharf asks for a login: write it for {} into the file that `global_auth_file` in \
             /etc/crio/crio.conf names, in the form of ~/.docker/config.json.",
            hosts.join(", ")
        ));
    }
    settings
}

fn registries_conf(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let mut tables = Vec::new();
    for registry in &mirror.registries {
        // These clients send no `ns`.
        let Some(location) = mirror.location(registry) else {
            settings.note(format!("No form of an address lets these clients name {}.", registry.name));
            continue;
        };
        // Here `insecure` allows plain HTTP.
        let insecure = if mirror.is_tls { "" } else { "insecure = true\n" };
        tables.push(format!(
            "[[registry]]\nprefix = \"{0}\"\nlocation = \"{0}\"\n[[registry.mirror]]\nlocation = \
             \"{location}\"\n{insecure}",
            registry.name
        ));
    }
    if !tables.is_empty() {
        settings.file(Placement::Own, "/etc/containers/registries.conf.d/50-wharf.conf", tables.join("\n"));
    }
    for host in hosts(mirror) {
        hosts_file::add_authority(&mut settings, mirror, &format!("/etc/containers/certs.d/{host}/ca.crt"));
    }
    settings
}

/// The hosts of all registries, each once.
fn hosts(mirror: &Mirror) -> Vec<String> {
    unique_hosts(mirror, |_| true)
}

/// The hosts of the registries that need a login.
fn login_hosts(mirror: &Mirror) -> Vec<String> {
    unique_hosts(mirror, |needs_login| needs_login)
}

fn unique_hosts(mirror: &Mirror, is_wanted: impl Fn(bool) -> bool) -> Vec<String> {
    let registries = mirror.registries.iter().filter(|registry| is_wanted(registry.needs_login));
    let locations: Vec<String> = registries.filter_map(|registry| mirror.location(registry)).collect();
    let hosts = Mirror::unique(locations.iter().map(|location| host_of(location)));
    hosts.into_iter().map(str::to_owned).collect()
}
