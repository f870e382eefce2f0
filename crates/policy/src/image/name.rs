//! The name of one image.

use std::fmt;
use std::str::FromStr;

use oci::{Digest, DigestError, Reference, ReferenceError, Repository, RepositoryError, Tag};

use super::{Parts, digest_alone};
use crate::docker_hub;

/// The longest name of a registry, in bytes: the longest host with a port.
const REGISTRY_BYTES_MAX: usize = 261;

/// The name of an image: `alpine`, `localhost:5000/app:v1`, `ghcr.io/org/app@sha256:...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    text: String,
    /// In lower case; `None`: the name begins with the repository.
    registry: Option<String>,
    /// The repository as it is written.
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// The reasons why a text is no name of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageNameError {
    /// A URL.
    #[error("an image has no scheme; leave out what precedes the name of the registry")]
    Scheme,
    /// A digest without a repository.
    #[error(
        "a digest alone names no image here; write its repository in front, such as \
         docker.io/library/alpine@sha256:..., as `wharf list` shows it"
    )]
    DigestAlone,
    /// A pattern.
    #[error("a pattern is not taken here; name each image")]
    Pattern,
    /// The first part looks like a registry and cannot be one.
    #[error(
        "a registry has 1 to {REGISTRY_BYTES_MAX} of a-z A-Z 0-9 . - _, and a colon only before a port or in []"
    )]
    Registry,
    /// No repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// No tag.
    #[error(transparent)]
    Tag(ReferenceError),
    /// The part after `@` is no digest.
    #[error("the part after @: {0}")]
    Digest(DigestError),
}

/// The reasons why an image cannot be found among registries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// None of them has this name.
    #[error("the configuration has no registry {0:?}")]
    Unknown(String),
    /// The repository is too long for `library/`.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl ImageName {
    /// Reads a name that begins with the repository, because the registry is known.
    ///
    /// # Errors
    /// [`ImageNameError`].
    pub fn within(registry: &str, text: &str) -> Result<Self, ImageNameError> {
        let parts = Parts::of(text);
        let Parts { registry: first, repository, .. } = parts;
        // A repository of a known registry may begin with a part that looks like another one.
        let repository = first.map(|first| format!("{first}/{repository}"));
        let parts = Parts { registry: Some(registry), ..parts };
        Self::read(text, parts, repository.as_deref())
    }

    fn read(text: &str, parts: Parts<'_>, repository: Option<&str>) -> Result<Self, ImageNameError> {
        Ok(Self {
            text: text.to_owned(),
            registry: parts.registry.map(registry).transpose()?,
            repository: repository.unwrap_or(parts.repository).parse()?,
            tag: parts.tag.map(str::parse).transpose().map_err(ImageNameError::Tag)?,
            digest: parts.digest.map(str::parse).transpose().map_err(ImageNameError::Digest)?,
        })
    }

    /// The tag, if the name has one.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if the name has one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The digest, or else the tag, or else `latest`.
    pub fn reference(&self) -> Reference {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Reference::Digest(digest.clone()),
            (None, Some(tag)) => Reference::Tag(tag.clone()),
            (None, None) => Reference::Tag("latest".parse().expect("it is a tag")),
        }
    }

    /// The registry and the repository as Docker understands them, without a configuration.
    ///
    /// # Errors
    /// The repository is too long for `library/`.
    pub fn as_docker_reads_it(&self) -> Result<(String, Repository), RepositoryError> {
        let registry = self.registry.as_deref().unwrap_or(docker_hub::NAME);
        match docker_hub::is_name(registry) {
            true => Ok((docker_hub::NAME.to_owned(), docker_hub::in_library_if_short(&self.repository)?)),
            false => Ok((registry.to_owned(), self.repository.clone())),
        }
    }

    /// The registry that `find` returns for its name or an alias, and the repository in it. The alias need
    /// not look like a registry. Without a registry, the image is one of Docker Hub.
    ///
    /// # Errors
    /// [`LocateError`].
    pub fn locate<T>(
        &self,
        find: impl Fn(&str) -> Option<T>,
        is_docker_hub: impl Fn(&T) -> bool,
    ) -> Result<(T, Repository), LocateError> {
        let unknown = |name: &str| LocateError::Unknown(name.to_owned());
        let name = self.registry.as_deref().unwrap_or(docker_hub::NAME);
        let alias = self.repository.as_str().split_once('/').filter(|_| self.registry.is_none());
        let (found, repository) = match alias.and_then(|(alias, rest)| Some((find(alias)?, rest))) {
            Some((found, rest)) => (found, rest.parse()?),
            None => (find(name).ok_or_else(|| unknown(name))?, self.repository.clone()),
        };
        let is_docker_hub = is_docker_hub(&found);
        let repository =
            if is_docker_hub { docker_hub::in_library_if_short(&repository)? } else { repository };
        Ok((found, repository))
    }
}

/// The name of a registry in lower case.
fn registry(text: &str) -> Result<String, ImageNameError> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let host = match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => text,
    };
    let is_host = !host.is_empty() && (host.starts_with('[') == host.contains([':', '[', ']']));
    match is_host && text.len() <= REGISTRY_BYTES_MAX && text.bytes().all(is_known) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(ImageNameError::Registry),
    }
}

impl FromStr for ImageName {
    type Err = ImageNameError;

    fn from_str(text: &str) -> Result<Self, ImageNameError> {
        if text.contains("://") {
            return Err(ImageNameError::Scheme);
        }
        if digest_alone(text).is_some() {
            return Err(ImageNameError::DigestAlone);
        }
        Self::read(text, Parts::of(text), None).map_err(|error| match text.contains(['*', '?']) {
            true => ImageNameError::Pattern,
            false => error,
        })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
