//! A store that a backend serves, as its inventory sees it.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use inventory::Serving;
use oci::{Digest, Repository, Tag};
use policy::freshness::{ImportedTag, Replace, TagRecord};
use storage::{RecordStore, StoreError};

use crate::fill::table::FillTable;
use crate::shared::Shared;
use crate::store_tables::StoreTables;
use crate::tags::words::TagWords;

/// Answers the inventory's questions about a store.
#[derive(Debug)]
pub(crate) struct ServedStore {
    fills: FillTable,
    records: Arc<dyn RecordStore>,
    /// Weak, because the words hold the inventory, which holds this: otherwise no store would ever be closed.
    words: Weak<TagWords>,
}

impl ServedStore {
    pub(crate) fn new(shared: &Shared, tables: &StoreTables) -> Self {
        Self {
            fills: tables.fills.clone(),
            records: Arc::clone(&shared.records),
            words: Arc::downgrade(&tables.words),
        }
    }
}

#[async_trait]
impl Serving for ServedStore {
    fn is_filling(&self, digest: &Digest) -> bool {
        self.fills.get(digest).is_some()
    }

    /// No task writes a tag meanwhile: that takes the right to store, which the inventory withholds
    /// while this runs. The newest word on the tag stays in memory and has no effect without the record.
    async fn remove_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        inventory::remove_tag_of(&*self.records, repository, tag, digest).await
    }

    async fn import_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        record: &TagRecord,
        replace: Replace,
    ) -> Option<Result<ImportedTag, StoreError>> {
        Some(self.words.upgrade()?.import(repository, tag, record, replace).await)
    }
}
