//! Patterns that name images as people write them: `alpine`, `library/*:v1.*`, `ghcr.io/*`.

use std::fmt;
use std::str::FromStr;

use oci::{Digest, DigestError};

use super::{Parts, digest_alone};
use crate::docker_hub;

/// The longest pattern, in bytes: longer than any repository with any tag.
const PATTERN_BYTES_MAX: usize = 512;

/// A pattern for a registry, a repository, and the tags or the digest of an image. `*` stands for any
/// characters, slashes included, and `?` for one.
///
/// The first part is a registry where Docker would read a host: it has a dot or a colon, or is `localhost`.
/// Without a registry, the pattern is for every registry. On Docker Hub, a repository of one part is in
/// `library/`, unless it begins with `*`. Without a tag and a digest, the pattern names every image of the
/// repository, tagged or not.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ImagePattern {
    registry: Option<String>,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// An image that a pattern may name.
#[derive(Clone, Copy, Debug)]
pub struct NamedImage<'a> {
    /// The name of its registry.
    pub registry: &'a str,
    /// Its repository.
    pub repository: &'a str,
    /// The digest of its manifest.
    pub digest: &'a Digest,
}

/// The reasons why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A part is empty.
    #[error(
        "a pattern reads REPOSITORY, REPOSITORY:TAG or REGISTRY/REPOSITORY:TAG, with * for any characters"
    )]
    Form,
    /// Too long.
    #[error("a pattern has at most {PATTERN_BYTES_MAX} bytes")]
    Length,
    /// A character that no image has.
    #[error("a pattern has letters, digits and / : . _ - @ * ? only, and [] around an address")]
    Character,
    /// An upper-case letter in the repository.
    #[error("repositories are lower-case")]
    UpperCase,
    /// A URL.
    #[error("an image has no scheme; leave out what precedes the name of the registry")]
    Scheme,
    /// The part after `@` is no digest.
    #[error("the part after @: {0}")]
    Digest(#[from] DigestError),
}

impl ImagePattern {
    /// Tells whether the pattern names the image with these tags.
    pub fn names<'a>(&self, image: NamedImage<'_>, tags: impl IntoIterator<Item = &'a str>) -> bool {
        self.registry.as_ref().is_none_or(|registry| matches(registry, image.registry))
            && self.names_repository(image.registry, image.repository)
            && self.digest.as_ref().is_none_or(|digest| digest == image.digest)
            && self.tag.as_ref().is_none_or(|tag| tags.into_iter().any(|name| matches(tag, name)))
    }

    fn names_repository(&self, registry: &str, repository: &str) -> bool {
        match registry == docker_hub::NAME && docker_hub::is_short_pattern(&self.repository) {
            true => repository.strip_prefix("library/").is_some_and(|name| matches(&self.repository, name)),
            false => matches(&self.repository, repository),
        }
    }

    /// Tells whether the pattern names a repository of this registry.
    pub fn names_repository_of(&self, registry: &str, repository: &str) -> bool {
        self.is_for(registry) && self.names_repository(registry, repository)
    }

    /// Tells whether the pattern names a tag or a digest.
    pub fn has_reference(&self) -> bool {
        self.tag.is_some() || self.digest.is_some()
    }

    /// The registry that the pattern names; `None`: every registry.
    pub fn registry(&self) -> Option<&str> {
        self.registry.as_deref()
    }

    /// Tells whether the pattern can name an image of the registry of this name.
    pub fn is_for(&self, registry: &str) -> bool {
        self.registry.as_ref().is_none_or(|pattern| matches(pattern, registry))
    }

    /// Tells whether it names images by their tags.
    pub fn has_tag(&self) -> bool {
        self.tag.is_some()
    }

    /// Tells whether it has a `*` or a `?`.
    pub fn has_wildcard(&self) -> bool {
        let parts = [Some(&self.repository), self.registry.as_ref(), self.tag.as_ref()];
        parts.into_iter().flatten().any(|part| part.contains(['*', '?']))
    }

    /// The same pattern with the right name of its registry, where `name_of` returns the name behind a name
    /// or an alias. An alias need not look like a host.
    ///
    /// # Errors
    /// The pattern's registry, which has no name.
    pub fn resolved<'n>(mut self, name_of: impl Fn(&str) -> Option<&'n str>) -> Result<Self, String> {
        match &self.registry {
            Some(registry) if registry.contains(['*', '?']) => {}
            Some(registry) => {
                let name = name_of(registry).ok_or_else(|| registry.clone())?;
                self.registry = Some(name.to_owned());
            }
            None => {
                if let Some((first, rest)) = self.repository.split_once('/')
                    && let Some(name) = name_of(first)
                {
                    self.registry = Some(name.to_owned());
                    self.repository = rest.to_owned();
                }
            }
        }
        Ok(self)
    }
}

impl FromStr for ImagePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::Length);
        }
        if text.contains("://") {
            return Err(PatternError::Scheme);
        }
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"/:._-@*?[]".contains(&byte);
        if !text.bytes().all(is_known) {
            return Err(PatternError::Character);
        }
        if let Some(digest) = digest_alone(text) {
            let (registry, repository, tag) = (None, "*".to_owned(), None);
            return Ok(Self { registry, repository, tag, digest: Some(digest) });
        }
        let Parts { registry, repository, tag, digest } = Parts::of(text);
        let names_all = repository.is_empty() && registry.is_none() && tag.is_none() && digest.is_some();
        let repository = if names_all { "*" } else { repository };
        let digest = digest.map(str::parse).transpose()?;
        if repository.split('/').any(str::is_empty) || tag.is_some_and(str::is_empty) {
            return Err(PatternError::Form);
        }
        if tag.is_some_and(|tag| tag.contains(['/', ':'])) {
            return Err(PatternError::Form);
        }
        if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(PatternError::UpperCase);
        }
        if [repository, tag.unwrap_or_default()].iter().any(|part| part.contains(['[', ']'])) {
            return Err(PatternError::Character);
        }
        Ok(Self {
            registry: registry.map(str::to_ascii_lowercase),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl fmt::Debug for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Matches without recursion: after a mismatch, the last `*` takes one more character.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    let mut retry = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                at = star + 1;
                read = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests;
