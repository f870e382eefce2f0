//! Image names as clients write them: `[HOST/]REPOSITORY[:TAG][@DIGEST]`.

use oci::{Repository, Tag};

/// An image's name, with the registry's host split off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// The registry, such as `ghcr.io`; `docker.io` where the name has no host, as for Docker.
    pub host: String,
    /// The repository in that registry.
    pub repository: Repository,
    /// The tag, if the name has one.
    pub tag: Option<Tag>,
}

impl ImageName {
    /// Reads a name. `alpine` means `docker.io/library/alpine`, as for Docker. Returns `None` where it is
    /// malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.split('@').next().unwrap_or_default();
        let (host, rest) = match text.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => ("docker.io", text),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag.parse().ok()?)),
            None => (rest, None),
        };
        let is_official = host == "docker.io" && !path.contains('/');
        let path = if is_official { format!("library/{path}") } else { path.to_owned() };
        Some(Self { host: host.to_owned(), repository: path.parse().ok()?, tag })
    }
}

#[cfg(test)]
mod tests;
