//! Patterns that name images: `library/*:v1.*`.

use std::fmt;
use std::str::FromStr;

/// The longest pattern, in bytes: longer than any repository with any tag.
const PATTERN_BYTES_MAX: usize = 512;

/// A pattern for a repository and, after a colon, for its tags. `*` stands for any characters, slashes
/// included, and `?` for one. Without a colon it names every image of the repository, tagged or not.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ImagePattern {
    repository: String,
    tag: Option<String>,
}

/// The reasons why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing before the colon, or nothing after it.
    #[error("a pattern reads <repository> or <repository>:<tag>, with * for any characters")]
    Form,
    /// Too long.
    #[error("a pattern has at most {PATTERN_BYTES_MAX} bytes")]
    Length,
    /// A character that no repository and no tag has.
    #[error("a pattern has letters, digits and / . _ - * ? only")]
    Character,
}

impl ImagePattern {
    /// Tells whether the pattern names the image with these tags in `repository`.
    pub fn names<'a>(&self, repository: &str, tags: impl IntoIterator<Item = &'a str>) -> bool {
        matches(&self.repository, repository)
            && self.tag.as_ref().is_none_or(|tag| tags.into_iter().any(|name| matches(tag, name)))
    }
}

impl FromStr for ImagePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::Length);
        }
        let (repository, tag) = match text.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (text, None),
        };
        if repository.is_empty() || tag.is_some_and(str::is_empty) {
            return Err(PatternError::Form);
        }
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-*?".contains(&byte);
        if !repository.bytes().chain(tag.unwrap_or_default().bytes()).all(is_known) {
            return Err(PatternError::Character);
        }
        Ok(Self { repository: repository.to_owned(), tag: tag.map(str::to_owned) })
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
    }
}

impl fmt::Debug for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Matches without recursion: after a mismatch, the last `*` takes one more character.
fn matches(pattern: &str, text: &str) -> bool {
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
