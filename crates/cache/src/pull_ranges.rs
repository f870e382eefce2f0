//! Pulls several ranges of a stored blob at once.

use std::sync::Arc;
use std::vec;

use oci::{ByteRange, Digest, RangeSet, Repository, ResolvedRanges};
use storage::OpenBlob;

use crate::blob_reader::BlobReader;
use crate::blobs::Blobs;
use crate::error::PullError;
use crate::grants::Content;
use crate::pull_blob::DESCRIBE_UNHASHED_BYTES_MIN;
use crate::shared::Shared;

/// Parts of a verified stored blob, one after the other, each with its range.
#[derive(Debug)]
pub struct BlobParts {
    size: u64,
    ranges: vec::IntoIter<ByteRange>,
    digest: Digest,
    blob: OpenBlob,
    shared: Arc<Shared>,
}

impl BlobParts {
    /// The whole blob's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The remaining ranges: at least one at first.
    pub fn ranges(&self) -> &[ByteRange] {
        self.ranges.as_slice()
    }
}

impl Iterator for BlobParts {
    type Item = (ByteRange, BlobReader);

    fn next(&mut self) -> Option<Self::Item> {
        let range = self.ranges.next()?;
        let Shared { bandwidths, inventory, .. } = &*self.shared;
        let reader = BlobReader::stored(self.blob.clone(), range);
        Some((range, reader.limited(bandwidths).of_blob(inventory, &self.digest)))
    }
}

impl Blobs {
    /// Opens several ranges of a stored blob; `None`: the whole blob is the answer.
    ///
    /// # Errors
    /// As [`pull`](Self::pull).
    pub(crate) async fn pull_ranges(
        self: &Arc<Self>,
        repository: &Repository,
        digest: &Digest,
        ranges: &RangeSet,
    ) -> Result<Option<BlobParts>, PullError> {
        // If the store fails, the caller pulls the whole blob, which counts the failure.
        let Ok(Some(blob)) = self.shared.blobs.open(digest).await else { return Ok(None) };
        self.grants.prove(Content::Blob, repository, digest).await?;
        let size = blob.size();
        let ranges = match ranges.resolve(size) {
            ResolvedRanges::WholeContent => return Ok(None),
            ResolvedRanges::Unsatisfiable => return Err(PullError::RangeNotSatisfiable { size }),
            ResolvedRanges::Parts(parts) => parts.into_iter(),
        };
        self.shared.inventory.blob_used(digest);
        let is_right = self.stored.is_known(digest, &blob)
            || size <= DESCRIBE_UNHASHED_BYTES_MIN && self.stored.is_right(digest, &blob).await;
        let (shared, digest) = (Arc::clone(&self.shared), digest.clone());
        Ok(is_right.then_some(BlobParts { size, ranges, digest, blob, shared }))
    }
}
