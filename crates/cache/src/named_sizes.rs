//! The sizes of blobs as the manifests of a repository name them. They are claims; they help with blobs that come
//! without a size.

use std::time::Duration;

use oci::{Digest, Manifest, Repository};

use crate::recent::Recent;

/// A size is remembered for this time: a client asks for the blobs of a manifest next.
const SIZES_TTL: Duration = Duration::from_secs(3600);

/// Sizes that are remembered at a time.
const SIZE_COUNT_MAX: usize = 4096;

/// The most sizes that one manifest adds. Images have some dozens of layers.
const SIZE_COUNT_PER_MANIFEST_MAX: usize = 256;

/// Claimed sizes, by repository and blob.
#[derive(Debug)]
pub(crate) struct NamedSizes(Recent<(Repository, Digest), u64>);

impl NamedSizes {
    pub(crate) fn new() -> Self {
        Self(Recent::new(SIZES_TTL, SIZE_COUNT_MAX))
    }

    /// Notes the sizes that a manifest names.
    pub(crate) fn note(&self, repository: &Repository, manifest: &Manifest) {
        let named = manifest.config.iter().chain(&manifest.layers);
        for descriptor in named.take(SIZE_COUNT_PER_MANIFEST_MAX) {
            if let Some(size) = descriptor.size {
                self.0.insert((repository.clone(), descriptor.digest.clone()), size);
            }
        }
    }

    /// The blob's size in bytes, if a manifest of the repository has named it lately.
    pub(crate) fn get(&self, repository: &Repository, digest: &Digest) -> Option<u64> {
        self.0.get(&(repository.clone(), digest.clone()))
    }
}
