//! The engine that keeps everything in memory and forgets it at the end: for tests and simulations. Its
//! futures complete at once, on the caller's thread.

mod content;
mod script;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use oci::{Digest, MediaType, Repository, Tag};
use parking_lot::{Mutex, MutexGuard};
use policy::freshness::TagRecord;

use crate::blob_store::{BlobEntry, BlobStore};
use crate::content::{OpenBlob, Validator};
use crate::error::{StoreError, StoreErrorKind};
use crate::growth::Growth;
use crate::inspect::{Inspect, Part};
use crate::maintain::Maintain;
use crate::note::{self, NOTE_BYTES_MAX};
use crate::record_store::{
    HeldLists, HeldManifest, LIST_COUNT_MAX, ManifestEntry, RecordStore, StoredList, StoredManifest,
};
use crate::space::Space;
use crate::spool::Spool;
use crate::spool::finish::VerifiedSpool;
use crate::usage::{Held, Usage};
use crate::verified_manifest::VerifiedManifest;
use content::InMemory;
pub use script::Operation;
use script::{Script, to_the_second};

/// A store in memory, without bounds. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// With the time at which each was admitted.
    blobs: HashMap<Digest, (OpenBlob, SystemTime)>,
    spools: HashMap<Digest, (Arc<InMemory>, Arc<Growth>)>,
    manifests: HashMap<Digest, Bytes>,
    /// By name, so that repositories come in the order of their names.
    repositories: BTreeMap<String, Contents>,
    notes: HashMap<String, Bytes>,
    script: Script,
}

#[derive(Debug, Default)]
struct Contents {
    tags: BTreeMap<Tag, TagRecord>,
    /// With the time at which each record was stored.
    manifests: BTreeMap<Digest, (MediaType, SystemTime)>,
    links: BTreeSet<Digest>,
    /// By key, with the time at which each was stored, the one that was written longest ago first.
    lists: Vec<(String, StoredList, SystemTime)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a call fail, without effect: the one that comes after `skip` others of the same operation.
    pub fn fail(&self, operation: Operation, skip: usize, kind: StoreErrorKind) {
        self.state().script.fail(operation, skip, kind);
    }

    /// Tells whether some of the failures that were asked for have not come yet.
    pub fn has_failures_left(&self) -> bool {
        self.state().script.has_failures_left()
    }

    /// Puts the store on a disk of this size that has so much free space now. From then on, `free` changes
    /// with the bytes that the store holds. `None`: it is on no disk.
    pub fn set_space(&self, space: Option<Space>) {
        let mut state = self.state();
        let used = (state.used(), state.file_count());
        state.script.set_space(space, used);
    }

    /// Reserves some of the disk's unused bytes for root, who has written to them if fewer are unused.
    pub fn reserve(&self, bytes: u64) {
        self.state().script.set_reserved(bytes);
    }

    /// Keeps so many of the bytes, and of the files, from coming free that the store removes after
    /// [`set_space`](Self::set_space), as a reader of a removed file does.
    pub fn hold_back(&self, bytes: u64) {
        self.state().script.hold_back(bytes);
    }

    /// Sets the time that records and blobs get from now on, instead of the system's.
    pub fn set_time(&self, now: SystemTime) {
        self.state().script.set_time(now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Begins a call, which fails if a test wants that.
    fn begin(&self, operation: Operation) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.state();
        state.script.begin(operation)?;
        Ok(state)
    }
}

impl State {
    fn of(&mut self, repository: &Repository) -> &mut Contents {
        self.repositories.entry(repository.as_str().to_owned()).or_default()
    }

    fn usage(&self) -> Usage {
        let held = |sizes: &mut dyn Iterator<Item = u64>| {
            sizes.fold(Held::default(), |held, size| Held { bytes: held.bytes + size, count: held.count + 1 })
        };
        let unfinished = self.spools.values().filter(|(content, _)| !content.is_deleted());
        Usage {
            blobs: held(&mut self.blobs.values().map(|(blob, _)| blob.size())),
            manifests: held(&mut self.manifests.values().map(|bytes| bytes.len() as u64)),
            partial: held(&mut unfinished.map(|(_, growth)| growth.written().end())),
            ..Usage::default()
        }
    }

    /// The bytes of everything that counts.
    fn used(&self) -> u64 {
        let Usage { blobs, manifests, partial, quarantine, is_counting: _ } = self.usage();
        [blobs, manifests, partial, quarantine, self.lists()].iter().map(|held| held.bytes).sum()
    }

    /// The files of everything that counts.
    fn file_count(&self) -> u64 {
        let Usage { blobs, manifests, partial, quarantine, is_counting: _ } = self.usage();
        [blobs, manifests, partial, quarantine, self.lists()].iter().map(|held| held.count).sum()
    }

    /// The lists of all repositories.
    fn lists(&self) -> Held {
        let lists = self.repositories.values().map(|contents| contents.held_lists().held);
        lists.fold(Held::default(), |sum, held| Held {
            bytes: sum.bytes + held.bytes,
            count: sum.count + held.count,
        })
    }

    fn remove_blob(&mut self, digest: &Digest) -> u64 {
        self.blobs.remove(digest).map_or(0, |(blob, _)| blob.size())
    }
}

impl Contents {
    /// Whether anything can be pulled: a list alone says only what the upstream has.
    fn holds_anything(&self) -> bool {
        !(self.tags.is_empty() && self.manifests.is_empty() && self.links.is_empty())
    }

    fn held_lists(&self) -> HeldLists {
        let bytes = self.lists.iter().map(|(_, list, _)| list.bytes.len() as u64).sum();
        let held = Held { bytes, count: self.lists.len() as u64 };
        HeldLists { held, stored_at: self.lists.iter().map(|(.., at)| *at).max() }
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn open(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        Ok(self.begin(Operation::Open)?.blobs.get(digest).map(|(blob, _)| blob.clone()))
    }

    async fn spool(&self, digest: &Digest) -> Result<Arc<Spool>, StoreError> {
        let spool = {
            let mut state = self.begin(Operation::Spool)?;
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
        let mut state = self.begin(Operation::Admit)?;
        state.spools.remove(blob.digest());
        let admitted = (blob.content(), state.script.now());
        state.blobs.insert(blob.digest().clone(), admitted);
        Ok(None)
    }

    async fn set_aside(&self, digest: &Digest) -> Result<(), StoreError> {
        self.begin(Operation::SetAside)?.remove_blob(digest);
        Ok(())
    }

    async fn remove(&self, digest: &Digest) -> Result<u64, StoreError> {
        Ok(self.begin(Operation::Remove)?.remove_blob(digest))
    }

    fn entries(&self) -> BoxStream<'_, Result<BlobEntry, StoreError>> {
        let entry = |(digest, (blob, at)): (&Digest, &(OpenBlob, SystemTime))| {
            Ok(BlobEntry { digest: digest.clone(), size: blob.size(), modified_at: *at, used_at: *at })
        };
        let entries: Vec<_> = match self.begin(Operation::Entries) {
            Ok(state) => state.blobs.iter().map(entry).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(entries).boxed()
    }
}

#[async_trait]
impl Maintain for MemoryStore {
    async fn take_stock(&self) {}

    async fn sweep(&self) {}

    fn set_bounds(&self, _: u64, _: u64, _: usize) {}

    fn usage(&self) -> Usage {
        self.state().usage()
    }

    async fn space(&self) -> Result<Option<Space>, StoreError> {
        let state = self.begin(Operation::Space)?;
        Ok(state.script.space((state.used(), state.file_count())))
    }
}

#[async_trait]
impl Inspect for MemoryStore {
    async fn digests(
        &self,
        part: Part,
        after: Option<&Digest>,
        count_max: usize,
    ) -> Result<Vec<Digest>, StoreError> {
        let state = self.begin(Operation::Digests)?;
        let mut digests: Vec<Digest> = match part {
            Part::Blobs => state.blobs.keys().cloned().collect(),
            Part::Manifests => state.manifests.keys().cloned().collect(),
        };
        digests.retain(|digest| after.is_none_or(|after| digest > after));
        digests.sort_unstable();
        digests.truncate(count_max);
        Ok(digests)
    }

    async fn open_to_hash(&self, part: Part, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        let state = self.begin(Operation::OpenToHash)?;
        Ok(match part {
            Part::Blobs => state.blobs.get(digest).map(|(blob, _)| blob.clone()),
            Part::Manifests => state.manifests.get(digest).map(InMemory::verified),
        })
    }

    async fn try_write(&self) -> Result<(), StoreError> {
        self.begin(Operation::TryWrite).map(drop)
    }
}

#[async_trait]
impl RecordStore for MemoryStore {
    async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<HeldManifest>, StoreError> {
        let state = self.begin(Operation::Manifest)?;
        let record = state.repositories.get(repository.as_str());
        let media_type =
            record.and_then(|contents| contents.manifests.get(digest)).map(|(kind, _)| kind.clone());
        let stored = media_type.zip(state.manifests.get(digest).cloned());
        Ok(stored.map(|(media_type, bytes)| HeldManifest::Whole(StoredManifest { media_type, bytes })))
    }

    async fn put_manifest(
        &self,
        repository: &Repository,
        media_type: &MediaType,
        manifest: &VerifiedManifest,
    ) -> Result<(), StoreError> {
        let mut state = self.begin(Operation::PutManifest)?;
        let record = (media_type.clone(), state.script.now());
        state.manifests.insert(manifest.digest().clone(), manifest.bytes().clone());
        state.of(repository).manifests.insert(manifest.digest().clone(), record);
        Ok(())
    }

    async fn set_aside_manifest(&self, digest: &Digest) -> Result<(), StoreError> {
        self.begin(Operation::SetAsideManifest)?.manifests.remove(digest);
        Ok(())
    }

    async fn manifests(
        &self,
        repository: &Repository,
        after: Option<&Digest>,
        count_max: usize,
    ) -> Result<Vec<ManifestEntry>, StoreError> {
        let state = self.begin(Operation::Manifests)?;
        let Some(contents) = state.repositories.get(repository.as_str()) else { return Ok(Vec::new()) };
        let entry = |(digest, (_, stored_at)): (&Digest, &(MediaType, SystemTime))| ManifestEntry {
            digest: digest.clone(),
            stored_at: *stored_at,
        };
        Ok(contents.manifests.range(behind(after)).take(count_max).map(entry).collect())
    }

    async fn remove_manifest_bytes(&self, digest: &Digest) -> Result<u64, StoreError> {
        let bytes = self.begin(Operation::RemoveManifestBytes)?.manifests.remove(digest);
        Ok(bytes.map_or(0, |bytes| bytes.len() as u64))
    }

    async fn remove_manifest(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        if let Some(contents) =
            self.begin(Operation::RemoveManifest)?.repositories.get_mut(repository.as_str())
        {
            contents.manifests.remove(digest);
        }
        Ok(())
    }

    async fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<TagRecord>, StoreError> {
        let state = self.begin(Operation::Tag)?;
        Ok(state.repositories.get(repository.as_str()).and_then(|contents| contents.tags.get(tag)).cloned())
    }

    async fn put_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        record: &TagRecord,
    ) -> Result<(), StoreError> {
        let record = TagRecord { checked_at: to_the_second(record.checked_at), ..record.clone() };
        self.begin(Operation::PutTag)?.of(repository).tags.insert(tag.clone(), record);
        Ok(())
    }

    async fn remove_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), StoreError> {
        if let Some(contents) = self.begin(Operation::RemoveTag)?.repositories.get_mut(repository.as_str()) {
            contents.tags.remove(tag);
        }
        Ok(())
    }

    async fn tags(
        &self,
        repository: &Repository,
        after: Option<&Tag>,
        count_max: usize,
    ) -> Result<Vec<Tag>, StoreError> {
        let state = self.begin(Operation::Tags)?;
        let Some(contents) = state.repositories.get(repository.as_str()) else { return Ok(Vec::new()) };
        Ok(contents.tags.range(behind(after)).take(count_max).map(|(tag, _)| tag.clone()).collect())
    }

    async fn sync_removals(&self, _: &[Repository]) -> Result<(), StoreError> {
        self.begin(Operation::SyncRemovals).map(drop)
    }

    async fn remove_repository(&self, repository: &Repository) -> Result<Option<Held>, StoreError> {
        let mut state = self.begin(Operation::RemoveRepository)?;
        let has_images = |contents: &Contents| !(contents.manifests.is_empty() && contents.tags.is_empty());
        if state.repositories.get(repository.as_str()).is_some_and(has_images) {
            return Ok(None);
        }
        let removed = state.repositories.remove(repository.as_str());
        Ok(Some(removed.map(|contents| contents.held_lists().held).unwrap_or_default()))
    }

    async fn has_link(&self, repository: &Repository, digest: &Digest) -> Result<bool, StoreError> {
        let state = self.begin(Operation::HasLink)?;
        Ok(state
            .repositories
            .get(repository.as_str())
            .is_some_and(|contents| contents.links.contains(digest)))
    }

    async fn put_link(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        self.begin(Operation::PutLink)?.of(repository).links.insert(digest.clone());
        Ok(())
    }

    async fn remove_link(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        if let Some(contents) = self.begin(Operation::RemoveLink)?.repositories.get_mut(repository.as_str()) {
            contents.links.remove(digest);
        }
        Ok(())
    }

    async fn list(&self, repository: &Repository, key: &str) -> Result<Option<StoredList>, StoreError> {
        let state = self.begin(Operation::List)?;
        let lists = state.repositories.get(repository.as_str()).map(|contents| &contents.lists);
        let found = lists.into_iter().flatten().find(|(stored, ..)| stored == key);
        Ok(found.map(|(_, list, _)| list.clone()))
    }

    async fn put_list(
        &self,
        repository: &Repository,
        key: &str,
        list: &StoredList,
    ) -> Result<(), StoreError> {
        // A copy, as on disk: what the bytes came in belongs to the answer that brought them.
        let bytes = Bytes::copy_from_slice(&list.bytes);
        let list = StoredList { bytes, seen_at: to_the_second(list.seen_at), ..list.clone() };
        let mut state = self.begin(Operation::PutList)?;
        let now = state.script.now();
        let lists = &mut state.of(repository).lists;
        lists.retain(|(stored, ..)| stored != key);
        if lists.len() == LIST_COUNT_MAX {
            lists.remove(0);
        }
        lists.push((key.to_owned(), list, now));
        Ok(())
    }

    async fn remove_list(&self, repository: &Repository, key: &str) -> Result<(), StoreError> {
        if let Some(contents) = self.begin(Operation::RemoveList)?.repositories.get_mut(repository.as_str()) {
            contents.lists.retain(|(stored, ..)| stored != key);
        }
        Ok(())
    }

    async fn lists(&self, repository: &Repository) -> Result<HeldLists, StoreError> {
        let state = self.begin(Operation::Lists)?;
        let contents = state.repositories.get(repository.as_str());
        Ok(contents.map(Contents::held_lists).unwrap_or_default())
    }

    async fn repositories_with_lists(
        &self,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Repository>, StoreError> {
        let state = self.begin(Operation::RepositoriesWithLists)?;
        let behind = state.repositories.range::<str, _>(behind(after));
        let held = behind.filter(|(_, contents)| !contents.lists.is_empty()).take(count_max);
        Ok(held.filter_map(|(name, _)| name.parse().ok()).collect())
    }

    async fn repositories(
        &self,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Repository>, StoreError> {
        let state = self.begin(Operation::Repositories)?;
        let behind = state.repositories.range::<str, _>(behind(after));
        let held = behind.filter(|(_, contents)| contents.holds_anything()).take(count_max);
        Ok(held.filter_map(|(name, _)| name.parse().ok()).collect())
    }

    async fn note(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        note::assert_name(name);
        Ok(self.begin(Operation::Note)?.notes.get(name).cloned())
    }

    async fn put_note(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError> {
        note::assert_name(name);
        let mut state = self.begin(Operation::PutNote)?;
        if bytes.len() as u64 > NOTE_BYTES_MAX {
            return Err(StoreError::own(StoreErrorKind::Size, "create", "memory", "the note is too large"));
        }
        state.notes.insert(name.to_owned(), bytes.clone());
        Ok(())
    }

    async fn put_durable_note(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.put_note(name, bytes).await
    }
}

/// All keys after this one.
fn behind<K: ?Sized>(after: Option<&K>) -> (Bound<&K>, Bound<&K>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

#[cfg(test)]
mod tests;
