//! Patterns that name repositories of one registry: `team/*`.

use std::fmt;
use std::str::FromStr;

use crate::image::{matches, repository_within};

/// The longest pattern, in bytes: longer than any repository.
const PATTERN_BYTES_MAX: usize = 512;

/// A pattern for repositories. `*` stands for any characters, slashes included, and `?` for one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RepositoryPattern(String);

/// The reasons why a text is no pattern for repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryPatternError {
    /// Nothing in it.
    #[error("a pattern has at least one character; `*` names every repository")]
    Empty,
    /// Too long.
    #[error("a pattern has at most {PATTERN_BYTES_MAX} bytes")]
    Length,
    /// A character that no repository has.
    #[error("a pattern has lower-case letters, digits and / . _ - * ? only, and no tag")]
    Character,
}

impl RepositoryPattern {
    /// Tells whether the pattern names this repository.
    pub fn names(&self, repository: &str) -> bool {
        matches(&self.0, repository)
    }

    /// The pattern as it is meant in this registry, as in an [`ImagePattern`](crate::image::ImagePattern).
    #[must_use]
    pub fn within(self, registry: &str) -> Self {
        Self(repository_within(registry, &self.0))
    }

    /// The path that every repository of the pattern lies below or is: `team` of `team/*`, and of `team/a*`.
    /// Empty if there is none.
    pub fn path(&self) -> &str {
        match self.0.find(['*', '?']) {
            None => &self.0,
            Some(wildcard) => self.0[..wildcard].rsplit_once('/').map_or("", |(path, _)| path),
        }
    }
}

impl FromStr for RepositoryPattern {
    type Err = RepositoryPatternError;

    fn from_str(text: &str) -> Result<Self, RepositoryPatternError> {
        let is_known =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/._-*?".contains(&byte);
        match text {
            "" => Err(RepositoryPatternError::Empty),
            text if text.len() > PATTERN_BYTES_MAX => Err(RepositoryPatternError::Length),
            text if !text.bytes().all(is_known) => Err(RepositoryPatternError::Character),
            text => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_repositories_and_the_path_above_them() {
        let table = [
            ("team/*", "team/a/b", true, "team"),
            ("team/*", "team", false, "team"),
            ("team/*", "teams/a", false, "team"),
            ("team/app", "team/app", true, "team/app"),
            ("team/a*", "team/app", true, "team"),
            ("*", "anything/at/all", true, ""),
            ("a?", "ab", true, ""),
        ];
        for (pattern, repository, named, path) in table {
            let parsed: RepositoryPattern = pattern.parse().unwrap();
            assert_eq!((parsed.names(repository), parsed.path()), (named, path), "{pattern} {repository}");
        }
        for (pattern, expected) in [
            ("alpine", "library/alpine"),
            ("docker.io/a*", "library/a*"),
            ("*", "*"),
            ("*a", "*a"),
            ("org/*", "org/*"),
        ] {
            let within =
                |registry| pattern.parse::<RepositoryPattern>().unwrap().within(registry).to_string();
            assert_eq!(within("docker.io"), expected);
            assert_eq!(within("ghcr.io"), pattern);
        }
        for (text, wrong) in [
            ("", RepositoryPatternError::Empty),
            ("Team/*", RepositoryPatternError::Character),
            ("team:v1", RepositoryPatternError::Character),
        ] {
            assert_eq!(text.parse::<RepositoryPattern>(), Err(wrong));
        }
    }
}
