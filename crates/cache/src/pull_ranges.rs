//! Several ranges of a blob at once, which the store alone can answer.

use std::vec;

use oci::{ByteRange, Digest, Meant, RangeSet, Repository};
use storage::OpenBlob;

use crate::backend::Backend;
use crate::blob_reader::BlobReader;
use crate::error::PullError;

/// Parts of a stored blob, which is known to be right: one after the other, each with its range.
#[derive(Debug)]
pub struct BlobParts {
    size: u64,
    ranges: vec::IntoIter<ByteRange>,
    blob: OpenBlob,
}

impl BlobParts {
    /// The whole blob's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The ranges that are still to come: at least one at first.
    pub fn ranges(&self) -> &[ByteRange] {
        self.ranges.as_slice()
    }
}

impl Iterator for BlobParts {
    type Item = (ByteRange, BlobReader);

    fn next(&mut self) -> Option<Self::Item> {
        let range = self.ranges.next()?;
        Some((range, BlobReader::stored(self.blob.clone(), range)))
    }
}

impl Backend {
    /// Opens several ranges of a blob. None where they are not given in parts, and the whole blob is the answer
    /// (RFC 9110, section 14.2): it is not stored, its bytes have yet to be hashed and that takes long, or
    /// the ranges together are more than the blob.
    ///
    /// # Errors
    /// As [`pull_blob`](Self::pull_blob).
    pub async fn pull_ranges(
        &self,
        repository: &Repository,
        digest: &Digest,
        ranges: &RangeSet,
    ) -> Result<Option<BlobParts>, PullError> {
        // What the store cannot give is asked for as a whole, and its failure is told there.
        let Ok(Some(blob)) = self.blobs.open(digest).await else { return Ok(None) };
        self.prove_link(repository, digest).await?;
        let size = blob.size();
        let ranges = match ranges.resolve(size) {
            Meant::Whole => return Ok(None),
            Meant::Nothing => return Err(PullError::RangeNotSatisfiable { size }),
            Meant::Parts(parts) => parts.into_iter(),
        };
        let is_right = self.is_hashed_in_time(repository, digest, &blob).await;
        Ok(is_right.then_some(BlobParts { size, ranges, blob }))
    }
}
