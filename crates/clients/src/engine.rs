//! Docker Engine.

use crate::hosts_file::{self, AUTHORITY, PULL_WITH_REFERRERS, Places};
use crate::mirror::{Mirror, Registry, host_of};
use crate::settings::{Placement, Settings};

const DAEMON_JSON: &str = "/etc/docker/daemon.json";

const PLACES: Places<'_> = Places {
    directory: "/etc/docker/certs.d",
    authority: AUTHORITY,
    authority_for_client: AUTHORITY,
    capabilities: PULL_WITH_REFERRERS,
};

/// Engine 28 and later: `registry-mirrors` for Docker Hub, and `hosts.toml` for the other registries.
pub(crate) fn docker(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let hub_url = mirror.open_hub_url();
    if let Some(url) = &hub_url {
        settings.file(
            Placement::Json,
            DAEMON_JSON,
            daemon_json(&[("registry-mirrors", std::slice::from_ref(url))]),
        );
        add_docker_authority(&mut settings, mirror, [host_of(url)].into_iter());
    }
    let by_file = |registry: &&Registry| !(registry.is_hub && hub_url.is_some());
    let registries: Vec<&Registry> = mirror.registries.iter().filter(by_file).collect();
    if !registries.is_empty() {
        hosts_file::add(&mut settings, mirror, registries.iter().copied(), &PLACES);
        settings.note(
            "`docker pull` reads hosts.toml with the containerd image store, the default on new installations \
             of Engine 29; `docker build` reads it from Engine 28 on. For older engines: `wharf client \
             docker-classic`.",
        );
    }
    if hub_url.is_some() {
        settings.command("systemctl restart docker");
    }
    settings
}

/// Engine 20.10 to 27, and every engine with the classic image store.
pub(crate) fn docker_classic(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let mirrors: Vec<String> = mirror.open_hub_url().into_iter().collect();
    let by_name: Vec<&Registry> =
        mirror.registries.iter().filter(|registry| mirrors.is_empty() || !registry.is_hub).collect();
    let locations: Vec<String> = by_name.iter().filter_map(|registry| mirror.location(registry)).collect();
    let hosts = Mirror::unique(mirrors.iter().chain(&locations).map(|location| host_of(location)));
    // `docker build` of these engines does not know that a mirror is plain HTTP, and finds it here only with
    // the scheme.
    let insecure: Vec<String> = match mirror.is_tls {
        true => Vec::new(),
        false => hosts.iter().map(|host| format!("http://{host}")).collect(),
    };
    if !mirrors.is_empty() || !insecure.is_empty() {
        let keys: [(&str, &[String]); 2] =
            [("registry-mirrors", &mirrors), ("insecure-registries", &insecure)];
        settings.file(Placement::Json, DAEMON_JSON, daemon_json(&keys));
    }
    add_docker_authority(&mut settings, mirror, hosts.into_iter());
    if !settings.files.is_empty() {
        settings.command("systemctl restart docker");
    }
    if let Some(location) = locations.first() {
        settings.note(format!(
            "`registry-mirrors` is for Docker Hub alone. For other registries, put wharf's address into the \
             image's name: `docker pull {location}/REPOSITORY:TAG`."
        ));
    }
    if mirror.needs_login() {
        let hosts = locations.iter().zip(&by_name).filter(|(_, registry)| registry.needs_login);
        for host in Mirror::unique(hosts.map(|(location, _)| host_of(location))) {
            settings.command(format!("docker login {host}"));
        }
        settings.note(
            "Docker sends no login to a mirror of `registry-mirrors`, and would use Docker Hub instead: where \
             wharf asks for a login, put its address into the image's name.",
        );
    }
    if !mirror.is_tls {
        settings.note(
            "From Engine 28 on, omit `insecure-registries` for the mirror: it also turns off the check of Docker \
             Hub's own certificate.",
        );
    }
    settings
}

/// The object with each key that has values.
pub(crate) fn daemon_json(keys: &[(&str, &[String])]) -> String {
    let entries: Vec<String> = keys
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(key, values)| {
            let values: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
            format!("  \"{key}\": [{}]", values.join(", "))
        })
        .collect();
    format!("{{\n{}\n}}\n", entries.join(",\n"))
}

/// Adds the authority's certificate where Docker looks for it, for each host.
fn add_docker_authority<'a>(settings: &mut Settings, mirror: &Mirror, hosts: impl Iterator<Item = &'a str>) {
    for host in hosts {
        let path = format!("{}/{host}/ca.crt", PLACES.directory);
        hosts_file::add_authority(settings, mirror, &path);
    }
}
