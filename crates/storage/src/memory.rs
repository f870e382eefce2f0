//! An engine in memory, for tests and simulations. Its futures complete at once, on the caller's thread.

mod content;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use oci::{Digest, MediaType, Repository, Tag};
use parking_lot::{Mutex, MutexGuard};
use policy::freshness::TagRecord;

use crate::blob_store::{BlobEntry, BlobStore};
use crate::content::{OpenBlob, Validator};
use crate::error::StoreError;
use crate::growth::Growth;
use crate::maintain::Maintain;
use crate::record_store::{HeldManifest, LIST_COUNT_MAX, RecordStore, StoredList, StoredManifest};
use crate::spool::Spool;
use crate::spool::finish::VerifiedSpool;
use crate::usage::{Held, Usage};
use crate::verified_manifest::VerifiedManifest;
use content::InMemory;

/// A store in memory, without bounds. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<Digest, OpenBlob>,
    spools: HashMap<Digest, (Arc<InMemory>, Arc<Growth>)>,
    manifests: HashMap<Digest, Bytes>,
    /// Sorted by name, as repositories are listed.
    repositories: BTreeMap<String, Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    tags: HashMap<Tag, TagRecord>,
    manifests: HashMap<Digest, MediaType>,
    links: BTreeSet<Digest>,
    /// By key, the oldest first.
    lists: Vec<(String, StoredList)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    fn of(&mut self, repository: &Repository) -> &mut Contents {
        self.repositories.entry(repository.as_str().to_owned()).or_default()
    }
}

impl Contents {
    /// Whether anything can be pulled: a list alone describes only the upstream.
    fn holds_anything(&self) -> bool {
        !(self.tags.is_empty() && self.manifests.is_empty() && self.links.is_empty())
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn open(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        Ok(self.state().blobs.get(digest).cloned())
    }

    async fn spool(&self, digest: &Digest) -> Result<Arc<Spool>, StoreError> {
        let spool = {
            let mut state = self.state();
            let successor =
                state.spools.get(digest).and_then(|(content, growth)| content.succeed(digest, growth));
            let (spool, content, growth) = successor.unwrap_or_else(|| InMemory::spool(digest));
            state.spools.insert(digest.clone(), (content, growth));
            spool
        };
        spool.hash_in_turns().await?;
        Ok(spool)
    }

    async fn admit(&self, blob: VerifiedSpool) -> Result<Option<Validator>, StoreError> {
        let mut state = self.state();
        state.spools.remove(blob.digest());
        state.blobs.insert(blob.digest().clone(), blob.content());
        Ok(None)
    }

    async fn set_aside(&self, digest: &Digest) -> Result<(), StoreError> {
        self.remove(digest).await
    }

    async fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.state().blobs.remove(digest);
        Ok(())
    }

    fn entries(&self) -> BoxStream<'_, Result<BlobEntry, StoreError>> {
        let entry = |(digest, blob): (&Digest, &OpenBlob)| {
            Ok(BlobEntry {
                digest: digest.clone(),
                size: blob.size(),
                modified_at: UNIX_EPOCH,
                used_at: UNIX_EPOCH,
            })
        };
        let entries: Vec<_> = self.state().blobs.iter().map(entry).collect();
        stream::iter(entries).boxed()
    }
}

#[async_trait]
impl Maintain for MemoryStore {
    async fn take_stock(&self) {}

    async fn sweep(&self) {}

    fn set_bounds(&self, _: u64, _: u64, _: usize) {}

    fn usage(&self) -> Usage {
        let state = self.state();
        let held = |sizes: &mut dyn Iterator<Item = u64>| {
            sizes.fold(Held::default(), |held, size| Held { bytes: held.bytes + size, count: held.count + 1 })
        };
        let unfinished = state.spools.values().filter(|(content, _)| !content.is_deleted());
        Usage {
            blobs: held(&mut state.blobs.values().map(OpenBlob::size)),
            manifests: held(&mut state.manifests.values().map(|bytes| bytes.len() as u64)),
            partial: held(&mut unfinished.map(|(_, growth)| growth.written().end())),
            ..Usage::default()
        }
    }
}

#[async_trait]
impl RecordStore for MemoryStore {
    async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<HeldManifest>, StoreError> {
        let state = self.state();
        let record = state.repositories.get(repository.as_str());
        let media_type = record.and_then(|contents| contents.manifests.get(digest)).cloned();
        let stored = media_type.zip(state.manifests.get(digest).cloned());
        Ok(stored.map(|(media_type, bytes)| HeldManifest::Whole(StoredManifest { media_type, bytes })))
    }

    async fn put_manifest(
        &self,
        repository: &Repository,
        media_type: &MediaType,
        manifest: &VerifiedManifest,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        state.manifests.insert(manifest.digest().clone(), manifest.bytes().clone());
        state.of(repository).manifests.insert(manifest.digest().clone(), media_type.clone());
        Ok(())
    }

    async fn set_aside_manifest(&self, digest: &Digest) -> Result<(), StoreError> {
        self.state().manifests.remove(digest);
        Ok(())
    }

    async fn remove_manifest(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        if let Some(contents) = self.state().repositories.get_mut(repository.as_str()) {
            contents.manifests.remove(digest);
        }
        Ok(())
    }

    async fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<TagRecord>, StoreError> {
        let state = self.state();
        Ok(state.repositories.get(repository.as_str()).and_then(|contents| contents.tags.get(tag)).cloned())
    }

    async fn put_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        record: &TagRecord,
    ) -> Result<(), StoreError> {
        let record = TagRecord { checked_at: to_the_second(record.checked_at), ..record.clone() };
        self.state().of(repository).tags.insert(tag.clone(), record);
        Ok(())
    }

    async fn remove_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), StoreError> {
        if let Some(contents) = self.state().repositories.get_mut(repository.as_str()) {
            contents.tags.remove(tag);
        }
        Ok(())
    }

    async fn has_link(&self, repository: &Repository, digest: &Digest) -> Result<bool, StoreError> {
        let state = self.state();
        Ok(state
            .repositories
            .get(repository.as_str())
            .is_some_and(|contents| contents.links.contains(digest)))
    }

    async fn put_link(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        self.state().of(repository).links.insert(digest.clone());
        Ok(())
    }

    async fn remove_link(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        if let Some(contents) = self.state().repositories.get_mut(repository.as_str()) {
            contents.links.remove(digest);
        }
        Ok(())
    }

    async fn list(&self, repository: &Repository, key: &str) -> Result<Option<StoredList>, StoreError> {
        let state = self.state();
        let lists = state.repositories.get(repository.as_str()).map(|contents| &contents.lists);
        let found = lists.into_iter().flatten().find(|(stored, _)| stored == key);
        Ok(found.map(|(_, list)| list.clone()))
    }

    async fn put_list(
        &self,
        repository: &Repository,
        key: &str,
        list: &StoredList,
    ) -> Result<(), StoreError> {
        // A copy, as on disk: the buffer of these bytes belongs to the upstream's response.
        let bytes = Bytes::copy_from_slice(&list.bytes);
        let list = StoredList { bytes, seen_at: to_the_second(list.seen_at), ..list.clone() };
        let mut state = self.state();
        let lists = &mut state.of(repository).lists;
        lists.retain(|(stored, _)| stored != key);
        if lists.len() == LIST_COUNT_MAX {
            lists.remove(0);
        }
        lists.push((key.to_owned(), list));
        Ok(())
    }

    async fn remove_list(&self, repository: &Repository, key: &str) -> Result<(), StoreError> {
        if let Some(contents) = self.state().repositories.get_mut(repository.as_str()) {
            contents.lists.retain(|(stored, _)| stored != key);
        }
        Ok(())
    }

    async fn repositories(
        &self,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Repository>, StoreError> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state();
        let behind = state.repositories.range::<str, _>((after, Bound::Unbounded));
        let held = behind.filter(|(_, contents)| contents.holds_anything()).take(count_max);
        Ok(held.filter_map(|(name, _)| name.parse().ok()).collect())
    }
}

/// Drops the fractions that the file engine drops too, so that both return the same.
fn to_the_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests;
