//! Recognises stored bytes that have not changed.

/// An engine's mark of stored bytes, which changes whenever they change. Its meaning is private to the
/// engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validator {
    bytes: [u64; 4],
    name: [u64; 2],
}

impl Validator {
    /// Made of `bytes`, which change with the content, and `name`, which also changes when the content is
    /// renamed.
    pub(crate) fn new(bytes: [u64; 4], name: [u64; 2]) -> Self {
        Self { bytes, name }
    }

    /// Whether the content was not written to between the two marks. A rename does not count.
    pub fn has_bytes_of(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}
