//! Patterns that name tags of one registry: `v*`, `library/*:v1.*`.

use std::fmt;
use std::str::FromStr;

use crate::image::{matches, repository_within};

/// The longest pattern, in bytes: longer than any repository with any tag.
const PATTERN_BYTES_MAX: usize = 512;

/// A pattern for tags of all repositories, or with a colon for tags of certain repositories. `*` stands for
/// any characters, slashes included, and `?` for one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TagPattern {
    /// `None`: every repository.
    repository: Option<String>,
    tag: String,
}

/// The reasons why a text is no pattern for tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagPatternError {
    /// It is a repository, without a tag.
    #[error("is a pattern for a repository; add the tags after a colon, such as `:*` for all of them")]
    NoTag,
    /// Nothing before the colon, nothing after it, or a second colon.
    #[error("a pattern reads TAG or REPOSITORY:TAG, with * for any characters")]
    Form,
    /// Too long.
    #[error("a pattern has at most {PATTERN_BYTES_MAX} bytes")]
    Length,
    /// An upper-case letter in the repository.
    #[error("repositories are lower-case")]
    UpperCase,
    /// A character that no repository and no tag has.
    #[error("a pattern has letters, digits and / . _ - * ? only")]
    Character,
}

impl TagPattern {
    /// Tells whether the pattern names this tag.
    pub fn names(&self, repository: &str, tag: &str) -> bool {
        self.repository.as_ref().is_none_or(|pattern| matches(pattern, repository)) && matches(&self.tag, tag)
    }

    /// The pattern as it is meant in this registry, as in an [`ImagePattern`](crate::image::ImagePattern).
    #[must_use]
    pub fn within(self, registry: &str) -> Self {
        let repository = self.repository.map(|repository| repository_within(registry, &repository));
        Self { repository, ..self }
    }
}

impl FromStr for TagPattern {
    type Err = TagPatternError;

    fn from_str(text: &str) -> Result<Self, TagPatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(TagPatternError::Length);
        }
        let (repository, tag) = match text.split_once(':') {
            Some((repository, tag)) => (Some(repository), tag),
            None if text.contains('/') => return Err(TagPatternError::NoTag),
            None => (None, text),
        };
        if tag.is_empty() || repository.is_some_and(str::is_empty) || tag.contains(['/', ':']) {
            return Err(TagPatternError::Form);
        }
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-*?".contains(&byte);
        if !repository.unwrap_or_default().bytes().chain(tag.bytes()).all(is_known) {
            return Err(TagPatternError::Character);
        }
        if repository.is_some_and(|repository| repository.bytes().any(|byte| byte.is_ascii_uppercase())) {
            return Err(TagPatternError::UpperCase);
        }
        Ok(Self { repository: repository.map(str::to_owned), tag: tag.to_owned() })
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.as_ref().map_or(Ok(()), |repository| write!(f, "{repository}:"))?;
        f.write_str(&self.tag)
    }
}

impl fmt::Debug for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
