//! What is known of public registries, so that a name alone is enough.

/// A registry that calls itself something else than where it is reached.
struct Known {
    name: &'static str,
    upstream: &'static str,
    aliases: &'static [&'static str],
}

/// Every other registry is reached at `https://<its name>`.
const KNOWN: [Known; 1] = [Known {
    name: DOCKER_HUB,
    upstream: "https://registry-1.docker.io",
    aliases: &["registry-1.docker.io", "index.docker.io"],
}];

/// The one registry whose one-part names mean `library/<name>`.
pub(crate) const DOCKER_HUB: &str = "docker.io";

/// What people call a registry that clients call otherwise.
const MISNOMERS: [(&str, &str); 6] = [
    ("dockerhub", DOCKER_HUB),
    ("hub.docker.com", DOCKER_HUB),
    ("registry.hub.docker.com", DOCKER_HUB),
    ("ghcr", "ghcr.io"),
    ("quay", "quay.io"),
    ("gcr", "gcr.io"),
];

/// Where the registry of this name is reached when the configuration does not say.
pub(crate) fn upstream_of(name: &str) -> String {
    let known = KNOWN.iter().find(|known| known.name == name);
    known.map_or_else(|| format!("https://{name}"), |known| known.upstream.to_owned())
}

/// By what other names clients call the registry of this name.
pub(crate) fn aliases_of(name: &str) -> &'static [&'static str] {
    KNOWN.iter().find(|known| known.name == name).map_or(&[], |known| known.aliases)
}

/// The registry that `name` is another name of.
pub(crate) fn name_behind_alias(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.aliases.contains(&name)).map(|known| known.name)
}

/// The registry that is meant by a `name` which nothing can be reached at.
pub(crate) fn name_meant_by(name: &str) -> Option<&'static str> {
    MISNOMERS.iter().find(|(wrong, _)| *wrong == name).map(|(_, right)| *right)
}
