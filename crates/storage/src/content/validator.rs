//! How an engine recognises bytes that it has seen before.

/// An engine's mark of stored bytes: any change of the bytes changes it. Only the engine that made it knows what it
/// means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validator {
    bytes: [u64; 4],
    name: [u64; 2],
}

impl Validator {
    /// Of `bytes`, which change with the content, and `name`, which changes with that and when the content is renamed.
    pub(crate) fn new(bytes: [u64; 4], name: [u64; 2]) -> Self {
        Self { bytes, name }
    }

    /// Whether nobody has written to the content in between. Another name is no other content.
    pub fn has_bytes_of(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}
