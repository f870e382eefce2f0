//! Pages of tags and referrers as files: one line of JSON about the page, then the page as the upstream
//! served it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use oci::{Algorithm, Digest, Repository};
use serde::{Deserialize, Serialize};

use super::disk::regular_len;
use super::entries::modified;
use super::publish::{self, Durability};
use super::small_file::Content;
use super::store::FsStore;
use super::timestamp;
use crate::error::StoreError;
use crate::record_store::{HeldLists, LIST_COUNT_MAX, StoredList};

/// Larger than any page with its line: pages are refused above 4 MiB.
const LIST_FILE_BYTES_MAX: usize = 5 * 1024 * 1024;

/// The first line of a page's file.
#[derive(Serialize, Deserialize)]
struct ListLine {
    /// The query of the request.
    key: String,
    media_type: String,
    next: Option<String>,
    filters_applied: Option<String>,
    /// RFC 3339, in UTC.
    seen_at: String,
    /// The digest of the page, which its file's name does not contain.
    digest: String,
}

impl FsStore {
    pub(super) fn list_blocking(
        &self,
        repository: &Repository,
        key: &str,
    ) -> Result<Option<StoredList>, StoreError> {
        let path = self.root().layout().list(repository, key);
        let list = match self.read_file(&path, LIST_FILE_BYTES_MAX)? {
            Content::Nothing => return Ok(None),
            Content::Unfit => None,
            Content::Bytes(bytes) => parse(key, &bytes),
        };
        if list.is_none() {
            self.root().try_set_aside(&path);
        }
        Ok(list)
    }

    pub(super) fn put_list_blocking(
        &self,
        repository: &Repository,
        key: &str,
        list: &StoredList,
    ) -> Result<(), StoreError> {
        let path = self.root().layout().list(repository, key);
        if self.root().disk().stat(&path)?.is_none() {
            self.make_room_for_a_list(&self.root().layout().lists(repository))?;
        }
        let line = ListLine {
            key: key.to_owned(),
            media_type: list.media_type.clone(),
            next: list.next.clone(),
            filters_applied: list.filters_applied.clone(),
            seen_at: timestamp::format(list.seen_at),
            digest: Digest::of(Algorithm::Sha256, &list.bytes).to_string(),
        };
        let mut line = serde_json::to_vec(&line).expect("strings are always JSON");
        line.push(b'\n');
        publish::bytes(self.root(), &path, &[line.into(), list.bytes.clone()], Durability::PowerLoss)
    }

    /// Measures the pages in a directory.
    pub(super) fn measure_lists(&self, directory: &Path) -> Result<HeldLists, StoreError> {
        let mut lists = HeldLists::default();
        let mut failure = None;
        self.root().disk().list(
            directory,
            &mut |name| match self.root().disk().stat(&directory.join(name)) {
                Ok(stat) => {
                    if let Some(stat) = stat
                        && let Some(len) = regular_len(&stat)
                    {
                        lists.held.bytes += len;
                        lists.held.count += 1;
                        lists.stored_at = lists.stored_at.max(Some(modified(&stat)));
                    }
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            },
        )?;
        match failure {
            Some(error) => Err(error),
            None if lists.held.count == 0 => self.root().ensure_present().map(|()| lists),
            None => Ok(lists),
        }
    }

    /// Removes the oldest page of a repository that has reached the bound: clients choose the keys, and must
    /// not be able to fill the disk.
    fn make_room_for_a_list(&self, directory: &Path) -> Result<(), StoreError> {
        let mut oldest: Option<(i64, PathBuf)> = None;
        let mut count = 0;
        let mut failure = None;
        let mut visit = |name: &std::ffi::OsStr| {
            count += 1;
            let path = directory.join(name);
            match self.root().disk().stat(&path) {
                Ok(Some(stat)) if oldest.as_ref().is_none_or(|(written, _)| stat.st_mtime < *written) => {
                    oldest = Some((stat.st_mtime, path));
                }
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
            ControlFlow::Continue(())
        };
        self.root().disk().list(directory, &mut visit)?;
        match (failure, oldest) {
            (Some(error), _) => Err(error),
            (None, Some((_, path))) if count >= LIST_COUNT_MAX => self.root().unlink(&path),
            (None, _) => Ok(()),
        }
    }
}

/// The page that was stored under `key`; `None`: the file is damaged.
fn parse(key: &str, file: &Bytes) -> Option<StoredList> {
    let end = file.iter().position(|byte| *byte == b'\n')?;
    let line: ListLine = serde_json::from_slice(&file[..end]).ok()?;
    let bytes = file.slice(end + 1..);
    let is_whole = line.key == key && line.digest == Digest::of(Algorithm::Sha256, &bytes).to_string();
    is_whole.then_some(())?;
    Some(StoredList {
        bytes,
        media_type: line.media_type,
        next: line.next,
        filters_applied: line.filters_applied,
        seen_at: timestamp::parse(&line.seen_at)?,
    })
}

#[cfg(test)]
mod tests;
