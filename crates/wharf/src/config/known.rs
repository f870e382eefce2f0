//! Facts about public registries, so that a name alone is enough.

use policy::docker_hub;

use super::nearest::is_slip;

/// A registry whose name differs from its host.
struct Known {
    name: &'static str,
    upstream: &'static str,
    aliases: &'static [&'static str],
}

/// Every other registry is reached at `https://<its name>`.
const KNOWN: [Known; 1] =
    [Known { name: docker_hub::NAME, upstream: docker_hub::UPSTREAM, aliases: &docker_hub::ALIASES }];

/// The registry whose one-part names mean `library/<name>`.
pub(crate) const DOCKER_HUB: &str = docker_hub::NAME;

/// Wrong names of registries, each with the right one.
const MISNOMERS: [(&str, &str); 26] = [
    ("docker", DOCKER_HUB),
    ("docker.com", DOCKER_HUB),
    ("www.docker.com", DOCKER_HUB),
    ("dockerhub", DOCKER_HUB),
    ("dockerhub.com", DOCKER_HUB),
    ("dockerhub.io", DOCKER_HUB),
    ("hub", DOCKER_HUB),
    ("hub.docker.com", DOCKER_HUB),
    ("hub.docker.io", DOCKER_HUB),
    ("registry.docker.com", DOCKER_HUB),
    ("registry.docker.io", DOCKER_HUB),
    ("registry.hub.docker.com", DOCKER_HUB),
    ("registry-1.docker.com", DOCKER_HUB),
    ("ghcr", "ghcr.io"),
    ("ghcr.com", "ghcr.io"),
    ("github.com", "ghcr.io"),
    ("quay", "quay.io"),
    ("quay.com", "quay.io"),
    ("gcr", "gcr.io"),
    ("gcr.com", "gcr.io"),
    ("k8s", "registry.k8s.io"),
    ("k8s.io", "registry.k8s.io"),
    ("mcr", "mcr.microsoft.com"),
    ("microsoft.com", "mcr.microsoft.com"),
    ("gallery.ecr.aws", "public.ecr.aws"),
    ("gitlab.com", "registry.gitlab.com"),
];

/// Popular registries, and registries whose names differ from one of these by a letter.
const PUBLIC: [&str; 22] = [
    DOCKER_HUB,
    "ghcr.io",
    "quay.io",
    "gcr.io",
    "registry.k8s.io",
    "k8s.gcr.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
    "registry.gitlab.com",
    "docker.elastic.co",
    "registry.access.redhat.com",
    "registry.redhat.io",
    "container-registry.oracle.com",
    "nvcr.io",
    "lscr.io",
    "icr.io",
    "azurecr.io",
    "pkg.dev",
    "cgr.dev",
    "xpkg.upbound.io",
    "registry.opensuse.org",
    "docker.pkg.github.com",
];

/// The default upstream of the registry of this name.
pub(crate) fn upstream_of(name: &str) -> String {
    let known = KNOWN.iter().find(|known| known.name == name);
    known.map_or_else(|| format!("https://{name}"), |known| known.upstream.to_owned())
}

/// Other names that clients use for the registry of this name.
pub(crate) fn aliases_of(name: &str) -> &'static [&'static str] {
    KNOWN.iter().find(|known| known.name == name).map_or(&[], |known| known.aliases)
}

/// The registry that `name` is another name of.
pub(crate) fn name_behind_alias(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.aliases.contains(&name)).map(|known| known.name)
}

/// The registry that a wrong `name` probably means.
pub(crate) fn name_meant_by(name: &str) -> Option<&'static str> {
    MISNOMERS.iter().find(|(wrong, _)| *wrong == name).map(|(_, right)| *right)
}

/// Hosts at which a registry answers too, although another one is better.
const SECOND_BEST: [&str; 2] = ["index.docker.io", "registry.hub.docker.com"];

/// The registry that a wrong host probably means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meant {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it answers at the wrong host too.
    pub(crate) answers: bool,
}

/// The registry that an upstream at `host` probably means, if its own host is another one.
pub(crate) fn registry_meant_by_host(host: &str) -> Option<Meant> {
    // A name of one part, such as `docker`, may be a machine of the local network.
    let misnomer = name_meant_by(host).filter(|_| host.contains('.'));
    let known = KNOWN.iter().find(|known| known.name == host).map(|known| known.name);
    let name = misnomer.or(known).or_else(|| name_behind_alias(host))?;
    let is_right = upstream_of(name) == format!("https://{host}");
    (!is_right).then(|| Meant { name, answers: SECOND_BEST.contains(&host) })
}

/// The well-known registry whose name differs from `name`, which is unknown, by one typing mistake.
pub(crate) fn name_near(name: &str) -> Option<&'static str> {
    let is_known = PUBLIC.contains(&name);
    PUBLIC.into_iter().find(|known| !is_known && is_slip(name, known))
}
