//! The inventory's interface to the program that serves the store.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use oci::{Digest, Repository, Tag};
use policy::freshness::{ImportedTag, Replace, TagRecord};
use storage::{RecordStore, Store, StoreError};

/// The program that serves a store. `is_filling` and `remove_tag` are called while no manifest can be stored:
/// neither may wait for [`Inventory::storing`](crate::Inventory::storing), or for a task that does.
#[async_trait]
pub trait Serving: fmt::Debug + Send + Sync + 'static {
    /// Tells whether the blob is on its way into the store.
    fn is_filling(&self, digest: &Digest) -> bool;

    /// Removes a tag, unless it names another manifest than this one by now.
    ///
    /// # Errors
    /// I/O errors: the tag may still be there.
    async fn remove_tag(&self, repository: &Repository, tag: &Tag, digest: &Digest)
    -> Result<(), StoreError>;

    /// Stores a tag that an archive names, and reports it, as far as `replace` allows. `None`: the program
    /// knows no more about tags than the store.
    async fn import_tag(
        &self,
        _repository: &Repository,
        _tag: &Tag,
        _record: &TagRecord,
        _replace: Replace,
    ) -> Option<Result<ImportedTag, StoreError>> {
        None
    }
}

/// A store that no program serves: a directory at rest.
#[derive(Debug)]
pub struct AtRest(pub Arc<dyn Store>);

#[async_trait]
impl Serving for AtRest {
    fn is_filling(&self, _: &Digest) -> bool {
        false
    }

    async fn remove_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        remove_tag_of(&*self.0, repository, tag, digest).await
    }
}

/// Removes a tag, unless it names another manifest than this one. No tag may be written meanwhile.
///
/// # Errors
/// I/O errors.
pub async fn remove_tag_of<R: RecordStore + ?Sized>(
    records: &R,
    repository: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), StoreError> {
    match records.tag(repository, tag).await? {
        Some(record) if record.digest == *digest => records.remove_tag(repository, tag).await,
        Some(_) | None => Ok(()),
    }
}
