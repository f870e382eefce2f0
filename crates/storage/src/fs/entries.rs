//! Lists all blobs of a store from its directories, a batch in memory at a time.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::vec;

use futures_util::stream::{self, Stream, StreamExt};
use oci::{Algorithm, Digest};
use rustix::fs::Stat;

use super::disk::{Names, regular_len};
use super::jobs::Sort;
use super::layout::ALGORITHMS;
use super::store::FsStore;
use crate::blob_store::BlobEntry;
use crate::error::StoreError;

/// Entries in memory at a time.
const BATCH_COUNT: usize = 1024;

/// A list of items that may each have failed, or the failure of the whole list.
type Listed<T> = Result<Vec<Result<T, StoreError>>, StoreError>;

/// The progress through the names of one directory of blobs.
enum Reading {
    Begins(PathBuf),
    GoesOn(PathBuf, Names),
    Ended,
}

impl FsStore {
    pub(super) fn all_entries(&self) -> impl Stream<Item = Result<BlobEntry, StoreError>> + '_ {
        stream::iter(ALGORITHMS)
            .then(move |algorithm| self.run(Sort::Long, move |store| store.blob_directories(algorithm)))
            .flat_map(each)
            .flat_map(move |directory| match directory {
                Ok((algorithm, path)) => self.entries_in(algorithm, path).left_stream(),
                Err(error) => stream::iter([Err(error)]).right_stream(),
            })
    }

    /// The directories of an algorithm's blobs: 256 at most, unless another program made more.
    fn blob_directories(&self, algorithm: Algorithm) -> Listed<(Algorithm, PathBuf)> {
        let parent = self.root().layout().blobs_of(algorithm);
        let mut directories = Vec::new();
        self.root().disk().list(&parent, &mut |name| {
            if name.len() == 2 {
                directories.push(Ok((algorithm, parent.join(name))));
            }
            ControlFlow::Continue(())
        })?;
        Ok(directories)
    }

    fn entries_in(
        &self,
        algorithm: Algorithm,
        directory: PathBuf,
    ) -> impl Stream<Item = Result<BlobEntry, StoreError>> + '_ {
        let batches = stream::unfold(Reading::Begins(directory), move |reading| async move {
            if matches!(reading, Reading::Ended) {
                return None;
            }
            let read = self.run(Sort::Long, move |store| store.next_entries(algorithm, reading)).await;
            Some(match read {
                Ok((entries, then)) => (Ok(entries), then),
                Err(error) => (Err(error), Reading::Ended),
            })
        });
        batches.flat_map(each)
    }

    /// The next batch, and the progress after it.
    fn next_entries(
        &self,
        algorithm: Algorithm,
        reading: Reading,
    ) -> Result<(Vec<Result<BlobEntry, StoreError>>, Reading), StoreError> {
        let (directory, mut names) = match reading {
            Reading::Begins(directory) => {
                let names = self.root().disk().names(&directory)?;
                (directory, names)
            }
            Reading::GoesOn(directory, names) => (directory, names),
            Reading::Ended => return Ok((Vec::new(), Reading::Ended)),
        };
        let batch = names.next(BATCH_COUNT)?;
        let is_last = batch.len() < BATCH_COUNT;
        let digests = batch.iter().filter_map(|name| {
            // Other files here are not the store's.
            let digest: Digest = format!("{}:{}", algorithm.as_str(), name.to_str()?).parse().ok()?;
            (self.root().layout().blob(&digest).parent() == Some(&*directory)).then_some(digest)
        });
        let entries = digests.filter_map(|digest| self.entry(&directory, digest).transpose()).collect();
        Ok((entries, if is_last { Reading::Ended } else { Reading::GoesOn(directory, names) }))
    }

    fn entry(&self, directory: &Path, digest: Digest) -> Result<Option<BlobEntry>, StoreError> {
        let stat = self.root().disk().stat(&directory.join(digest.hex()))?;
        Ok(stat.and_then(|stat| {
            let size = regular_len(&stat)?;
            let (modified_at, read_at) = (modified(&stat), at(stat.st_atime.into()));
            Some(BlobEntry { digest, size, modified_at, used_at: modified_at.max(read_at) })
        }))
    }
}

/// When the content of a file was last written, to the second.
pub(super) fn modified(stat: &Stat) -> SystemTime {
    at(stat.st_mtime.into())
}

fn at(seconds: i128) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The items of a list, or its one failure.
fn each<T>(listed: Listed<T>) -> stream::Iter<vec::IntoIter<Result<T, StoreError>>> {
    stream::iter(listed.unwrap_or_else(|error| vec![Err(error)]))
}
