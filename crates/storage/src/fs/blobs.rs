//! Blobs as files.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use std::vec;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use oci::{Algorithm, Digest};
use rustix::fs::{FileType, OFlags};
use tracing::debug;

use super::disk::{Found, size_of};
use super::file_source::FileSource;
use super::jobs::Sort;
use super::kept::Keep;
use super::layout::ALGORITHMS;
use super::store::FsStore;
use crate::blob_store::{BlobEntry, BlobStore};
use crate::content::{OpenBlob, Validator};
use crate::error::StoreError;
use crate::spool::Spool;
use crate::spool::finish::VerifiedSpool;

/// A blob up to this size is read in one go: telling the kernel what comes next would only cost a call.
const READ_AT_ONCE_BYTES: u64 = 128 * 1024;

/// A blob up to this size is kept open when it can be opened without waiting: opening it costs as much as sending it
/// does. If somebody else removes it, its room on the disk is free once it is no longer kept.
const KEPT_OPEN_BYTES_MAX: u64 = 64 * 1024;

/// A list, some items of which may have failed, or all at once.
type Listed<T> = Result<Vec<Result<T, StoreError>>, StoreError>;

#[async_trait]
impl BlobStore for FsStore {
    async fn open(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        if let Some(blob) = self.blobs().get(digest) {
            return Ok(Some(blob));
        }
        let look = self.blobs().look();
        if let Some(found) = self.open_cached(digest) {
            if let Some(blob) = found.as_ref().filter(|blob| blob.size() <= KEPT_OPEN_BYTES_MAX) {
                self.blobs().keep(digest, blob.clone(), look);
            }
            return Ok(found);
        }
        let digest = digest.clone();
        self.run(Sort::Read, move |store| store.open_blocking(&digest)).await
    }

    async fn spool(&self, digest: &Digest) -> Result<Arc<Spool>, StoreError> {
        if let Some(spool) = self.collect(digest) {
            return Ok(spool);
        }
        let open = |may_take_up| {
            let digest = digest.clone();
            self.run(Sort::Write, move |store| store.spool_blocking(&digest, may_take_up))
        };
        let spool = open(true).await?;
        let Err(error) = spool.hash_in_turns().await else { return Ok(spool) };
        // Whatever is wrong with what is there, the answer is to start anew.
        debug!(%digest, %error, "partial file cannot be read");
        self.root().metrics().store_failed(error.call());
        open(false).await
    }

    async fn admit(&self, blob: VerifiedSpool) -> Result<Option<Validator>, StoreError> {
        self.commits().commit(blob).await
    }

    async fn set_aside(&self, digest: &Digest) -> Result<(), StoreError> {
        let digest = digest.clone();
        let set_aside = move |store: &Self| {
            let path = store.root().layout().blob(&digest);
            store.blobs().change(&digest, None, || store.set_aside_blocking(&path))
        };
        self.run(Sort::Write, set_aside).await
    }

    async fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        let digest = digest.clone();
        let remove = move |store: &Self| {
            let path = store.root().layout().blob(&digest);
            store.blobs().change(&digest, None, || store.root().unlink(&path))
        };
        self.run(Sort::Write, remove).await
    }

    fn entries(&self) -> BoxStream<'_, Result<BlobEntry, StoreError>> {
        stream::iter(ALGORITHMS)
            .then(move |algorithm| self.run(Sort::Long, move |store| store.blob_directories(algorithm)))
            .flat_map(each)
            .then(move |directory| async move {
                let (algorithm, directory) = directory?;
                self.run(Sort::Long, move |store| store.entries_in(algorithm, &directory)).await
            })
            .flat_map(each)
            .boxed()
    }
}

impl FsStore {
    /// The blob, or that there is none, if that takes no waiting.
    fn open_cached(&self, digest: &Digest) -> Option<Option<OpenBlob>> {
        if !self.workshop().access.can.is_local {
            return None;
        }
        match self.root().disk().open_cached(&self.root().layout().blob(digest))? {
            Found::Regular(file, size) if size > 0 => Some(Some(self.open_blob(file, size))),
            Found::Nothing if self.root().is_known_present() => Some(None),
            _ => None,
        }
    }

    fn open_blocking(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        let path = self.root().layout().blob(digest);
        match self.root().disk().open_regular(&path, OFlags::RDONLY)? {
            Found::Regular(file, size) if size > 0 || is_of_nothing(digest) => {
                Ok(Some(self.open_blob(file, size)))
            }
            // An empty file is what a crash leaves on disks that do not keep their word.
            Found::Regular(..) | Found::Unfit => {
                self.root().try_set_aside(&path);
                Ok(None)
            }
            Found::Nothing => {
                self.root().ensure_present()?;
                Ok(None)
            }
        }
    }

    pub(super) fn set_aside_blocking(&self, path: &Path) -> Result<(), StoreError> {
        match self.root().disk().stat(path)? {
            Some(_) => self.root().set_aside(path),
            None => self.root().ensure_present(),
        }
    }

    fn open_blob(&self, file: File, size: u64) -> OpenBlob {
        if size > READ_AT_ONCE_BYTES {
            self.root().disk().expect_sequential_reads(&file);
        }
        self.open_file(file, size)
    }

    /// The verified content of a file of `size` bytes.
    pub(super) fn open_file(&self, file: File, size: u64) -> OpenBlob {
        let source = FileSource::new(Arc::clone(&self.workshop().access), file);
        OpenBlob::verified(Arc::new(source), size)
    }

    /// The directories that hold blobs of an algorithm: 256 at most, unless someone else made some.
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

    /// One directory of blobs is held in memory at a time.
    fn entries_in(&self, algorithm: Algorithm, directory: &Path) -> Listed<BlobEntry> {
        let mut digests = Vec::new();
        self.root().disk().list(directory, &mut |name| {
            let name = name.to_string_lossy();
            // Whatever else lies here is not ours to list.
            digests.extend(format!("{}:{name}", algorithm.as_str()).parse::<Digest>());
            ControlFlow::Continue(())
        })?;
        Ok(digests.into_iter().filter_map(|digest| self.entry(digest).transpose()).collect())
    }

    fn entry(&self, digest: Digest) -> Result<Option<BlobEntry>, StoreError> {
        let stat = self.root().disk().stat(&self.root().layout().blob(&digest))?;
        Ok(stat.filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).map(|stat| {
            let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
            let modified_at = UNIX_EPOCH + Duration::from_secs(seconds);
            BlobEntry { digest, size: size_of(&stat), modified_at }
        }))
    }
}

/// Each takes one of the descriptors that the store may keep.
impl Keep<Digest> for OpenBlob {
    fn weight(&self, _: &Digest) -> u64 {
        1
    }
}

/// The items of a list, or its one failure.
fn each<T>(listed: Listed<T>) -> stream::Iter<vec::IntoIter<Result<T, StoreError>>> {
    stream::iter(listed.unwrap_or_else(|error| vec![Err(error)]))
}

/// Whether it is the digest of no bytes at all.
fn is_of_nothing(digest: &Digest) -> bool {
    Digest::of(digest.algorithm(), b"") == *digest
}
