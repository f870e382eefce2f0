//! The size of the file system below a store.

/// The size and the free space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The size of the file system.
    pub total: u64,
    /// The bytes that a process without privileges can still write.
    pub free: u64,
}
