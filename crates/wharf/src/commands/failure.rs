//! The end of a command that did not do all that was asked.

/// The reason, for the user. The exit code follows from the variant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Something failed: exit code 1.
    Failed(String),
    /// The command was used wrongly: exit code 2.
    WrongUse(String),
    /// A signal ended it: this exit code.
    Interrupted(String, u8),
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}
