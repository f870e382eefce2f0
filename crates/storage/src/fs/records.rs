//! Manifests, tags and grants as files.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use oci::{Digest, MediaType, Repository, Tag};
use policy::freshness::TagRecord;
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::file_cache::Cached;
use super::jobs::Sort;
use super::publish::{self, Durability};
use super::removal::SYNC_COUNT;
use super::repositories::Sought;
use super::small_file::{Content, Small};
use super::store::FsStore;
use super::timestamp;
use crate::error::StoreError;
use crate::record_store::{
    HeldLists, HeldManifest, MANIFEST_IN_MEMORY_BYTES_MAX, ManifestEntry, RecordStore, StoredList,
    StoredManifest,
};
use crate::usage::Held;
use crate::verified_manifest::VerifiedManifest;

/// Larger than any record.
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Larger than any stored manifest: the upstream's are refused above 4 MiB.
const MANIFEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The overhead of a cached record in memory, in bytes: hashes, allocations.
const ENTRY_BYTES: usize = 256;

/// A tag's record on disk. It contains the tag because file systems that ignore case treat `Latest` and
/// `latest` as one name.
#[derive(Serialize, Deserialize)]
pub(super) struct TagFile {
    tag: String,
    digest: String,
    media_type: String,
    size: u64,
    /// RFC 3339, in UTC.
    checked_at: String,
}

impl TagFile {
    pub(super) fn new(tag: &Tag, record: &TagRecord) -> Self {
        Self {
            tag: tag.as_str().to_owned(),
            digest: record.digest.to_string(),
            media_type: record.media_type.as_str().to_owned(),
            size: record.size,
            checked_at: timestamp::format(record.checked_at),
        }
    }

    /// The tag and its record; `None`: this program did not write these values.
    pub(super) fn meaning(&self) -> Option<(&str, TagRecord)> {
        let record = TagRecord {
            digest: self.digest.parse().ok()?,
            media_type: self.media_type.parse().ok()?,
            size: self.size,
            checked_at: timestamp::parse(&self.checked_at)?,
        };
        Some((&self.tag, record))
    }
}

/// A repository's record of a manifest on disk.
#[derive(Serialize, Deserialize)]
struct ManifestFile {
    media_type: String,
}

#[async_trait]
impl RecordStore for FsStore {
    async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<HeldManifest>, StoreError> {
        let key = (repository.clone(), digest.clone());
        if let Some(manifest) = self.manifest_cache().get(&key) {
            return Ok(Some(HeldManifest::Whole(manifest)));
        }
        self.run(Sort::Read, move |store| store.read_manifest(&key)).await
    }

    async fn put_manifest(
        &self,
        repository: &Repository,
        media_type: &MediaType,
        manifest: &VerifiedManifest,
    ) -> Result<(), StoreError> {
        let key = (repository.clone(), manifest.digest().clone());
        let stored = StoredManifest { media_type: media_type.clone(), bytes: manifest.bytes().clone() };
        let put = move |store: &Self| {
            let kept = store.copy_to_keep(&stored);
            store.manifest_cache().change(&key, kept, || store.put_manifest_blocking(&key.0, &key.1, &stored))
        };
        self.run(Sort::Write, put).await
    }

    async fn set_aside_manifest(&self, digest: &Digest) -> Result<(), StoreError> {
        let digest = digest.clone();
        let set_aside = move |store: &Self| {
            let path = store.root().layout().manifest(&digest);
            store.manifest_cache().change_shared(|(_, of)| *of == digest, || store.set_aside_blocking(&path))
        };
        self.run(Sort::Write, set_aside).await
    }

    async fn remove_manifest(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        let key = (repository.clone(), digest.clone());
        let remove = move |store: &Self| {
            let path = store.root().layout().manifest_record(&key.0, &key.1);
            store.manifest_cache().change(&key, None, || store.root().unlink(&path))
        };
        self.run(Sort::Write, remove).await
    }

    async fn manifests(
        &self,
        repository: &Repository,
        after: Option<&Digest>,
        count_max: usize,
    ) -> Result<Vec<ManifestEntry>, StoreError> {
        let (repository, after) = (repository.clone(), after.cloned());
        let list = move |store: &Self| store.manifests_blocking(&repository, after, count_max);
        self.run(Sort::Long, list).await
    }

    async fn remove_manifest_bytes(&self, digest: &Digest) -> Result<u64, StoreError> {
        let digest = digest.clone();
        self.run(Sort::Write, move |store| store.remove_manifest_bytes_blocking(&digest)).await
    }

    async fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<TagRecord>, StoreError> {
        let key = (repository.clone(), tag.clone());
        if let Some(record) = self.tag_cache().get(&key) {
            return Ok(Some(record));
        }
        let read = move |store: &Self| store.tag_cache().read(&key, || store.tag_blocking(&key.0, &key.1));
        self.run(Sort::Read, read).await
    }

    async fn put_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        record: &TagRecord,
    ) -> Result<(), StoreError> {
        let key = (repository.clone(), tag.clone());
        let file = TagFile::new(tag, record);
        let put = move |store: &Self| {
            let path = store.root().layout().tag(&key.0, &key.1);
            // As a later read returns it: times lose their fractions.
            let kept = file.meaning().map(|(_, record)| record);
            store.tag_cache().change(&key, kept, || store.write_record(&path, &file))
        };
        self.run(Sort::Write, put).await
    }

    async fn remove_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), StoreError> {
        let key = (repository.clone(), tag.clone());
        let remove = move |store: &Self| {
            let path = store.root().layout().tag(&key.0, &key.1);
            store.tag_cache().change(&key, None, || store.root().unlink(&path))
        };
        self.run(Sort::Write, remove).await
    }

    async fn tags(
        &self,
        repository: &Repository,
        after: Option<&Tag>,
        count_max: usize,
    ) -> Result<Vec<Tag>, StoreError> {
        let (repository, after) = (repository.clone(), after.cloned());
        let list = move |store: &Self| store.tags_blocking(&repository, after.as_ref(), count_max);
        self.run(Sort::Long, list).await
    }

    async fn sync_removals(&self, repositories: &[Repository]) -> Result<(), StoreError> {
        if repositories.len() > SYNC_COUNT && self.run(Sort::Write, Self::sync_all_removals_blocking).await? {
            return Ok(());
        }
        for some in repositories.chunks(SYNC_COUNT).map(<[_]>::to_vec) {
            self.run(Sort::Write, move |store| store.sync_removals_blocking(&some)).await?;
        }
        Ok(())
    }

    async fn remove_repository(&self, repository: &Repository) -> Result<Option<Held>, StoreError> {
        let repository = repository.clone();
        self.run(Sort::Write, move |store| store.remove_repository_blocking(&repository)).await
    }

    async fn has_link(&self, repository: &Repository, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.root().layout().link(repository, digest);
        let has_link = move |store: &Self| match store.root().disk().stat(&path)? {
            Some(_) => Ok(true),
            None => store.root().ensure_present().map(|()| false),
        };
        self.run(Sort::Read, has_link).await
    }

    async fn put_link(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        let path = self.root().layout().link(repository, digest);
        self.run(Sort::Write, move |store| store.put_link_blocking(&path)).await
    }

    async fn remove_link(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        let path = self.root().layout().link(repository, digest);
        self.run(Sort::Write, move |store| store.root().unlink(&path)).await
    }

    async fn list(&self, repository: &Repository, key: &str) -> Result<Option<StoredList>, StoreError> {
        let (repository, key) = (repository.clone(), key.to_owned());
        self.run(Sort::Read, move |store| store.list_blocking(&repository, &key)).await
    }

    async fn put_list(
        &self,
        repository: &Repository,
        key: &str,
        list: &StoredList,
    ) -> Result<(), StoreError> {
        let (repository, key, list) = (repository.clone(), key.to_owned(), list.clone());
        self.run(Sort::Write, move |store| store.put_list_blocking(&repository, &key, &list)).await
    }

    async fn remove_list(&self, repository: &Repository, key: &str) -> Result<(), StoreError> {
        let path = self.root().layout().list(repository, key);
        self.run(Sort::Write, move |store| store.root().unlink(&path)).await
    }

    async fn lists(&self, repository: &Repository) -> Result<HeldLists, StoreError> {
        let directory = self.root().layout().lists(repository);
        self.run(Sort::Read, move |store| store.measure_lists(&directory)).await
    }

    async fn repositories_with_lists(
        &self,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Repository>, StoreError> {
        self.list_repositories(after.unwrap_or_default(), count_max, Sought::Lists).await
    }

    async fn repositories(
        &self,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Repository>, StoreError> {
        self.list_repositories(after.unwrap_or_default(), count_max, Sought::Content).await
    }

    async fn note(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let path = self.root().layout().note(name);
        self.run(Sort::Long, move |store| store.note_blocking(&path)).await
    }

    async fn put_note(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let (path, bytes) = (self.root().layout().note(name), bytes.clone());
        self.run(Sort::Long, move |store| store.put_note_blocking(&path, &bytes, Durability::ProcessDeath))
            .await
    }

    async fn put_durable_note(&self, name: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let (path, bytes) = (self.root().layout().note(name), bytes.clone());
        self.run(Sort::Long, move |store| store.put_note_blocking(&path, &bytes, Durability::PowerLoss)).await
    }
}

impl FsStore {
    /// Reads a manifest, unless another job has just cached it.
    fn read_manifest(&self, key: &(Repository, Digest)) -> Result<Option<HeldManifest>, StoreError> {
        if let Some(manifest) = self.manifest_cache().get(key) {
            return Ok(Some(HeldManifest::Whole(manifest)));
        }
        let stamp = self.manifest_cache().read_stamp();
        let found = self.manifest_blocking(&key.0, &key.1)?;
        match &found {
            Some(HeldManifest::Whole(manifest)) => {
                self.manifest_cache().insert_read(key, manifest.clone(), stamp)
            }
            Some(HeldManifest::File { .. }) => {}
            None => self.manifest_cache().forget(key),
        }
        Ok(found)
    }

    fn manifest_blocking(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<HeldManifest>, StoreError> {
        let layout = self.root().layout();
        let Some(media_type) = self.read_record(&layout.manifest_record(repository, digest), |file| {
            let ManifestFile { media_type } = file;
            media_type.parse::<MediaType>().ok()
        })?
        else {
            return Ok(None);
        };
        let path = layout.manifest(digest);
        let (file, size) = match self.find_file(&path, MANIFEST_BYTES_MAX)? {
            Small::Nothing => return Ok(None),
            Small::Unfit => {
                self.root().try_set_aside(&path);
                return Ok(None);
            }
            Small::File(file, size) => (file, size),
        };
        let share = self.manifest_bytes().take(size as u64);
        let Some(share) = share.filter(|share| share.bytes() <= MANIFEST_IN_MEMORY_BYTES_MAX) else {
            // Beyond the budget it is sent as a file too, which takes no memory.
            let file = self.open_file(file, size as u64);
            return Ok(Some(HeldManifest::File { media_type, file }));
        };
        match self.read_all(&path, &file, size)? {
            Some(bytes) if digest.is_of_manifest(&bytes) => {
                Ok(Some(HeldManifest::Whole(StoredManifest { media_type, bytes: share.attach(bytes) })))
            }
            _ => {
                self.root().try_set_aside(&path);
                Ok(None)
            }
        }
    }

    /// An exact copy of the bytes, counted in this store's budget instead of the response's.
    fn copy_to_keep(&self, manifest: &StoredManifest) -> Option<StoredManifest> {
        let size = manifest.bytes.len() as u64;
        let share = self.manifest_bytes().take(size).filter(|_| size <= MANIFEST_IN_MEMORY_BYTES_MAX)?;
        let bytes = share.attach(Bytes::copy_from_slice(&manifest.bytes));
        Some(StoredManifest { media_type: manifest.media_type.clone(), bytes })
    }

    fn put_manifest_blocking(
        &self,
        repository: &Repository,
        digest: &Digest,
        manifest: &StoredManifest,
    ) -> Result<(), StoreError> {
        let layout = self.root().layout();
        // The bytes are durable before a record refers to them.
        let bytes = [manifest.bytes.clone()];
        publish::bytes(self.root(), &layout.manifest(digest), &bytes, Durability::PowerLoss)?;
        let record = ManifestFile { media_type: manifest.media_type.as_str().to_owned() };
        self.write_record(&layout.manifest_record(repository, digest), &record)
    }

    fn tag_blocking(&self, repository: &Repository, tag: &Tag) -> Result<Option<TagRecord>, StoreError> {
        let path = self.root().layout().tag(repository, tag);
        let found = self.read_record(&path, |file: TagFile| {
            let (name, record) = file.meaning()?;
            Some((name == tag.as_str()).then_some(record))
        })?;
        Ok(found.flatten())
    }

    fn put_link_blocking(&self, path: &Path) -> Result<(), StoreError> {
        let directory = path.parent().expect("a link lies in its repository's directory");
        let file = match self.root().in_directory(directory, || self.root().disk().create(path)) {
            Ok(file) => file,
            Err(error) if error.is(Errno::EXIST) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.root().disk().sync(&file, path)?;
        self.root().sync_names(directory)
    }

    fn write_record(&self, path: &Path, record: &impl Serialize) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec_pretty(record).expect("strings and numbers are always JSON");
        text.push(b'\n');
        publish::bytes(self.root(), path, &[text.into()], Durability::PowerLoss)
    }

    /// Reads and parses a record. An unreadable one is quarantined: the upstream can be asked again.
    fn read_record<F: DeserializeOwned, T>(
        &self,
        path: &Path,
        meaning: impl FnOnce(F) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let read = match self.read_file(path, RECORD_BYTES_MAX)? {
            Content::Nothing => return Ok(None),
            Content::Unfit => None,
            Content::Bytes(bytes) => serde_json::from_slice(&bytes).ok().and_then(meaning),
        };
        if read.is_none() {
            self.root().try_set_aside(path);
        }
        Ok(read)
    }
}

impl Cached<(Repository, Digest)> for StoredManifest {
    fn weight(&self, (repository, digest): &(Repository, Digest)) -> u64 {
        let key_bytes = repository.as_str().len() + digest.hex().len();
        (ENTRY_BYTES + key_bytes + self.media_type.as_str().len() + self.bytes.len()) as u64
    }
}

impl Cached<(Repository, Tag)> for TagRecord {
    fn weight(&self, (repository, tag): &(Repository, Tag)) -> u64 {
        let key_bytes = repository.as_str().len() + tag.as_str().len();
        (ENTRY_BYTES + key_bytes + self.media_type.as_str().len() + self.digest.hex().len()) as u64
    }
}
