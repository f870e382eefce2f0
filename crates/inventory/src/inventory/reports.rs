//! Reports of what is stored, used and removed.

use std::sync::Arc;

use oci::{Digest, Repository, Tag};
use policy::freshness::{ImportedTag, Replace, TagRecord, import_of};
use storage::StoreError;

use super::Inventory;
use crate::contents::Contents;
use crate::images::Row;
use crate::short_digest::key_of;

/// The right to store a manifest or a tag: as long as it lives, no image is removed.
#[derive(Debug)]
pub struct Storing {
    _shared: tokio::sync::OwnedRwLockReadGuard<()>,
}

/// The right to report that a manifest's bytes are gone: as long as it lives, no manifest is stored.
#[derive(Debug)]
pub struct Removing {
    _alone: tokio::sync::OwnedRwLockWriteGuard<()>,
}

/// A manifest whose record is about to be removed.
#[derive(Debug)]
pub struct Leaving {
    row: Option<Row>,
    contents: Contents,
    _removing: Removing,
}

impl Inventory {
    /// Stores a tag that an archive names, unless the store has the same word, or one that `replace` keeps:
    /// `record.checked_at` tells which is newer.
    ///
    /// # Errors
    /// I/O errors.
    pub async fn import_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        record: &TagRecord,
        replace: Replace,
    ) -> Result<ImportedTag, StoreError> {
        if let Some(imported) = self.serving().import_tag(repository, tag, record, replace).await {
            return imported;
        }
        let storing = self.storing().await;
        let held = self.store.tag(repository, tag).await?;
        if let Some(kept) = import_of(record, held.as_ref(), None, replace) {
            return Ok(kept);
        }
        self.store.put_tag(repository, tag, record).await?;
        self.tag_stored(&storing, repository, tag, &record.digest);
        Ok(ImportedTag::Stored)
    }

    /// The right to store a manifest or a tag. To be taken before a manifest's bytes are written, and to be
    /// given back when it was reported.
    pub async fn storing(&self) -> Storing {
        Storing { _shared: Arc::clone(&self.gate).read_owned().await }
    }

    /// The store holds this manifest in this repository from now on.
    pub fn manifest_stored(&self, _: &Storing, repository: &Repository, digest: &Digest, bytes: &[u8]) {
        let is_pinned = self.is_pinned(repository, digest);
        let contents = Contents::of(bytes);
        self.model.store_manifest(repository, digest, &contents, self.clock.now(), is_pinned);
        self.wake_keepers();
    }

    /// A client pulled the manifest, by a tag or by its digest. Takes no memory and writes nothing.
    pub fn manifest_used(&self, repository: &Repository, digest: &Digest) {
        self.model.use_manifest(repository, digest, self.clock.now());
    }

    /// The store has a record that the tag names this manifest.
    pub fn tag_stored(&self, _: &Storing, repository: &Repository, tag: &Tag, digest: &Digest) {
        self.model.set_tag(repository, tag, digest, self.clock.now());
    }

    /// The record of a tag was removed.
    pub fn tag_removed(&self, repository: &Repository, tag: &Tag) {
        self.model.remove_tag(repository, tag);
    }

    /// The store holds the blob from now on.
    pub fn blob_stored(&self, digest: &Digest) {
        self.model.store_blob(digest, self.clock.now());
        self.wake_keepers();
    }

    /// A client pulled the blob or a part of it. Takes no memory and writes nothing.
    pub fn blob_used(&self, digest: &Digest) {
        self.model.use_blob(digest, self.clock.now());
    }

    /// The blob was removed, or was damaged and set aside.
    pub fn blob_removed(&self, digest: &Digest) {
        self.model.remove_blob(digest);
    }

    /// Whether the store holds the blob, as far as it was reported.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.model.blobs.get(key_of(digest)).is_held
    }

    /// Whether the store holds the manifest in the repository, as far as it was reported.
    pub fn has_manifest(&self, repository: &Repository, digest: &Digest) -> bool {
        let images = self.model.images.read();
        let slot = images.find(repository, digest);
        slot.and_then(|slot| images.row(slot)).is_some_and(|row| row.is_held)
    }

    /// The exclusive right to report removed manifests. While it lives, no manifest and no tag is stored, so
    /// a report is never older than the store.
    pub async fn removing(&self) -> Removing {
        Removing { _alone: Arc::clone(&self.gate).write_owned().await }
    }

    /// The bytes of a manifest were damaged and set aside, for all repositories. Until they come back, no
    /// list has it, and the blobs that it names stay.
    pub fn manifest_removed(&self, _: &Removing, digest: &Digest) {
        self.model.lose_manifest(digest);
    }

    /// Prepares the report that a repository's record of a manifest was removed: reads what the manifest
    /// names. Nothing is stored until the report, or until the answer is dropped.
    pub async fn leaving(&self, repository: &Repository, digest: &Digest) -> Leaving {
        let removing = self.removing().await;
        let slot = self.model.images.read().find(repository, digest);
        let row = slot.and_then(|slot| self.model.images.read().row(slot));
        // The counts of what an unreadable manifest names stay as they are until the next start.
        let contents = self.contents(repository, digest).await.ok().flatten().unwrap_or_default();
        Leaving { row, contents, _removing: removing }
    }

    /// The record of a manifest was removed. Blobs that nothing else names become orphans.
    pub fn manifest_forgotten(&self, leaving: Leaving) {
        let Some(row) = leaving.row else { return };
        let now = self.clock.now();
        for blob in self.model.remove_manifest(&row, &leaving.contents) {
            self.model.orphans.lock().add(blob.digest, now);
        }
    }
}
