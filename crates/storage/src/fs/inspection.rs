//! Reads stored files past all caches, and tries whether the disk can be written.

use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use oci::{Algorithm, Digest};
use rustix::fs::OFlags;

use super::disk::Found;
use super::jobs::Sort;
use super::layout::ALGORITHMS;
use super::publish::{self, Durability};
use super::store::FsStore;
use crate::content::OpenBlob;
use crate::error::StoreError;
use crate::inspect::{Inspect, Part};

/// Bytes of one trial write: a block of common file systems, so that a full disk shows.
const TRIAL_BYTES: usize = 4096;

/// Directories with one first byte of digests.
const FIRST_BYTES: usize = 256;

#[async_trait]
impl Inspect for FsStore {
    async fn digests(
        &self,
        part: Part,
        after: Option<&Digest>,
        count_max: usize,
    ) -> Result<Vec<Digest>, StoreError> {
        let after = after.cloned();
        self.run(Sort::Long, move |store| store.digests_blocking(part, after, count_max)).await
    }

    async fn open_to_hash(&self, part: Part, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        let digest = digest.clone();
        self.run(Sort::Long, move |store| store.open_to_hash_blocking(part, &digest)).await
    }

    async fn try_write(&self) -> Result<(), StoreError> {
        self.run(Sort::Write, Self::try_write_blocking).await
    }
}

impl FsStore {
    fn digests_blocking(
        &self,
        part: Part,
        mut after: Option<Digest>,
        count_max: usize,
    ) -> Result<Vec<Digest>, StoreError> {
        let mut page = Vec::new();
        for algorithm in ALGORITHMS {
            if after.as_ref().is_some_and(|after| after.algorithm() > algorithm) {
                continue;
            }
            let first = after.as_ref().filter(|after| after.algorithm() == algorithm).map_or(0, first_byte);
            for byte in first..FIRST_BYTES {
                let directory = self.directory_of(part, algorithm, byte);
                // A file in another directory than its digest's is not the store's.
                let parse = |name: &str| {
                    let digest: Digest = format!("{}:{name}", algorithm.as_str()).parse().ok()?;
                    (first_byte(&digest) == byte).then_some(digest)
                };
                let digests = self.first_names(&directory, after.as_ref(), count_max - page.len(), &parse)?;
                page.extend(digests);
                if page.len() >= count_max {
                    return Ok(page);
                }
            }
            after = None;
        }
        if page.is_empty() {
            self.root().ensure_present()?;
        }
        Ok(page)
    }

    fn directory_of(&self, part: Part, algorithm: Algorithm, byte: usize) -> PathBuf {
        let layout = self.root().layout();
        let parent = match part {
            Part::Blobs => layout.blobs_of(algorithm),
            Part::Manifests => layout.manifests_of(algorithm),
        };
        parent.join(format!("{byte:02x}"))
    }

    fn open_to_hash_blocking(&self, part: Part, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        let layout = self.root().layout();
        let path = match part {
            Part::Blobs => layout.blob(digest),
            Part::Manifests => layout.manifest(digest),
        };
        match self.root().disk().open_regular(&path, OFlags::RDONLY)? {
            Found::Regular(file, size) => {
                self.root().disk().expect_random_reads(&file);
                Ok(Some(self.open_cold_file(file, size)))
            }
            Found::Unfit => Ok(None),
            Found::Nothing => self.root().ensure_present().map(|()| None),
        }
    }

    /// Writes a file in `tmp`, as every published file is written, and removes it.
    fn try_write_blocking(&self) -> Result<(), StoreError> {
        self.root().ensure_present()?;
        let temporary = self.root().temporary_path();
        let bytes = [Bytes::from_static(&[0; TRIAL_BYTES])];
        publish::trial(self.root(), &temporary, &bytes, Durability::ProcessDeath)
    }
}

fn first_byte(digest: &Digest) -> usize {
    digest.hex().get(..2).and_then(|hex| usize::from_str_radix(hex, 16).ok()).unwrap_or(0)
}
