//! Builders: BuildKit, and the programs that start one; kaniko.

use crate::hosts_file::{self, AUTHORITY};
use crate::mirror::{Mirror, host_of};
use crate::settings::{Placement, Settings};

/// A BuildKit that runs by itself.
pub(crate) fn buildkit(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    settings.file(Placement::Toml, "/etc/buildkit/buildkitd.toml", buildkitd(mirror, AUTHORITY));
    hosts_file::add_authority(&mut settings, mirror, AUTHORITY);
    settings.command("systemctl restart buildkit");
    add_logins(&mut settings, mirror);
    settings
}

/// A builder of buildx.
pub(crate) fn buildx(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    settings.file(Placement::Own, "buildkitd.toml", buildkitd(mirror, "wharf-ca.pem"));
    // buildx copies the files that the configuration names into the builder.
    hosts_file::add_authority(&mut settings, mirror, "wharf-ca.pem");
    settings.command(
        "docker buildx create --name wharf --use --driver docker-container --driver-opt network=host \
         --buildkitd-config buildkitd.toml",
    );
    add_logins(&mut settings, mirror);
    settings.note(
        "The builder is a container: network=host gives it the resolver of the host. Older buildx calls the last \
         flag --config.",
    );
    settings
}

/// Earthly.
pub(crate) fn earthly(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let config = indented(&buildkitd(mirror, AUTHORITY), "    ");
    let arguments = match mirror.authority {
        Some(_) => format!("  buildkit_additional_args: [\"-v\", \"{AUTHORITY}:{AUTHORITY}:ro\"]\n"),
        None => String::new(),
    };
    settings.file(
        Placement::IfAbsent,
        "~/.earthly/config.yml",
        format!("global:\n{arguments}  buildkit_additional_config: |\n{config}"),
    );
    hosts_file::add_authority(&mut settings, mirror, AUTHORITY);
    settings.command("earthly bootstrap");
    add_logins(&mut settings, mirror);
    settings
}

/// kaniko, which sends no `ns`.
pub(crate) fn kaniko(mirror: &Mirror) -> Settings {
    let mut settings = Settings::default();
    let mut pairs = Vec::new();
    let mut locations = Vec::new();
    for registry in &mirror.registries {
        if let Some(location) = mirror.location(registry) {
            let name = if registry.is_hub { "index.docker.io" } else { &registry.name };
            pairs.push(format!("{name}={location}"));
            locations.push(location);
        }
    }
    let mut text = format!("args:\n  - \"--registry-map={}\"\n", pairs.join(";"));
    for host in Mirror::unique(locations.iter().map(|location| host_of(location))) {
        if !mirror.is_tls {
            text.push_str(&format!("  - \"--insecure-registry={host}\"\n"));
        } else if mirror.authority.is_some() {
            text.push_str(&format!("  - \"--registry-certificate={host}=/kaniko/ssl/wharf-ca.pem\"\n"));
        }
    }
    settings.file(Placement::Part, "the container of the kaniko executor", text);
    if mirror.authority.is_some() {
        settings.note("Mount the authority's certificate at /kaniko/ssl/wharf-ca.pem.");
    }
    if mirror.needs_login() {
        settings.note("wharf asks for a login: write it for its hosts into /kaniko/.docker/config.json.");
    }
    settings.note("--registry-map needs kaniko 1.20; a path in it needs 1.23.");
    settings
}

/// The text of `buildkitd.toml`. `http` belongs to the section of the mirror; `insecure` would mean TLS
/// without a check.
pub(crate) fn buildkitd(mirror: &Mirror, authority: &str) -> String {
    let mut sections = Vec::new();
    for registry in &mirror.registries {
        sections.push(format!(
            "[registry.\"{}\"]\n  mirrors = [\"{}\"]\n",
            registry.name,
            mirror.host(registry)
        ));
    }
    for host in mirror.hosts() {
        if !mirror.is_tls {
            sections.push(format!("[registry.\"{host}\"]\n  http = true\n"));
        } else if mirror.authority.is_some() {
            sections.push(format!("[registry.\"{host}\"]\n  ca = [\"{authority}\"]\n"));
        }
    }
    sections.join("\n")
}

/// The text with each line indented, except for empty lines.
pub(crate) fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{by}{line}\n") }).collect()
}

/// BuildKit takes the logins of its client, by the mirror's host.
fn add_logins(settings: &mut Settings, mirror: &Mirror) {
    for host in mirror.hosts() {
        if mirror.needs_login_at(host) {
            settings.command(format!("docker login {host}"));
        }
    }
}
