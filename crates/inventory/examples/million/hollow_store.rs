//! A store that has no bytes: what it holds follows from a number.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use oci::{Algorithm, Digest, MediaType, Repository, Tag};
use policy::freshness::TagRecord;
use storage::{
    BlobEntry, BlobStore, Held, HeldLists, HeldManifest, Inspect, Maintain, ManifestEntry, OpenBlob, Part,
    RecordStore, Space, Spool, StoreError, StoredList, StoredManifest, Usage, Validator, VerifiedManifest,
    VerifiedSpool,
};

/// Blobs that each image alone needs.
pub(crate) const BLOBS_PER_IMAGE: u32 = 8;

/// Images in each repository.
const IMAGES_PER_REPOSITORY: u32 = 25;

const BLOB_BYTES: u64 = 1024;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The store.
#[derive(Debug)]
pub(crate) struct HollowStore {
    image_count: u32,
    /// The numbers of manifests, by their digests.
    numbers: HashMap<Digest, u32>,
    /// By repository, in the order of digests.
    manifests: Vec<Vec<Digest>>,
    now: SystemTime,
}

impl HollowStore {
    pub(crate) fn new(image_count: u32) -> Self {
        let digests = (0..image_count).map(|number| Digest::of(Algorithm::Sha256, text(number).as_bytes()));
        let digests: Vec<_> = digests.collect();
        let manifests = digests.chunks(IMAGES_PER_REPOSITORY as usize).map(|some| {
            let mut some = some.to_vec();
            some.sort();
            some
        });
        Self {
            image_count,
            manifests: manifests.collect(),
            numbers: digests.into_iter().zip(0..).collect(),
            now: SystemTime::now(),
        }
    }

    pub(crate) fn repository_count(&self) -> usize {
        self.manifests.len()
    }

    /// Images that were stored last, with their blobs.
    pub(crate) fn newest(&self, count: u32) -> Vec<(Repository, Digest, Vec<Digest>)> {
        let numbers = self.image_count - count..self.image_count;
        let image = |number: u32| {
            let repository = repository(number / IMAGES_PER_REPOSITORY);
            (repository, Digest::of(Algorithm::Sha256, text(number).as_bytes()), blobs(number).collect())
        };
        numbers.map(image).collect()
    }

    fn in_repository(&self, repository: &Repository) -> &[Digest] {
        let number: Option<usize> =
            repository.as_str().rsplit('-').next().and_then(|number| number.parse().ok());
        number.and_then(|number| self.manifests.get(number)).map_or(&[], Vec::as_slice)
    }

    /// The age of an image: the first ones are the oldest.
    fn stored_at(&self, number: u32) -> SystemTime {
        self.now - Duration::from_secs(86_400 + u64::from(self.image_count - number))
    }
}

fn repository(number: u32) -> Repository {
    format!("library/image-{number:05}").parse().expect("a name")
}

fn blobs(image: u32) -> impl Iterator<Item = Digest> {
    (0..BLOBS_PER_IMAGE)
        .map(move |blob| Digest::of(Algorithm::Sha256, &(image * BLOBS_PER_IMAGE + blob).to_le_bytes()))
}

fn text(image: u32) -> String {
    let layers: Vec<_> =
        blobs(image).map(|digest| format!(r#"{{"digest":"{digest}","size":{BLOB_BYTES}}}"#)).collect();
    format!(r#"{{"schemaVersion":2,"layers":[{}]}}"#, layers.join(","))
}

fn media_type() -> MediaType {
    MANIFEST_TYPE.parse().expect("a media type")
}

#[async_trait]
impl BlobStore for HollowStore {
    async fn open(&self, _: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        Ok(None)
    }

    async fn spool(&self, digest: &Digest) -> Result<Arc<Spool>, StoreError> {
        Ok(Spool::in_memory(digest))
    }

    async fn admit(&self, _: VerifiedSpool) -> Result<Option<Validator>, StoreError> {
        Ok(None)
    }

    async fn set_aside(&self, _: &Digest) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove(&self, _: &Digest) -> Result<u64, StoreError> {
        Ok(BLOB_BYTES)
    }

    fn entries(&self) -> BoxStream<'_, Result<BlobEntry, StoreError>> {
        let entries = (0..self.image_count).flat_map(move |number| {
            let at = self.stored_at(number);
            blobs(number)
                .map(move |digest| Ok(BlobEntry { digest, size: BLOB_BYTES, modified_at: at, used_at: at }))
        });
        stream::iter(entries).boxed()
    }
}

#[async_trait]
impl Maintain for HollowStore {
    async fn take_stock(&self) {}

    async fn sweep(&self) {}

    fn set_bounds(&self, _: u64, _: u64, _: usize) {}

    fn usage(&self) -> Usage {
        Usage::default()
    }

    async fn space(&self) -> Result<Option<Space>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl Inspect for HollowStore {
    async fn digests(&self, _: Part, _: Option<&Digest>, _: usize) -> Result<Vec<Digest>, StoreError> {
        Ok(Vec::new())
    }

    async fn open_to_hash(&self, _: Part, _: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        Ok(None)
    }

    async fn try_write(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl RecordStore for HollowStore {
    async fn manifest(&self, _: &Repository, digest: &Digest) -> Result<Option<HeldManifest>, StoreError> {
        let number = self.numbers.get(digest);
        let stored =
            number.map(|number| StoredManifest { media_type: media_type(), bytes: text(*number).into() });
        Ok(stored.map(HeldManifest::Whole))
    }

    async fn put_manifest(
        &self,
        _: &Repository,
        _: &MediaType,
        _: &VerifiedManifest,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn set_aside_manifest(&self, _: &Digest) -> Result<(), StoreError> {
        Ok(())
    }

    async fn manifests(
        &self,
        repository: &Repository,
        after: Option<&Digest>,
        count_max: usize,
    ) -> Result<Vec<ManifestEntry>, StoreError> {
        let behind =
            self.in_repository(repository).iter().filter(|digest| after.is_none_or(|after| *digest > after));
        let entry = |digest: &Digest| ManifestEntry {
            digest: digest.clone(),
            stored_at: self.stored_at(self.numbers[digest]),
        };
        Ok(behind.take(count_max).map(entry).collect())
    }

    async fn remove_manifest_bytes(&self, _: &Digest) -> Result<u64, StoreError> {
        Ok(BLOB_BYTES)
    }

    async fn remove_manifest(&self, _: &Repository, _: &Digest) -> Result<(), StoreError> {
        Ok(())
    }

    async fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<TagRecord>, StoreError> {
        let number: Option<usize> = tag.as_str().rsplit('.').next().and_then(|number| number.parse().ok());
        let digest = number.and_then(|number| self.in_repository(repository).get(number)).cloned();
        Ok(digest.map(|digest| TagRecord { digest, media_type: media_type(), size: 1, checked_at: self.now }))
    }

    async fn put_tag(&self, _: &Repository, _: &Tag, _: &TagRecord) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_tag(&self, _: &Repository, _: &Tag) -> Result<(), StoreError> {
        Ok(())
    }

    async fn tags(
        &self,
        repository: &Repository,
        after: Option<&Tag>,
        count_max: usize,
    ) -> Result<Vec<Tag>, StoreError> {
        let tags = (0..self.in_repository(repository).len()).map(|at| format!("v1.{at:03}"));
        let tags = tags.filter_map(|tag| tag.parse().ok());
        Ok(tags.filter(|tag| after.is_none_or(|after| tag > after)).take(count_max).collect())
    }

    async fn sync_removals(&self, _: &[Repository]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_repository(&self, _: &Repository) -> Result<Option<Held>, StoreError> {
        Ok(None)
    }

    async fn has_link(&self, _: &Repository, _: &Digest) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn put_link(&self, _: &Repository, _: &Digest) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_link(&self, _: &Repository, _: &Digest) -> Result<(), StoreError> {
        Ok(())
    }

    async fn list(&self, _: &Repository, _: &str) -> Result<Option<StoredList>, StoreError> {
        Ok(None)
    }

    async fn put_list(&self, _: &Repository, _: &str, _: &StoredList) -> Result<(), StoreError> {
        Ok(())
    }

    async fn remove_list(&self, _: &Repository, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn lists(&self, _: &Repository) -> Result<HeldLists, StoreError> {
        Ok(HeldLists::default())
    }

    async fn repositories_with_lists(
        &self,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<Repository>, StoreError> {
        Ok(Vec::new())
    }

    async fn repositories(
        &self,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Repository>, StoreError> {
        let count = u32::try_from(self.manifests.len()).expect("some thousands");
        let all = (0..count).map(repository);
        Ok(all.filter(|name| after.is_none_or(|after| name.as_str() > after)).take(count_max).collect())
    }

    async fn note(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    async fn put_note(&self, _: &str, _: &Bytes) -> Result<(), StoreError> {
        Ok(())
    }

    async fn put_durable_note(&self, _: &str, _: &Bytes) -> Result<(), StoreError> {
        Ok(())
    }
}
