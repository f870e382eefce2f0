//! Repository names (distribution-spec, "Pulling manifests": `<name>`).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name accepted, in bytes; the specification advises clients to keep host and name within it.
const REPOSITORY_BYTES_MAX: usize = 255;

/// A validated `<name>`: path components of lower-case letters and digits, separated inside by `.`, `_`, `__`
/// or any run of `-`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository(Arc<str>);

/// The reasons why a text is no repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// Empty, or longer than 255 bytes.
    #[error("a repository name has 1 to {REPOSITORY_BYTES_MAX} bytes")]
    Length,
    /// A component outside the grammar.
    #[error("a repository name has components of a-z 0-9, separated by one '.', '_', '__' or dashes")]
    Component,
    /// The text would be a name in lower case.
    #[error("repository names are lower-case")]
    UpperCase,
}

impl Repository {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the name has a single component.
    pub fn is_single_component(&self) -> bool {
        !self.0.contains('/')
    }
}

impl FromStr for Repository {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        if text.is_empty() || text.len() > REPOSITORY_BYTES_MAX {
            return Err(RepositoryError::Length);
        }
        if !text.split('/').all(is_component) {
            let would_be = text.to_ascii_lowercase().split('/').all(is_component);
            return Err(if would_be { RepositoryError::UpperCase } else { RepositoryError::Component });
        }
        Ok(Self(text.into()))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, read without a regular expression.
fn is_component(component: &str) -> bool {
    let is_alphanumeric = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let is_separator =
        |run: &[u8]| matches!(run, b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-');
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    is_alphanumeric(*first)
        && is_alphanumeric(*last)
        && bytes.split(|byte| is_alphanumeric(*byte)).filter(|run| !run.is_empty()).all(is_separator)
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
