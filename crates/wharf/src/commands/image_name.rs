//! Images as people write them: `alpine`, `docker.io/library/alpine:3.20`, `ghcr.io/org/app@sha256:…`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cache::Backend;
use oci::{Digest, Reference, Repository, Tag};

use super::unknown::unknown_name;
use crate::config::Registry;

/// The registry of a name without a host, whose names of one part are in `library/`.
const DOCKER_HUB: &str = "docker.io";

/// The name of an image on the command line.
#[derive(Clone, Debug)]
pub(crate) struct ImageName {
    text: String,
    /// The host, if there is one, and the repository.
    path: String,
    /// `tag` or `digest`, and its value.
    object: (&'static str, String),
}

/// An image in a configured registry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located<'a> {
    pub(crate) registry: &'a str,
    pub(crate) repository: String,
    /// `tag` or `digest`, and its value.
    pub(crate) object: (&'static str, &'a str),
}

impl FromStr for ImageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        // A colon before a slash belongs to a port.
        let (path, tag) = match named.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            Some((path, tag)) => (path, Some(tag)),
            None => (named, None),
        };
        if let Some(tag) = tag {
            tag.parse::<Tag>().map_err(|error| error.to_string())?;
        }
        let object = match (digest, tag) {
            (Some(digest), _) => {
                digest.parse::<Digest>().map_err(|error| error.to_string())?;
                ("digest", digest)
            }
            (None, tag) => ("tag", tag.unwrap_or("latest")),
        };
        let repository = split_host(path).map_or(path, |(_, repository)| repository);
        repository.parse::<Repository>().map_err(|error| error.to_string())?;
        let object = (object.0, object.1.to_owned());
        Ok(Self { text: text.to_owned(), path: path.to_owned(), object })
    }
}

/// Splits a host from the repository, by the rule of Docker: a host has a dot or a port, or is `localhost`.
fn split_host(path: &str) -> Option<(&str, &str)> {
    path.split_once('/').filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost")
}

impl ImageName {
    /// The image in the registry that the name's host is the name or an alias of.
    ///
    /// # Errors
    /// No configured registry has the name.
    pub(crate) fn locate<'a>(&'a self, registries: &'a [Registry]) -> Result<Located<'a>, String> {
        let names = registries.iter().map(|registry| &registry.names);
        let names: Vec<_> = names.map(|it| (it.name.as_str(), it.aliases.as_slice())).collect();
        self.locate_in(&names)
    }

    fn locate_in<'a>(&'a self, registries: &[(&'a str, &[String])]) -> Result<Located<'a>, String> {
        let find = |host: &str| {
            let is_it = |name: &str| name.eq_ignore_ascii_case(host);
            let found = registries.iter().find(|(name, all)| is_it(name) || all.iter().any(|it| is_it(it)));
            found.map(|(name, _)| *name)
        };
        let unknown = |host: String| unknown_name(&host, registries.iter().map(|(name, _)| *name));
        let (registry, repository) = self.find(find).map_err(unknown)?;
        let is_short = registry == DOCKER_HUB && !repository.contains('/');
        let repository = if is_short { format!("library/{repository}") } else { repository.to_owned() };
        Ok(Located { registry, repository, object: (self.object.0, &self.object.1) })
    }
}

impl ImageName {
    /// The registry that `find` returns for the host, and the repository as it is written.
    ///
    /// # Errors
    /// The host, which no configured registry has as its name.
    fn find<T>(&self, find: impl Fn(&str) -> Option<T>) -> Result<(T, &str), String> {
        let (host, repository) = split_host(&self.path)
            .or_else(|| self.path.split_once('/').filter(|(host, _)| find(host).is_some()))
            .unwrap_or((DOCKER_HUB, &self.path));
        let registry = find(host).ok_or_else(|| host.to_owned())?;
        Ok((registry, repository))
    }

    /// The image in a running server: the backend that `find` returns for the host, the repository and the
    /// reference.
    ///
    /// # Errors
    /// No configured registry has the name.
    pub(crate) fn serve_from(
        &self,
        find: impl Fn(&str) -> Option<Arc<Backend>>,
    ) -> Result<(Arc<Backend>, Repository, Reference), String> {
        let unknown = |host: String| format!("the configuration has no registry {host:?}");
        let (backend, repository) = self.find(find).map_err(unknown)?;
        let is_short = backend.hub_names() && !repository.contains('/');
        let repository = if is_short { format!("library/{repository}") } else { repository.to_owned() };
        let repository = repository.parse().map_err(|error: oci::RepositoryError| error.to_string())?;
        let reference = self.object.1.parse().map_err(|error: oci::ReferenceError| error.to_string())?;
        Ok((backend, repository, reference))
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let (hub, lab) = (["hub".to_owned(), "index.docker.io".to_owned()], ["lab".to_owned()]);
        let registries = [("docker.io", &hub[..]), ("ghcr.io", &[]), ("lab.example:5000", &lab)];
        for (text, registry, repository, kind, value) in [
            ("alpine", "docker.io", "library/alpine", "tag", "latest"),
            ("alpine:3.20", "docker.io", "library/alpine", "tag", "3.20"),
            ("bitnami/redis", "docker.io", "bitnami/redis", "tag", "latest"),
            ("index.docker.io/alpine:1", "docker.io", "library/alpine", "tag", "1"),
            ("hub/alpine:1", "docker.io", "library/alpine", "tag", "1"),
            ("ghcr.io/app", "ghcr.io", "app", "tag", "latest"),
            ("lab.example:5000/a/b:1", "lab.example:5000", "a/b", "tag", "1"),
            ("lab/a", "lab.example:5000", "a", "tag", "latest"),
            (&format!("ghcr.io/org/app@{digest}"), "ghcr.io", "org/app", "digest", &digest),
            (&format!("ghcr.io/org/app:1@{digest}"), "ghcr.io", "org/app", "digest", &digest),
        ] {
            let name: ImageName = text.parse().unwrap();
            let located = name.locate_in(&registries).unwrap();
            let expected = Located { registry, repository: repository.to_owned(), object: (kind, value) };
            assert_eq!(located, expected, "{text}");
        }
        let unknown: ImageName = "quay.io/a".parse().unwrap();
        assert!(unknown.locate_in(&registries).unwrap_err().contains("quay.io"));
        for text in ["", "a:", "a@sha256:1", "UPPER", "a b", "ghcr.io/", ":1"] {
            assert!(text.parse::<ImageName>().is_err(), "{text:?}");
        }
    }
}
