//! Patterns for the names of users, tokens and certificates.

use std::fmt;

use crate::image::matches;

/// A name in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

impl NamePattern {
    /// The pattern that `text` writes; `None` if it is empty or has a control character.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = !text.is_empty() && !text.contains(char::is_control);
        is_name.then(|| Self(text.to_owned()))
    }

    /// The same pattern for names in lower case, as host names are.
    #[must_use]
    pub fn in_lower_case(self) -> Self {
        Self(self.0.to_lowercase())
    }

    /// Whether the pattern matches the whole name.
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
