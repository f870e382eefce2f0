//! The interface through which the cache stores manifests and records about repositories.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use oci::{Digest, MediaType, Repository, Tag};
use policy::freshness::TagRecord;

use crate::content::OpenBlob;
use crate::error::StoreError;
use crate::usage::Held;
use crate::verified_manifest::VerifiedManifest;

/// The most pages of lists that are stored for one repository. A further page replaces the one that was
/// written longest ago.
pub const LIST_COUNT_MAX: usize = 64;

/// Manifests, tags, grants and lists by repository. Once a `put_` method returns, its record survives a power
/// loss, so a caller that stores a manifest and then the tag that names it never has a tag without its
/// manifest.
#[async_trait]
pub trait RecordStore: fmt::Debug + Send + Sync + 'static {
    /// A manifest of the repository; `None`: it is not stored, or was found damaged and quarantined. A
    /// manifest in memory was hashed when it was read; the caller must hash a file.
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

    /// Quarantines a manifest's damaged bytes, for every repository. It is no error if they are gone already.
    ///
    /// # Errors
    /// I/O errors.
    async fn set_aside_manifest(&self, digest: &Digest) -> Result<(), StoreError>;

    /// The records of a repository's manifests in the order of their digests: at most `count_max` of those
    /// after
    /// `after`. Fewer than `count_max` are the last ones. A record does not promise that the manifest's bytes
    /// are there.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn manifests(
        &self,
        repository: &Repository,
        after: Option<&Digest>,
        count_max: usize,
    ) -> Result<Vec<ManifestEntry>, StoreError>;

    /// Removes the bytes of a manifest, which all repositories share. Answers that send them go on
    /// undisturbed. Returns their size; 0 when they are gone already. The caller has removed the records that
    /// name the manifest, and makes sure that no `put_manifest` stores it meanwhile.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove_manifest_bytes(&self, digest: &Digest) -> Result<u64, StoreError>;

    /// Forgets that a repository has a manifest. It is no error if there is no such record.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove_manifest(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError>;

    /// The record of a tag; `None`: there is none, or it was unreadable and quarantined.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<TagRecord>, StoreError>;

    /// Stores the record of a tag. Times may lose their fractions of a second.
    ///
    /// # Errors
    /// I/O errors.
    async fn put_tag(&self, repository: &Repository, tag: &Tag, record: &TagRecord)
    -> Result<(), StoreError>;

    /// Forgets a tag. It is no error if it is unknown.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), StoreError>;

    /// The tags of a repository in the order of their bytes: at most `count_max` of those after `after`.
    /// Fewer than
    /// `count_max` are the last ones.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn tags(
        &self,
        repository: &Repository,
        after: Option<&Tag>,
        count_max: usize,
    ) -> Result<Vec<Tag>, StoreError>;

    /// Makes removals durable: when this returns, the tags and manifests that were removed from these
    /// repositories before it was called stay removed after a power loss.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn sync_removals(&self, repositories: &[Repository]) -> Result<(), StoreError>;

    /// Removes the grants, lists and directories of a repository that has no manifest and no tag. Nothing
    /// happens when it has any, or is unknown. Repositories below it, such as `foo/bar` below `foo`, stay as
    /// they are. A `put_` that runs at the same time succeeds; one for a manifest or a tag is never undone.
    /// Returns the number and the size of the lists that went; `None`: it has a manifest or a tag.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove_repository(&self, repository: &Repository) -> Result<Option<Held>, StoreError>;

    /// Whether the upstream granted the blob to the repository.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn has_link(&self, repository: &Repository, digest: &Digest) -> Result<bool, StoreError>;

    /// Records that the upstream granted the blob to the repository.
    ///
    /// # Errors
    /// I/O errors.
    async fn put_link(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError>;

    /// Forgets that the upstream granted the blob to the repository. It is no error if there is no such
    /// record.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove_link(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError>;

    /// The page of a list that was stored under `key`; `None`: it was never stored, or was found damaged and
    /// quarantined.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn list(&self, repository: &Repository, key: &str) -> Result<Option<StoredList>, StoreError>;

    /// Stores a page of a list under `key`, at most [`LIST_COUNT_MAX`] pages for each repository. Times may
    /// lose their fractions of a second.
    ///
    /// # Errors
    /// I/O errors.
    async fn put_list(&self, repository: &Repository, key: &str, list: &StoredList)
    -> Result<(), StoreError>;

    /// Forgets a page of a list. It is no error if it is unknown.
    ///
    /// # Errors
    /// I/O errors.
    async fn remove_list(&self, repository: &Repository, key: &str) -> Result<(), StoreError>;

    /// The number and the size of all stored pages of lists of a repository.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn lists(&self, repository: &Repository) -> Result<HeldLists, StoreError>;

    /// The repositories that have a stored page of a list, in byte order of their names: at most `count_max`
    /// of those after `after`.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn repositories_with_lists(
        &self,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Repository>, StoreError>;

    /// The repositories that have a stored manifest, tag or grant, in byte order of their names: at most
    /// `count_max` of those after `after`.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn repositories(
        &self,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Repository>, StoreError>;

    /// The note of this name, which consists of lower-case letters; `None`: there is none. Its bytes are not
    /// verified: a power loss soon after [`put_note`](Self::put_note) can damage them.
    ///
    /// # Errors
    /// I/O errors, and [`MissingRoot`](crate::StoreErrorKind::MissingRoot).
    async fn note(&self, name: &str) -> Result<Option<Bytes>, StoreError>;

    /// Replaces the note of this name, of [`NOTE_BYTES_MAX`](crate::NOTE_BYTES_MAX) at most. When the process
    /// is killed, the old note or the new one is there. Only this `put_` does not outlive a power loss.
    ///
    /// # Errors
    /// I/O errors; [`Size`](crate::StoreErrorKind::Size) when the note is too large.
    async fn put_note(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError>;

    /// As [`put_note`](Self::put_note), and the note outlives a power loss, after which it is whole.
    ///
    /// # Errors
    /// As [`put_note`](Self::put_note).
    async fn put_durable_note(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError>;
}

/// The record of a manifest that a repository has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// The manifest's digest.
    pub digest: Digest,
    /// The time at which the record was last stored, exact to the second.
    pub stored_at: SystemTime,
}

/// The largest manifest that a store returns in memory, in bytes. It returns a larger one as a file, because
/// each client that is slow to read would hold that much memory.
pub const MANIFEST_IN_MEMORY_BYTES_MAX: u64 = 256 * 1024;

/// A stored manifest, in memory or in a file.
#[derive(Clone, Debug)]
pub enum HeldManifest {
    /// In memory, and hashed.
    Whole(StoredManifest),
    /// In a file, and not hashed yet.
    File {
        /// The media type that the upstream served it with.
        media_type: MediaType,
        /// Its bytes.
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

/// A manifest exactly as the upstream served it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// The media type that the upstream served it with.
    pub media_type: MediaType,
    /// Its bytes, which have the requested digest.
    pub bytes: Bytes,
}

/// The stored pages of lists of a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldLists {
    /// Their number, and the bytes that they take.
    pub held: Held,
    /// The time at which the last one was stored, exact to the second; `None`: there is none.
    pub stored_at: Option<SystemTime>,
}

/// A page of tags or of referrers as the upstream served it.
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
    /// When the upstream last served it.
    pub seen_at: SystemTime,
}
