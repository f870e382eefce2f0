//! Owns the state of all tags, and the rule that an older word never overwrites a newer one.
//!
//! The upstream's word on a tag is the manifest that it names, or that it is gone. The newest word is on
//! disk, unless the disk failed, and its time is in memory: a check that changed nothing does not write to
//! the disk.

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, Repository, Tag};
use parking_lot::Mutex;
use policy::freshness::{ImportedTag, Replace, TagRecord, import_of};
use storage::StoreError;

use super::held_back::HeldBackWords;
pub(crate) use super::word::{AskedAt, Key, Named};
use crate::flight::Flights;
use crate::recent::Recent;
use crate::shared::Shared;

/// A record on disk whose check is younger than this is not rewritten by a check that changed nothing.
const RECORD_AGE_MAX: Duration = Duration::from_secs(3600);

/// The newest word on a tag is remembered for this time in addition to its record on disk.
const NEWEST_TTL: Duration = Duration::from_secs(24 * 3600);

/// A digest that a HEAD named waits this long for the GET that makes the tag servable.
const PROMISED_TTL: Duration = Duration::from_secs(600);

/// The most tags, and the most promises, that are remembered.
const TAG_COUNT_MAX: usize = 4096;

/// The state of all tags.
#[derive(Debug)]
pub(crate) struct TagWords {
    shared: Arc<Shared>,
    /// The newest word on a tag: when the upstream was asked, and the digest; `None`: the tag was gone. The
    /// record on disk may be older; if the disk failed, it may say something else.
    newest: Recent<Key, (AskedAt, Option<Digest>)>,
    /// Tags whose new digest a HEAD named, while the manifest itself is missing.
    promised: Recent<(Repository, Digest), (Tag, AskedAt)>,
    held_back: HeldBackWords,
    /// Serialises the writes for one tag.
    writes: Flights<Key, ()>,
}

impl TagWords {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            newest: Recent::new(NEWEST_TTL, TAG_COUNT_MAX),
            promised: Recent::new(PROMISED_TTL, TAG_COUNT_MAX),
            held_back: HeldBackWords::default(),
            writes: shared.flights(),
            shared,
        }
    }

    /// The words that are held back.
    pub(super) fn held_back(&self) -> &HeldBackWords {
        &self.held_back
    }

    /// The tag's record, as fresh as the newest word on it. A failure of the store counts as a missing
    /// record.
    pub(crate) async fn record(&self, repository: &Repository, tag: &Tag) -> Option<TagRecord> {
        let mut record = self.shared.records.tag(repository, tag).await.unwrap_or_else(|error| {
            self.shared.store_failed(&error);
            None
        })?;
        match self.newest.get(&(repository.clone(), tag.clone())) {
            Some((asked_at, Some(digest))) if digest == record.digest => record.checked_at = asked_at.time,
            // It was removed after the read above.
            Some((_, None)) => return None,
            Some(_) | None => {}
        }
        Some(record)
    }

    /// Records that the tag names this manifest, according to the answer to the request at `asked_at`. When
    /// this returns, that or a newer word is on disk, unless the disk failed.
    pub(crate) async fn confirm(
        self: &Arc<Self>,
        repository: &Repository,
        tag: &Tag,
        asked_at: AskedAt,
        named: &Named,
    ) {
        self.record_word((repository.clone(), tag.clone()), asked_at, Some(named)).await;
    }

    /// Records that the tag is gone, so that a later outage does not bring it back.
    pub(crate) async fn forget(self: &Arc<Self>, repository: &Repository, tag: &Tag, asked_at: AskedAt) {
        self.record_word((repository.clone(), tag.clone()), asked_at, None).await;
    }

    /// Notes that a HEAD of the tag named a manifest that is not stored yet. The tag becomes servable with
    /// the manifest, which the client requests next by its digest.
    pub(crate) fn promise(&self, repository: &Repository, digest: &Digest, tag: &Tag, asked_at: AskedAt) {
        self.promised.insert((repository.clone(), digest.clone()), (tag.clone(), asked_at));
    }

    /// The tag whose HEAD has just named this manifest, which is not stored yet.
    pub(crate) fn promised(&self, repository: &Repository, digest: &Digest) -> Option<Tag> {
        self.promised.get(&(repository.clone(), digest.clone())).map(|(tag, _)| tag)
    }

    /// Confirms the tag whose HEAD named this manifest, if there is one: the manifest is stored now.
    pub(crate) async fn keep_promise(self: &Arc<Self>, repository: &Repository, named: &Named) {
        let key = (repository.clone(), named.digest.clone());
        if let Some((tag, asked_at)) = self.promised.take(&key) {
            self.confirm(repository, &tag, asked_at, named).await;
        }
    }

    /// Stores a tag as an archive names it, unless the same word or a newer one is known. The times decide
    /// that, because the archive was made elsewhere.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn import(
        self: &Arc<Self>,
        repository: &Repository,
        tag: &Tag,
        record: &TagRecord,
        replace: Replace,
    ) -> Result<ImportedTag, StoreError> {
        let key = (repository.clone(), tag.clone());
        let imported = Arc::new(Mutex::new(Ok(ImportedTag::Same)));
        loop {
            let import = || {
                let (words, key, record) = (Arc::clone(self), key.clone(), record.clone());
                let imported = Arc::clone(&imported);
                async move {
                    let result = words.import_alone(&key, &record, replace).await;
                    *imported.lock() = result;
                    Ok(())
                }
            };
            if let (_, false) = self.writes.join_or_start(key.clone(), import).await {
                break;
            }
        }
        Arc::into_inner(imported).map_or(Ok(ImportedTag::Same), Mutex::into_inner)
    }

    /// No other word on the tag is written meanwhile.
    async fn import_alone(
        &self,
        key: &Key,
        record: &TagRecord,
        replace: Replace,
    ) -> Result<ImportedTag, StoreError> {
        let (repository, tag) = key;
        let storing = self.shared.inventory.storing().await;
        let newest = self.newest.get(key);
        let held = self.shared.records.tag(repository, tag).await?;
        let (held, gone_at) = match (&newest, held) {
            (Some((asked_at, None)), held) => (held, Some(asked_at.time)),
            // The disk did not take the word that the archive says, too.
            (Some((_, Some(digest))), Some(held)) if *digest == record.digest && held.digest != *digest => {
                (None, None)
            }
            // The record on disk is no newer than the word.
            (Some((asked_at, Some(digest))), Some(held)) => {
                (Some(TagRecord { digest: digest.clone(), checked_at: asked_at.time, ..held }), None)
            }
            (Some((_, Some(_))) | None, held) => (held, None),
        };
        if let Some(kept) = import_of(record, held.as_ref(), gone_at, replace) {
            return Ok(kept);
        }
        self.shared.records.put_tag(repository, tag, record).await?;
        self.shared.inventory.tag_stored(&storing, repository, tag, &record.digest);
        self.held_back.note_imported(key, record.checked_at, replace);
        if let Some((asked_at, _)) = newest {
            // An answer to a request that was sent since then is newer than the archive.
            let asked_at = AskedAt { time: record.checked_at, ..asked_at };
            self.newest.insert(key.clone(), (asked_at, Some(record.digest.clone())));
        }
        Ok(ImportedTag::Stored)
    }

    /// Writes a word unless a newer one is known. The words on one tag are written one after the other, and a
    /// caller that waited for another's write checks again after it, so an older word never overwrites a
    /// newer one.
    async fn record_word(self: &Arc<Self>, key: Key, asked_at: AskedAt, named: Option<&Named>) {
        while self.is_newest(&key, asked_at) {
            let write = || {
                let (words, key, named) = (Arc::clone(self), key.clone(), named.cloned());
                async move {
                    words.write(key, asked_at, named).await;
                    Ok(())
                }
            };
            if let (_, false) = self.writes.join_or_start(key.clone(), write).await {
                break;
            }
        }
    }

    async fn write(&self, key: Key, asked_at: AskedAt, named: Option<Named>) {
        // A newer word may have been written since the caller's check.
        if !self.is_newest(&key, asked_at) {
            return;
        }
        let digest = named.as_ref().map(|named| named.digest.clone());
        let (repository, tag) = &key;
        let written = match named {
            Some(Named { digest, media_type, size }) => {
                let record = TagRecord { digest, media_type, size, checked_at: asked_at.time };
                let storing = self.shared.inventory.storing().await;
                let written = self.write_record(repository, tag, &record).await;
                if written.is_ok() {
                    self.shared.inventory.tag_stored(&storing, repository, tag, &record.digest);
                }
                written
            }
            None => {
                let removed = self.shared.records.remove_tag(repository, tag).await;
                if removed.is_ok() {
                    self.shared.inventory.tag_removed(repository, tag);
                }
                removed
            }
        };
        if let Err(error) = written {
            self.shared.store_failed(&error);
            if digest.is_none() {
                // The record is still there. The next refusal must find and remove it.
                return;
            }
        }
        self.held_back.note_written(&key, asked_at);
        self.newest.insert(key, (asked_at, digest));
    }

    /// Writes a record if it is new, or if the one on disk is old.
    async fn write_record(
        &self,
        repository: &Repository,
        tag: &Tag,
        record: &TagRecord,
    ) -> Result<(), StoreError> {
        let on_disk = self.shared.records.tag(repository, tag).await;
        if let Ok(Some(on_disk)) = &on_disk {
            let age = record.checked_at.duration_since(on_disk.checked_at);
            if on_disk.digest == record.digest && age.is_ok_and(|age| age < RECORD_AGE_MAX) {
                return Ok(());
            }
        }
        self.shared.records.put_tag(repository, tag, record).await?;
        on_disk.map(|_| ())
    }

    /// Whether this word is newer than every known word on the tag.
    fn is_newest(&self, key: &Key, asked_at: AskedAt) -> bool {
        self.newest.get(key).is_none_or(|(newest, _)| newest.is_older_than(asked_at))
    }
}

#[cfg(test)]
mod tests;
