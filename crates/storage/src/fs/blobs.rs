//! Blobs as files.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use oci::Digest;
use rustix::fs::OFlags;
use tracing::debug;

use super::disk::Found;
use super::file_cache::Cached;
use super::file_source::FileSource;
use super::jobs::Sort;
use super::store::FsStore;
use crate::blob_store::{BlobEntry, BlobStore};
use crate::content::{OpenBlob, Validator};
use crate::error::StoreError;
use crate::spool::Spool;
use crate::spool::finish::VerifiedSpool;

/// A blob up to this size is read in one call, so a hint to the kernel would be wasted.
const READ_AT_ONCE_BYTES: u64 = 128 * 1024;

/// A blob up to this size is kept open if it can be opened without blocking: opening it costs as much as
/// sending it. If another program removes it, its disk space is freed when its entry is dropped.
const KEPT_OPEN_BYTES_MAX: u64 = 64 * 1024;

#[async_trait]
impl BlobStore for FsStore {
    async fn open(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        if let Some(blob) = self.blobs().get(digest) {
            return Ok(Some(blob));
        }
        let stamp = self.blobs().read_stamp();
        if let Some(found) = self.open_cached(digest) {
            if let Some(blob) = found.as_ref().filter(|blob| blob.size() <= KEPT_OPEN_BYTES_MAX) {
                self.blobs().insert_read(digest, blob.clone(), stamp);
            }
            return Ok(found);
        }
        let digest = digest.clone();
        self.run(Sort::Read, move |store| store.open_blocking(&digest)).await
    }

    async fn sizes(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>, StoreError> {
        let digests = digests.to_vec();
        self.run(Sort::Read, move |store| store.sizes_blocking(&digests)).await
    }

    async fn spool(&self, digest: &Digest) -> Result<Arc<Spool>, StoreError> {
        if let Some(spool) = self.collect(digest) {
            return Ok(spool);
        }
        let open = |may_resume| {
            let digest = digest.clone();
            self.run(Sort::Write, move |store| store.spool_blocking(&digest, may_resume))
        };
        let spool = open(true).await?;
        let Err(error) = spool.hash_in_turns().await else { return Ok(spool) };
        // Whatever is wrong with the file, the remedy is to start again.
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

    async fn remove(&self, digest: &Digest) -> Result<u64, StoreError> {
        let digest = digest.clone();
        let remove = move |store: &Self| {
            let path = store.root().layout().blob(&digest);
            store.blobs().change(&digest, None, || store.root().remove(&path))
        };
        self.run(Sort::Write, remove).await
    }

    fn entries(&self) -> BoxStream<'_, Result<BlobEntry, StoreError>> {
        self.all_entries().boxed()
    }
}

impl FsStore {
    /// Opens a blob without blocking; `None`: that would block. `Some(None)`: there is no such blob.
    fn open_cached(&self, digest: &Digest) -> Option<Option<OpenBlob>> {
        if !self.partial_files().access.can.is_local {
            return None;
        }
        match self.root().disk().open_cached(&self.root().layout().blob(digest))? {
            Found::Regular(file, size) if size > 0 => Some(Some(self.open_blob(file, size))),
            Found::Nothing if self.root().is_known_present() => Some(None),
            _ => None,
        }
    }

    fn sizes_blocking(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>, StoreError> {
        let mut sizes = Vec::with_capacity(digests.len());
        for digest in digests {
            let len = self.root().len_of(&self.root().layout().blob(digest))?;
            sizes.push(len.filter(|len| *len > 0 || is_of_empty_content(digest)));
        }
        if sizes.iter().any(Option::is_none) {
            self.root().ensure_present()?;
        }
        Ok(sizes)
    }

    fn open_blocking(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        let path = self.root().layout().blob(digest);
        match self.root().disk().open_regular(&path, OFlags::RDONLY)? {
            Found::Regular(file, size) if size > 0 || is_of_empty_content(digest) => {
                Ok(Some(self.open_blob(file, size)))
            }
            // A crash leaves an empty file on a disk that ignores syncs.
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

    /// The content of a file of `size` bytes, which is to be hashed and leaves the page cache as it was.
    pub(super) fn open_cold_file(&self, file: File, size: u64) -> OpenBlob {
        let source = FileSource::new_cold(Arc::clone(&self.partial_files().access), file);
        OpenBlob::verified(Arc::new(source), size)
    }

    /// The verified content of a file of `size` bytes.
    pub(super) fn open_file(&self, file: File, size: u64) -> OpenBlob {
        let source = FileSource::new(Arc::clone(&self.partial_files().access), file);
        OpenBlob::verified(Arc::new(source), size)
    }
}

/// Each entry takes one of the file descriptors that the store may keep open.
impl Cached<Digest> for OpenBlob {
    fn weight(&self, _: &Digest) -> u64 {
        1
    }
}

/// Whether this is the digest of the empty content.
fn is_of_empty_content(digest: &Digest) -> bool {
    Digest::of(digest.algorithm(), b"") == *digest
}
