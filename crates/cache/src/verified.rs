//! Stored blobs whose bytes are known to be right: hashed by this process, and unchanged since.
//!
//! Truncating or overwriting a file changes its validator. Silent damage by the disk is found when the process starts
//! again, or when the entry here expires.

use std::io;
use std::time::Duration;

use oci::Digest;
use storage::{OpenBlob, Validator};

use crate::recent::Recent;

/// A blob is trusted for this time without being hashed again.
const VERIFIED_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// Blobs that are known at a time. A further one costs the oldest another hashing.
const VERIFIED_COUNT_MAX: usize = 32 * 1024;

#[derive(Debug)]
pub(crate) struct Verified(Recent<Digest, Validator>);

impl Verified {
    pub(crate) fn new() -> Self {
        Self(Recent::new(VERIFIED_TTL, VERIFIED_COUNT_MAX))
    }

    /// Whether the blob was hashed before and is unchanged, or nobody can have changed it.
    pub(crate) fn is_known(&self, digest: &Digest, blob: &OpenBlob) -> bool {
        let known = || self.0.get(digest).is_some_and(|known| blob.validator() == Some(known));
        blob.is_immutable() || known()
    }

    /// Notes that the blob's bytes are right, if they still are those of the content that had the validator
    /// `verified`. A later change to the content changes its validator, so that it no longer matches.
    pub(crate) fn note(&self, digest: &Digest, blob: &OpenBlob, verified: &Validator) {
        if let Some(validator) = blob.validator().filter(|now| now.has_bytes_of(verified)) {
            self.note_stored(digest, validator);
        }
    }

    /// Notes that the bytes of the content with this validator are right, as its store says.
    pub(crate) fn note_stored(&self, digest: &Digest, validator: Validator) {
        self.0.insert(digest.clone(), validator);
    }

    /// Whether the blob has its digest; hashes it if that is not known.
    ///
    /// # Errors
    /// I/O errors: then nothing is known. A file that is shorter than it was is wrong, not unreadable.
    pub(crate) async fn check(&self, digest: &Digest, blob: &OpenBlob) -> io::Result<bool> {
        if self.is_known(digest, blob) {
            return Ok(true);
        }
        // Taken before the hashing, so that a change during it shows.
        let validator = blob.validator();
        let is_right = match blob.digest(digest.algorithm()).await {
            Ok(got) => got == *digest,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        };
        if let (true, Some(validator)) = (is_right, validator) {
            self.0.insert(digest.clone(), validator);
        }
        Ok(is_right)
    }
}
