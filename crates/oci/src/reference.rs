//! References (distribution-spec, "Pulling manifests": `<reference>`): a tag or a digest.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::digest::{Digest, DigestError};

/// The longest tag, in bytes.
const TAG_BYTES_MAX: usize = 128;

/// A validated tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// The reference by which a client asks for a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A name that the upstream may point at another manifest.
    Tag(Tag),
    /// The digest of the content.
    Digest(Digest),
}

/// The reasons why a text is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text has a colon and is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The text has no colon and is no tag.
    #[error("a tag has 1 to {TAG_BYTES_MAX} of a-z A-Z 0-9 . _ - and starts with none of . -")]
    Tag,
}

impl Tag {
    /// Returns the tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let bytes = text.as_bytes();
        let starts_well = bytes.first().is_some_and(|byte| is_word(*byte));
        let ends_well = bytes.iter().all(|byte| is_word(*byte) || matches!(byte, b'.' | b'-'));
        if starts_well && ends_well && bytes.len() <= TAG_BYTES_MAX {
            Ok(Self(text.into()))
        } else {
            Err(ReferenceError::Tag)
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') { Ok(Self::Digest(text.parse()?)) } else { Ok(Self::Tag(text.parse()?)) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

#[cfg(test)]
mod tests;
