//! How much a store holds.

/// Objects of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Their content, in bytes: what they take of a disk's blocks is a little more.
    pub bytes: u64,
    /// How many they are.
    pub count: u64,
}

/// How much a store holds, by kind. Small records (tags, grants, lists, notes) are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Verified blobs.
    pub blobs: Held,
    /// Verified manifests.
    pub manifests: Held,
    /// Unfinished blobs, as long as their files are: one that is written out of turn may take less.
    pub partial: Held,
    /// Files that were found damaged and set aside.
    pub quarantine: Held,
    /// Whether what earlier processes left is still being counted. As long as it is, the figures are too small.
    pub is_counting: bool,
}
