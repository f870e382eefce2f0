//! The reason for which a source gave no login.

use std::fmt;

/// The reason why a source gave no login: what it did, as it goes on from its name, without any secret and
/// without text that the source wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// A reason such as `exited with status 1`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
