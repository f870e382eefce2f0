//! Packs the images of a directory into archives, for a wharf that runs.
//!
//! Each archive has a bounded number of images of one registry, first their names, then for each image the
//! manifests and the blobs. The receiver says which blobs it lacks, so no other is read. Nothing is verified
//! here but manifests: the receiver does that.

mod batch;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use oci::{Digest, MANIFEST_BYTES_MAX, Repository};

use crate::confined::read_all;
use crate::import::{NO_REGISTRY, Tree, Trees, other_registry};
use crate::layout::INDEX;
use crate::listing::{Found, Refusal, Refusals};
use crate::source::Source;
pub use batch::{Batch, Receiver};

/// Finds the registry that a directory's images belong to.
pub trait Registries {
    /// The reason why nothing can be imported.
    type Error: From<io::Error>;

    /// The name of the registry with this name or alias, or the reason why its images are refused.
    ///
    /// # Errors
    /// The receiver cannot be asked.
    fn resolve(&mut self, name: &str) -> Result<Result<String, String>, Self::Error>;
}

/// An image with its manifests, and the name of its registry.
type Placed = (String, Found, Arc<Tree>);

/// The images of a directory that are not packed yet.
#[derive(Debug)]
pub struct Packer<'s> {
    source: &'s Source,
    /// The registry that the operator named, by its own name.
    chosen: Option<String>,
    parts: VecDeque<Option<Repository>>,
    images: VecDeque<Found>,
    /// An image that did not fit into the archive before.
    left: Option<Placed>,
    trees: Trees,
    refusals: Refusals,
}

impl<'s> Packer<'s> {
    /// Begins with all images of `source`. `chosen` is the registry that the operator named, by its own name.
    /// Blocks, as all methods do.
    ///
    /// # Errors
    /// The source cannot be listed.
    pub fn new(source: &'s Source, chosen: Option<String>) -> io::Result<Self> {
        let (parts, refusals) = source.parts()?;
        let (images, trees) = (VecDeque::new(), Trees::default());
        Ok(Self { source, chosen, parts: parts.into(), images, left: None, trees, refusals })
    }

    /// The next archive; `None`: there are no more images.
    ///
    /// # Errors
    /// Those of `registries`.
    pub fn next<R: Registries>(&mut self, registries: &mut R) -> Result<Option<Batch<'s>>, R::Error> {
        let mut batch: Option<Batch<'s>> = None;
        loop {
            let next = match self.left.take() {
                Some(left) => Some(left),
                None => self.image(registries)?,
            };
            let Some((registry, image, tree)) = next else { return Ok(batch) };
            let open = batch.get_or_insert_with(|| Batch::new(self.source, registry.clone()));
            if open.registry() != registry || !open.has_room_for(&tree) {
                self.left = Some((registry, image, tree));
                return Ok(batch);
            }
            open.add(image, tree);
        }
    }

    /// The parts of the directory that were refused since the last call.
    pub fn refusals(&mut self) -> Refusals {
        std::mem::take(&mut self.refusals)
    }

    /// The next image with its registry and its manifests.
    fn image<R: Registries>(&mut self, registries: &mut R) -> Result<Option<Placed>, R::Error> {
        loop {
            let Some(image) = self.images.pop_front() else {
                let Some(part) = self.parts.pop_front() else { return Ok(None) };
                self.list(part.as_ref());
                continue;
            };
            let registry = match self.place(&image, registries)? {
                Ok(registry) => registry,
                Err(reason) => {
                    self.refusals.push(Refusal::new(image, reason));
                    continue;
                }
            };
            if let Some(tree) = self.trees.get(&image.digest) {
                return Ok(Some((registry, image, tree)));
            }
            let bytes_of = |digest: &Digest| -> io::Result<Option<Bytes>> {
                let Some((file, _)) = self.source.content(digest)? else { return Ok(None) };
                read_all(file, MANIFEST_BYTES_MAX).map(|bytes| Some(bytes.into()))
            };
            match Tree::read(&image.digest, bytes_of) {
                Ok(mut tree) => {
                    self.refusals.append(std::mem::take(&mut tree.refusals));
                    let tree = self.trees.keep(&image.digest, tree);
                    return Ok(Some((registry, image, tree)));
                }
                Err(refusal) => self.refusals.push(refusal),
            }
        }
    }

    /// Lists the images of one part, those of one registry after the other.
    fn list(&mut self, part: Option<&Repository>) {
        match self.source.images(part) {
            Ok(mut listing) => {
                self.refusals.append(listing.refusals);
                listing.images.sort_by(|one, other| one.host.cmp(&other.host));
                self.images = listing.images.into();
            }
            Err(error) => {
                let what = part.map_or_else(|| INDEX.to_owned(), ToString::to_string);
                self.refusals.push(Refusal::new(what, error));
            }
        }
    }

    /// The registry of an image, by its own name, or the reason why it is not imported.
    fn place<R: Registries>(
        &self,
        image: &Found,
        registries: &mut R,
    ) -> Result<Result<String, String>, R::Error> {
        let Some(host) = &image.host else {
            return Ok(self.chosen.clone().ok_or_else(|| NO_REGISTRY.to_owned()));
        };
        let found = registries.resolve(host)?;
        Ok(match (found, &self.chosen) {
            (Ok(found), Some(chosen)) if found != *chosen => Err(other_registry(host)),
            (Err(_), Some(_)) => Err(other_registry(host)),
            (found, _) => found,
        })
    }
}
