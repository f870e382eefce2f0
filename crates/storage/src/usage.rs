//! The number and size of the objects in a store.

/// The objects of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The size of their content in bytes; they occupy a little more on disk.
    pub bytes: u64,
    /// The number of objects.
    pub count: u64,
}

/// The objects in a store by kind. Small records (tags, grants, sidecars) are not counted, and lists are
/// measured by repository ([`RecordStore::lists`](crate::RecordStore::lists)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Verified blobs.
    pub blobs: Held,
    /// Verified manifests.
    pub manifests: Held,
    /// Unfinished blobs, by the length of their files; a file with holes may occupy less.
    pub partial: Held,
    /// Damaged files that were quarantined.
    pub quarantine: Held,
    /// Whether the content of earlier processes is still being counted. Until then the figures are too small.
    pub is_counting: bool,
}
