//! The manifests and blobs of one image, as far as a source has them.

use std::collections::HashSet;

use oci::{Digest, MANIFEST_BYTES_MAX, Manifest, MediaType};
use storage::VerifiedManifest;

use crate::confined::read_all;
use crate::listing::Refusal;
use crate::source::Source;

/// The deepest nesting of indexes.
const DEPTH_MAX: usize = 4;

/// The most bytes of manifests that one image may have; they are in memory together.
const TREE_BYTES_MAX: usize = 64 << 20;

/// An image with verified manifests.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Each manifest after those that it names, so the last one is the image itself.
    pub(super) manifests: Vec<(MediaType, VerifiedManifest)>,
    /// Configurations and layers, each once.
    pub(super) blobs: Vec<Digest>,
    /// Whether the source lacks the manifest of a platform.
    pub(super) lacks_manifests: bool,
    /// Malformed manifests of platforms.
    pub(super) refusals: Vec<Refusal>,
    seen: HashSet<Digest>,
    bytes: usize,
}

impl Tree {
    /// Reads the image whose manifest or index has this digest. Blocks.
    ///
    /// # Errors
    /// The reason why the image itself is refused.
    pub(super) fn read(source: &Source, root: &Digest) -> Result<Self, Refusal> {
        let mut tree = Self::default();
        if !tree.add(source, root, 0)? {
            return Err(Refusal::new(root, "the source lacks this manifest"));
        }
        Ok(tree)
    }

    /// Returns whether the source has the manifest.
    fn add(&mut self, source: &Source, digest: &Digest, depth: usize) -> Result<bool, Refusal> {
        if !self.seen.insert(digest.clone()) {
            return Ok(true);
        }
        let refused = |reason: &dyn std::fmt::Display| Refusal::new(digest, reason);
        if depth > DEPTH_MAX {
            return Err(refused(&format!("indexes are nested deeper than {DEPTH_MAX} levels")));
        }
        let Some((file, _)) = source.content(digest).map_err(|error| refused(&error))? else {
            return Ok(false);
        };
        let bytes = read_all(file, MANIFEST_BYTES_MAX).map_err(|error| refused(&error))?;
        self.bytes += bytes.len();
        if self.bytes > TREE_BYTES_MAX {
            return Err(refused(&format!("the image's manifests have more than {TREE_BYTES_MAX} bytes")));
        }
        let verified =
            VerifiedManifest::check(bytes.into(), Some(digest)).map_err(|error| refused(&error))?;
        let manifest = Manifest::parse(verified.bytes(), None).map_err(|error| refused(&error))?;
        for child in &manifest.manifests {
            match self.add(source, &child.digest, depth + 1) {
                Ok(is_there) => self.lacks_manifests |= !is_there,
                Err(refusal) => {
                    self.lacks_manifests = true;
                    self.refusals.push(refusal);
                }
            }
        }
        for blob in manifest.config.iter().chain(&manifest.layers) {
            if self.seen.insert(blob.digest.clone()) {
                self.blobs.push(blob.digest.clone());
            }
        }
        self.manifests.push((manifest.media_type, verified));
        Ok(true)
    }
}
