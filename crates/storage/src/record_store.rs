//! The seam between the cache and where manifests and the small facts about repositories are kept.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use oci::{Digest, MediaType, Repository, Tag};
use policy::freshness::TagRecord;

use crate::content::OpenBlob;
use crate::error::StoreError;
use crate::verified_manifest::VerifiedManifest;

/// Pages of lists that a repository keeps at the most. One more replaces the page that was written longest ago.
pub const LIST_COUNT_MAX: usize = 64;

/// Manifests, tags, grants and lists by repository. What a `put_` stored outlives a power loss once it returns, so
/// a caller that stores a manifest and then the tag that names it never has a tag without its manifest.
#[async_trait]
pub trait RecordStore: fmt::Debug + Send + Sync + 'static {
    /// A manifest that the repository has; `None`: it is not there, or was found damaged and set aside. One that is
    /// given in memory was hashed when it was read. A file is still to be hashed.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<HeldManifest>, StoreError>;

    /// Stores a manifest for a repository, under the media type that the upstream served it with
    /// (CVE-2021-41190: the type is part of what the bytes mean).
    ///
    /// # Errors
    /// I/O errors.
    async fn put_manifest(
        &self,
        repository: &Repository,
        media_type: &MediaType,
        manifest: &VerifiedManifest,
    ) -> Result<(), StoreError>;

    /// Moves a manifest's bytes, which were found damaged, out of the way of every repository. Fine when they are
    /// not there.
    ///
    /// # Errors
    /// I/O errors.
    async fn set_aside_manifest(&self, digest: &Digest) -> Result<(), StoreError>;

    /// Forgets that a repository has a manifest. Fine when it is unknown.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove_manifest(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError>;

    /// The record of a tag; `None`: there is none, or it was unreadable and set aside.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<TagRecord>, StoreError>;

    /// Stores what is known of a tag. Times may lose their fractions of a second.
    ///
    /// # Errors
    /// I/O errors.
    async fn put_tag(&self, repository: &Repository, tag: &Tag, record: &TagRecord)
    -> Result<(), StoreError>;

    /// Forgets a tag. Fine when it is unknown.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), StoreError>;

    /// Whether the upstream granted the blob to the repository.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn has_link(&self, repository: &Repository, digest: &Digest) -> Result<bool, StoreError>;

    /// Notes that the upstream granted the blob to the repository.
    ///
    /// # Errors
    /// I/O errors.
    async fn put_link(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError>;

    /// Forgets that the upstream granted the blob to the repository. Fine when it is unknown.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove_link(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError>;

    /// The page of a list that was stored under `key`; `None`: it was never stored, or was found damaged and set aside.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn list(&self, repository: &Repository, key: &str) -> Result<Option<StoredList>, StoreError>;

    /// Stores a page of a list under `key`. At most [`LIST_COUNT_MAX`] pages are kept for each repository. Times may
    /// lose their fractions of a second.
    ///
    /// # Errors
    /// I/O errors.
    async fn put_list(&self, repository: &Repository, key: &str, list: &StoredList)
    -> Result<(), StoreError>;

    /// Forgets a page of a list. Fine when it is unknown.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove_list(&self, repository: &Repository, key: &str) -> Result<(), StoreError>;

    /// The repositories of which a manifest, a tag or a grant is stored, in the order of their names' bytes: at most
    /// `count_max` of those behind `after`.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn repositories(
        &self,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Repository>, StoreError>;
}

/// The largest manifest that a store gives in memory, in bytes. A larger one is given as a file: clients that do not
/// read would cost as much memory each.
pub const MANIFEST_IN_MEMORY_BYTES_MAX: u64 = 256 * 1024;

/// A manifest that a store has.
#[derive(Clone, Debug)]
pub enum HeldManifest {
    /// In memory.
    Whole(StoredManifest),
    /// In a file.
    File {
        /// The media type that the upstream served it with.
        media_type: MediaType,
        /// Its bytes, which nobody has hashed yet.
        file: OpenBlob,
    },
}

impl HeldManifest {
    /// The media type that the upstream served it with.
    pub fn media_type(&self) -> &MediaType {
        match self {
            Self::Whole(manifest) => &manifest.media_type,
            Self::File { media_type, .. } => media_type,
        }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole(manifest) => manifest.bytes.len() as u64,
            Self::File { file, .. } => file.size(),
        }
    }
}

/// A manifest as it came from the upstream, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// The media type that the upstream served it with.
    pub media_type: MediaType,
    /// Its bytes, which have the digest that it was asked by.
    pub bytes: Bytes,
}

/// A page of tags or of referrers as the upstream wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredList {
    /// The JSON document.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: String,
    /// The query string that asks for the next page.
    pub next: Option<String>,
    /// The referrers API's `OCI-Filters-Applied`.
    pub filters_applied: Option<String>,
    /// When the upstream last gave it.
    pub seen_at: SystemTime,
}
