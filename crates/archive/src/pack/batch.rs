//! One archive of several images.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::sync::Arc;

use oci::{Descriptor, Digest};

use crate::image_index::{ImageIndex, IndexEntry};
use crate::import::Tree;
use crate::layout::{ANNOUNCEMENT, INDEX, blob_name};
use crate::listing::Found;
use crate::source::Source;
use crate::tarball::{END, header_of, padding_after};

/// The bounds on one archive: the receiver has its manifests and their names in memory.
const IMAGE_COUNT_MAX: usize = 500;
const MANIFEST_BYTES_TOTAL_MAX: usize = 32 << 20;
const BLOB_COUNT_MAX: usize = 20_000;

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Images of one registry that go into one archive.
#[derive(Debug)]
pub struct Batch<'s> {
    source: &'s Source,
    registry: String,
    images: Vec<(Found, Arc<Tree>)>,
    manifest_bytes: usize,
    blobs: HashSet<Digest>,
}

/// The contents of an archive, counted.
#[derive(Clone, Copy)]
struct Contents {
    images: usize,
    manifest_bytes: usize,
    blobs: usize,
}

impl Contents {
    fn are_within_bounds(self) -> bool {
        self.images <= IMAGE_COUNT_MAX
            && self.manifest_bytes <= MANIFEST_BYTES_TOTAL_MAX
            && self.blobs <= BLOB_COUNT_MAX
    }
}

/// The receiver of an archive's bytes.
pub trait Receiver: Write {
    /// An image begins.
    fn begin(&mut self, image: &str);
}

impl<'s> Batch<'s> {
    pub(super) fn new(source: &'s Source, registry: String) -> Self {
        Self { source, registry, images: Vec::new(), manifest_bytes: 0, blobs: HashSet::new() }
    }

    /// The registry, by its own name.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The blobs that its images name.
    pub fn blobs(&self) -> impl Iterator<Item = &Digest> {
        self.blobs.iter()
    }

    /// Whether the archive stays within its bounds with this image. An empty one takes any.
    pub(super) fn has_room_for(&self, tree: &Tree) -> bool {
        let after = Contents {
            images: self.images.len() + 1,
            manifest_bytes: self.manifest_bytes + bytes_of(tree),
            blobs: self.blobs.len() + tree.blobs().len(),
        };
        self.images.is_empty() || after.are_within_bounds()
    }

    pub(super) fn add(&mut self, image: Found, tree: Arc<Tree>) {
        self.manifest_bytes += bytes_of(&tree);
        self.blobs.extend(tree.blobs().into_iter().map(|blob| blob.digest));
        self.images.push((image, tree));
    }

    /// Writes the archive, with those of the blobs that are `missing` and that the directory has. Blocks.
    ///
    /// # Errors
    /// I/O errors of `out`, and of the directory.
    pub fn write(&self, missing: &HashSet<Digest>, out: &mut dyn Receiver) -> io::Result<()> {
        document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, out)?;
        let names = || ImageIndex::new(self.entries()).to_bytes();
        document(ANNOUNCEMENT, &names(), out)?;
        let mut sent = HashSet::new();
        for (image, tree) in &self.images {
            out.begin(&format!("{}/{}", self.registry, image.in_registry()));
            // An index comes before its manifests, so that the receiver knows where they belong.
            for member in tree.manifests.iter().rev() {
                if sent.insert(member.manifest.digest().clone()) {
                    document(&blob_name(member.manifest.digest()), member.manifest.bytes(), out)?;
                }
            }
            for blob in tree.blobs() {
                if missing.contains(&blob.digest) && sent.insert(blob.digest.clone()) {
                    self.blob(&blob, out)?;
                }
            }
        }
        document(INDEX, &names(), out)?;
        out.write_all(&END)
    }

    fn entries(&self) -> Vec<IndexEntry> {
        let entries = |(image, tree): &(Found, Arc<Tree>)| {
            let root = tree.manifests.last().expect("a tree has its root");
            let (media_type, size) = (root.media_type.as_str(), root.manifest.bytes().len() as u64);
            let entry =
                |name: &str, at| IndexEntry::new(&self.registry, name, media_type, &image.digest, size, at);
            if image.tags.is_empty() {
                return vec![entry(&format!("{}@{}", image.repository, image.digest), None)];
            }
            let tags = image.tags.iter();
            tags.map(|(tag, at)| entry(&format!("{}:{tag}", image.repository), Some(*at))).collect()
        };
        self.images.iter().flat_map(entries).collect()
    }

    /// Writes a blob, if the directory has it.
    fn blob(&self, blob: &Descriptor, out: &mut dyn Receiver) -> io::Result<()> {
        let digest = &blob.digest;
        // One that cannot be read is missing for the receiver, which names it.
        let Ok(Some((mut file, size))) = self.source.content(digest) else { return Ok(()) };
        // The receiver refuses a file of another size; the rest of one that is too large is of no use to it.
        let size = blob.size.map_or(size, |claimed| claimed.min(size));
        out.write_all(&header_of(&blob_name(digest), size))?;
        let (mut left, mut piece) = (size, vec![0; PIECE_BYTES]);
        while left > 0 {
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let read = match file.read(&mut piece[..len]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The file became shorter, or its disk fails: the receiver refuses a blob with zeros.
                Ok(0) | Err(_) => {
                    piece[..len].fill(0);
                    len
                }
                Ok(read) => read,
            };
            out.write_all(&piece[..read])?;
            left -= read as u64;
        }
        out.write_all(&zeros(size))
    }
}

fn bytes_of(tree: &Tree) -> usize {
    tree.manifests.iter().map(|member| member.manifest.bytes().len()).sum()
}

fn document(name: &str, bytes: &[u8], out: &mut dyn Receiver) -> io::Result<()> {
    let size = bytes.len() as u64;
    out.write_all(&header_of(name, size))?;
    out.write_all(bytes)?;
    out.write_all(&zeros(size))
}

/// The padding after a content.
fn zeros(size: u64) -> Vec<u8> {
    vec![0; usize::try_from(padding_after(size)).expect("less than a block")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_of_an_archive_counts() {
        let most = Contents {
            images: IMAGE_COUNT_MAX,
            manifest_bytes: MANIFEST_BYTES_TOTAL_MAX,
            blobs: BLOB_COUNT_MAX,
        };
        assert!(most.are_within_bounds());
        for more in [
            Contents { images: IMAGE_COUNT_MAX + 1, ..most },
            Contents { manifest_bytes: MANIFEST_BYTES_TOTAL_MAX + 1, ..most },
            Contents { blobs: BLOB_COUNT_MAX + 1, ..most },
        ] {
            assert!(!more.are_within_bounds());
        }
    }
}
