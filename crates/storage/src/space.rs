//! The size of the file system below a store.

/// The size and the free space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// The size of the file system.
    pub total: u64,
    /// The bytes that a process without privileges can still write: 0 on a file system where root has written
    /// to the bytes that are reserved for it.
    pub free: u64,
    /// The bytes that no file takes: those of `free`, and the reserved ones that root has not written to.
    pub unused: u64,
    /// The files that it can have; `None`: as many as there are bytes for.
    pub files: Option<Files>,
    /// The file system's id; `None`: it has none, or file systems with other ids take the same bytes.
    pub file_system: Option<u64>,
}

/// The number of files and directories that a file system can have: ext4 fixes it when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    /// In all.
    pub total: u64,
    /// Further ones.
    pub free: u64,
}

impl Space {
    /// A file system without reserved bytes, without a limit on files and without an id.
    pub fn new(total: u64, free: u64) -> Self {
        Self { total, free, unused: free, files: None, file_system: None }
    }

    /// Whether both are looks at one file system. `other` was taken a moment later, so without ids they count
    /// as one if the size is the same and the unused bytes differ by at most `distance_max`.
    pub fn is_of_same_file_system(&self, other: &Self, distance_max: u64) -> bool {
        let is_same = match (self.file_system, other.file_system) {
            (Some(one), Some(other)) => one == other,
            _ => self.unused.abs_diff(other.unused) <= distance_max,
        };
        is_same && self.total == other.total
    }
}
