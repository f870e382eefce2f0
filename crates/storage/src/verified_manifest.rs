//! Manifests whose digest was computed from their bytes.

use bytes::Bytes;
use oci::{Algorithm, Digest};

use crate::error::VerifyError;

/// A manifest's bytes and their digest. Only [`check`](Self::check) makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedManifest {
    digest: Digest,
    bytes: Bytes,
}

impl VerifiedManifest {
    /// Hashes `bytes`. They must have the `wanted` digest, if the client named one or the upstream claims
    /// one; otherwise they get their SHA-256 digest. A signed manifest of schema 1 is hashed without its
    /// signatures, as [`Digest::of_manifest`] says.
    ///
    /// # Errors
    /// [`VerifyError::Mismatch`].
    pub fn check(bytes: Bytes, wanted: Option<&Digest>) -> Result<Self, VerifyError> {
        match wanted {
            Some(wanted) if wanted.is_of_manifest(&bytes) => Ok(Self { digest: wanted.clone(), bytes }),
            Some(wanted) => {
                let found = Digest::of(wanted.algorithm(), &bytes);
                Err(VerifyError::Mismatch { wanted: wanted.clone(), found })
            }
            None => Ok(Self { digest: Digest::of_manifest(Algorithm::Sha256, &bytes), bytes }),
        }
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
