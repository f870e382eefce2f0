//! Remembers stored content with verified bytes: hashed by this process, and unchanged since.
//!
//! Truncating or overwriting a file changes its validator. Silent damage by the disk is found after a
//! restart, or when the entry here expires.

use std::io;
use std::time::Duration;

use oci::Digest;
use storage::{OpenBlob, Validator};

use crate::recent::Recent;

/// A blob is trusted for this time without being hashed again.
const VERIFIED_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// The most entries. A further one replaces the oldest, which is then hashed again.
const VERIFIED_COUNT_MAX: usize = 32 * 1024;

#[derive(Debug)]
pub(crate) struct Verified(Recent<Digest, Validator>);

impl Verified {
    pub(crate) fn new() -> Self {
        Self(Recent::new(VERIFIED_TTL, VERIFIED_COUNT_MAX))
    }

    /// Whether the blob was hashed before and is unchanged, or cannot have changed.
    pub(crate) fn is_known(&self, digest: &Digest, blob: &OpenBlob) -> bool {
        let known = || self.0.get(digest).is_some_and(|known| blob.validator() == Some(known));
        blob.is_immutable() || known()
    }

    /// Notes that the blob's bytes are right, if they are still those of the content with the validator
    /// `verified`. A later change of the content changes its validator, so that it no longer matches.
    pub(crate) fn note(&self, digest: &Digest, blob: &OpenBlob, verified: &Validator) {
        if let Some(validator) = blob.validator().filter(|now| now.has_bytes_of(verified)) {
            self.note_stored(digest, validator);
        }
    }

    /// Notes that the bytes of the content with this validator are right, according to the store.
    pub(crate) fn note_stored(&self, digest: &Digest, validator: Validator) {
        self.0.insert(digest.clone(), validator);
    }

    /// Whether the blob has its digest; hashes it if necessary.
    ///
    /// # Errors
    /// I/O errors. A file that has become shorter is wrong, and no error.
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
