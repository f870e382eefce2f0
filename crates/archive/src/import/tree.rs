//! The manifests and blobs of one image, as far as an archive has them.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use oci::{Descriptor, Digest, Manifest, MediaType};
use storage::VerifiedManifest;

use crate::listing::{Refusal, Refusals};

/// The deepest nesting of indexes.
const DEPTH_MAX: usize = 4;

/// The most bytes of manifests that one image may have; they are in memory together.
const TREE_BYTES_MAX: usize = 64 << 20;

/// Images that are kept for their further names. Together they have as many bytes of manifests as one may
/// have.
const KEPT_COUNT_MAX: usize = 64;

/// An image with verified manifests.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Each manifest after those that it names, so the last one is the image itself.
    pub(crate) manifests: Vec<Member>,
    /// Whether the archive lacks the manifest of a platform.
    pub(crate) lacks_manifests: bool,
    /// Malformed manifests of platforms.
    pub(crate) refusals: Refusals,
    seen: HashSet<Digest>,
    bytes: usize,
}

/// A manifest of an image.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) media_type: MediaType,
    pub(crate) manifest: VerifiedManifest,
    /// Configuration and layers.
    pub(crate) blobs: Vec<Descriptor>,
    /// The manifests that it names.
    pub(crate) children: Vec<Digest>,
}

/// The images that were read last, for their further names.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    kept: VecDeque<(Digest, Arc<Tree>)>,
    bytes: usize,
}

impl Trees {
    /// The image of this digest, if it was read lately.
    pub(crate) fn get(&self, root: &Digest) -> Option<Arc<Tree>> {
        self.kept.iter().find(|(digest, _)| digest == root).map(|(_, tree)| Arc::clone(tree))
    }

    /// Keeps an image. Those that were read longest ago make room.
    pub(crate) fn keep(&mut self, root: &Digest, tree: Tree) -> Arc<Tree> {
        let tree = Arc::new(tree);
        self.bytes += tree.bytes;
        self.kept.push_back((root.clone(), Arc::clone(&tree)));
        while self.kept.len() > KEPT_COUNT_MAX || self.bytes > TREE_BYTES_MAX {
            let Some((_, oldest)) = self.kept.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
        tree
    }
}

impl Tree {
    /// Reads the image whose manifest or index has this digest. `bytes_of` gives the unverified bytes of a
    /// manifest, if there are any. May block, if that does.
    ///
    /// # Errors
    /// The reason why the image itself is refused.
    pub(crate) fn read<E: fmt::Display>(
        root: &Digest,
        mut bytes_of: impl FnMut(&Digest) -> Result<Option<Bytes>, E>,
    ) -> Result<Self, Refusal> {
        let mut tree = Self::default();
        if !tree.add(&mut bytes_of, root, 0)? {
            return Err(Refusal::new(root, "the archive lacks this manifest"));
        }
        Ok(tree)
    }

    /// Configurations and layers, each once.
    pub(crate) fn blobs(&self) -> Vec<Descriptor> {
        let mut seen = HashSet::new();
        let all = self.manifests.iter().flat_map(|member| &member.blobs);
        all.filter(|blob| seen.insert(blob.digest.clone())).cloned().collect()
    }

    /// Leaves out the manifests of which a blob is `missing`, and the indexes of which nothing is left.
    /// Returns whether the image itself is left.
    pub(crate) fn keep_whole(&mut self, missing: &HashSet<Digest>) -> bool {
        let mut whole = HashSet::new();
        let root = self.manifests.last().map(|member| member.manifest.digest().clone());
        self.manifests.retain(|member| {
            let has_blobs = !member.blobs.iter().any(|blob| missing.contains(&blob.digest));
            let has_children =
                member.children.is_empty() || member.children.iter().any(|child| whole.contains(child));
            let is_whole = has_blobs && has_children;
            if is_whole {
                whole.insert(member.manifest.digest().clone());
            }
            is_whole
        });
        root.is_some_and(|root| whole.contains(&root))
    }

    /// Returns whether the archive has the manifest.
    fn add<E: fmt::Display>(
        &mut self,
        bytes_of: &mut impl FnMut(&Digest) -> Result<Option<Bytes>, E>,
        digest: &Digest,
        depth: usize,
    ) -> Result<bool, Refusal> {
        if !self.seen.insert(digest.clone()) {
            return Ok(true);
        }
        let refused = |reason: &dyn fmt::Display| Refusal::new(digest, reason);
        if depth > DEPTH_MAX {
            return Err(refused(&format!("indexes are nested deeper than {DEPTH_MAX} levels")));
        }
        let Some(bytes) = bytes_of(digest).map_err(|error| refused(&error))? else { return Ok(false) };
        self.bytes += bytes.len();
        if self.bytes > TREE_BYTES_MAX {
            return Err(refused(&format!("the image's manifests have more than {TREE_BYTES_MAX} bytes")));
        }
        let verified = VerifiedManifest::check(bytes, Some(digest)).map_err(|error| refused(&error))?;
        let manifest = Manifest::parse(verified.bytes(), None).map_err(|error| refused(&error))?;
        let children: Vec<_> = manifest.manifests.into_iter().map(|child| child.digest).collect();
        for child in &children {
            match self.add(bytes_of, child, depth + 1) {
                Ok(is_there) => self.lacks_manifests |= !is_there,
                Err(refusal) => {
                    self.lacks_manifests = true;
                    self.refusals.push(refusal);
                }
            }
        }
        let blobs = manifest.config.into_iter().chain(manifest.layers).collect();
        self.manifests.push(Member { media_type: manifest.media_type, manifest: verified, blobs, children });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use oci::Algorithm;

    use super::*;

    #[test]
    fn images_are_kept_within_bounds_of_number_and_bytes() {
        let digest = |number: usize| Digest::of(Algorithm::Sha256, &number.to_le_bytes());
        let mut trees = Trees::default();
        for number in 0..=KEPT_COUNT_MAX {
            trees.keep(&digest(number), Tree { bytes: 1000, ..Tree::default() });
        }
        assert!(trees.get(&digest(0)).is_none() && trees.get(&digest(1)).is_some());
        trees.keep(&digest(100), Tree { bytes: TREE_BYTES_MAX - 1500, ..Tree::default() });
        assert!(trees.get(&digest(100)).is_some() && trees.get(&digest(KEPT_COUNT_MAX)).is_some());
        assert!(trees.get(&digest(KEPT_COUNT_MAX - 1)).is_none());
        trees.keep(&digest(101), Tree { bytes: TREE_BYTES_MAX, ..Tree::default() });
        assert_eq!((trees.kept.len(), trees.bytes), (1, TREE_BYTES_MAX));
    }
}
