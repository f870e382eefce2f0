//! Imports: the images of directories and archives into the stores of registries.
//!
//! Of each image, blobs come first, then manifests, each after those that it names, then tags. So an import
//! that is killed leaves no listed image that it has not copied, and another run continues it.

mod copy;
mod docker;
mod failure;
mod report;
mod room;
mod scratch;
mod stream;
mod tree;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use oci::{Descriptor, Digest, MANIFEST_BYTES_MAX, Repository};
use policy::freshness::{Replace, TagRecord};

use crate::blocking::blocking;
use crate::confined::read_all;
use crate::content::Content;
use crate::listing::{Found, Refusal};
use crate::source::Source;
use crate::target::{Target, Targets};
pub(crate) use copy::{Copied, Way, blob as copy_blob};
pub use failure::ImportError;
pub use report::{KeptTag, Report};
pub(crate) use room::take_room;
use room::take_room_for_manifests;
pub use stream::import_archive;
pub(crate) use tree::{Tree, Trees};

/// The options of an import.
#[derive(Clone, Debug)]
pub struct Options {
    /// The registry whose images are imported. `None`: the names in the archive tell.
    pub registry: Option<String>,
    /// The time of the archive, for tags without one of their own.
    pub made_at: SystemTime,
    /// The tags that the archive's replace.
    pub replace: Replace,
    /// Whether an image of an archive is imported that lacks blobs, as one of a directory is.
    pub takes_incomplete: bool,
}

/// Copies all images of a directory. `say` gets the name of each image before it is copied. Malformed parts
/// of the source are refused one by one, and the others are imported; an image that lacks blobs is imported
/// too, because wharf pulls the rest when a client asks for it.
///
/// # Errors
/// [`ImportError`]: a store failed, or the source cannot be listed.
pub async fn import(
    source: Arc<Source>,
    targets: &dyn Targets,
    options: &Options,
    mut say: impl FnMut(&str) + Send,
) -> Result<Report, ImportError> {
    let mut run = Run::begin(targets, options).await?;
    let parts_of = Arc::clone(&source);
    let (parts, refusals) = blocking(move || parts_of.parts()).await?;
    run.report.refuse(refusals);
    for part in parts {
        let what = part.as_ref().map_or_else(|| "index.json".to_owned(), ToString::to_string);
        let images_of = Arc::clone(&source);
        match blocking(move || images_of.images(part.as_ref())).await {
            Ok(listing) => {
                run.report.refuse(listing.refusals);
                for image in listing.images {
                    say(&image.to_string());
                    run.image_of(&source, &image).await?;
                }
            }
            Err(error) => run.report.refuse(Refusal::new(what, error)),
        }
    }
    Ok(run.report)
}

/// An import, whatever it reads.
#[derive(Debug)]
struct Run<'a> {
    targets: &'a dyn Targets,
    /// The registry that the operator named.
    chosen: Option<Arc<Target>>,
    options: &'a Options,
    /// Blobs of the directory that are counted, by the name of their registry: images share them.
    counted: HashSet<(String, Digest)>,
    /// Images of the directory, of which some have many names.
    trees: Trees,
    report: Report,
}

impl<'a> Run<'a> {
    async fn begin(targets: &'a dyn Targets, options: &'a Options) -> Result<Self, ImportError> {
        let chosen = match &options.registry {
            Some(name) => {
                let found = targets.find(name).await.map_err(ImportError::Target)?;
                let unknown = || ImportError::Target(format!("no registry has the name {name:?}"));
                Some(found.ok_or_else(unknown)?)
            }
            None => None,
        };
        let (counted, trees) = (HashSet::new(), Trees::default());
        Ok(Self { targets, chosen, options, counted, trees, report: Report::default() })
    }

    /// The registry of an image, and the image as it is called there, or the reason why it is not imported.
    async fn place(&self, image: &Found) -> Result<Result<(Arc<Target>, Found), String>, ImportError> {
        let target = self.target_of(image.host.as_deref()).await?;
        Ok(target.and_then(|target| Ok((Arc::clone(&target), image.taken_by(&target)?))))
    }

    /// The registry of this name, or the one that the operator named; or the reason why there is none.
    async fn target_of(&self, host: Option<&str>) -> Result<Result<Arc<Target>, String>, ImportError> {
        Ok(match (host, &self.chosen) {
            (None, Some(chosen)) => Ok(Arc::clone(chosen)),
            (None, None) => Err(NO_REGISTRY.to_owned()),
            (Some(host), Some(chosen)) if chosen.has_name(host) => Ok(Arc::clone(chosen)),
            (Some(host), Some(_)) => Err(other_registry(host)),
            (Some(host), None) => {
                let found = self.targets.find(host).await.map_err(ImportError::Target)?;
                found.ok_or_else(|| format!("the configuration has no registry {host}"))
            }
        })
    }

    /// Imports an image of a directory.
    async fn image_of(&mut self, source: &Arc<Source>, image: &Found) -> Result<(), ImportError> {
        let (target, image) = match self.place(image).await? {
            Ok(placed) => placed,
            Err(reason) => {
                self.report.refuse(Refusal::new(image, reason));
                return Ok(());
            }
        };
        let Some(tree) = self.tree_of(source, &image.digest).await? else { return Ok(()) };
        let mut lacks_blobs = false;
        for blob in tree.blobs() {
            lacks_blobs |= !self.blob_of(source, &target, &image.repository, &blob).await?;
        }
        self.report.incomplete += u64::from(lacks_blobs || tree.lacks_manifests);
        self.store_image(&target, &image, &tree).await
    }

    /// Reads the manifests of an image of a directory, once for all names that follow each other soon.
    /// `None`: the image is refused.
    async fn tree_of(
        &mut self,
        source: &Arc<Source>,
        root: &Digest,
    ) -> Result<Option<Arc<Tree>>, ImportError> {
        if let Some(tree) = self.trees.get(root) {
            return Ok(Some(tree));
        }
        let (tree_of, digest) = (Arc::clone(source), root.clone());
        let read = move || {
            let bytes_of = |digest: &Digest| -> io::Result<_> {
                let Some((file, _)) = tree_of.content(digest)? else { return Ok(None) };
                read_all(file, MANIFEST_BYTES_MAX).map(|bytes| Some(bytes.into()))
            };
            Ok(Tree::read(&digest, bytes_of))
        };
        match blocking(read).await? {
            Ok(mut tree) => {
                self.report.refuse(std::mem::take(&mut tree.refusals));
                Ok(Some(self.trees.keep(root, tree)))
            }
            Err(refusal) => {
                self.report.refuse(refusal);
                Ok(None)
            }
        }
    }

    /// Returns whether the store has the blob afterwards.
    async fn blob_of(
        &mut self,
        source: &Arc<Source>,
        target: &Target,
        repository: &Repository,
        blob: &Descriptor,
    ) -> Result<bool, ImportError> {
        if target.holds(repository, &blob.digest).await? {
            let is_new = self.counted.insert((target.name.clone(), blob.digest.clone()));
            self.report.held_blobs += u64::from(is_new);
            return Ok(true);
        }
        self.counted.insert((target.name.clone(), blob.digest.clone()));
        let (content_of, wanted) = (Arc::clone(source), blob.digest.clone());
        match blocking(move || content_of.content(&wanted)).await {
            Ok(Some((_, size))) if blob.size.is_some_and(|claimed| claimed != size) => {
                let claimed = blob.size.unwrap_or_default();
                let reason = format!("it has {size} bytes, and its manifest claims {claimed}");
                self.report.refuse(Refusal::new(&blob.digest, reason));
                Ok(false)
            }
            // A sparse file may have any size, and hashing it would not end.
            Ok(Some((_, size))) if target.store().space().await?.is_some_and(|space| space.total < size) => {
                let reason = format!("it has {size} bytes, more than the file system of the store");
                self.report.refuse(Refusal::new(&blob.digest, reason));
                Ok(false)
            }
            Ok(Some((file, size))) => {
                let content = Content::File(Arc::new(file), size);
                self.copy(target, repository, &blob.digest, &content).await
            }
            Ok(None) => Ok(false),
            Err(error) => {
                self.report.refuse(Refusal::new(&blob.digest, error));
                Ok(false)
            }
        }
    }

    /// Copies a blob. Returns whether the store has it afterwards.
    async fn copy(
        &mut self,
        target: &Target,
        repository: &Repository,
        digest: &Digest,
        content: &Content,
    ) -> Result<bool, ImportError> {
        target.grant(repository, digest).await?;
        let copied = copy_blob(target, digest, content).await?;
        self.count(digest, content.size(), copied)
    }

    /// Counts a copy. Returns whether the store has the blob.
    fn count(&mut self, digest: &Digest, size: u64, copied: Copied) -> Result<bool, ImportError> {
        match copied {
            Copied::Stored(way) => {
                self.report.blobs += 1;
                self.report.bytes += size;
                self.report.cloned_bytes += if way == Way::Cloned { size } else { 0 };
                Ok(true)
            }
            Copied::Refused(reason) => {
                self.report.refuse(Refusal::new(digest, reason));
                Ok(false)
            }
            Copied::Pulled => {
                let reason = "a client pulls this blob at the moment; import the archive again";
                self.report.refuse(Refusal::new(digest, reason));
                Ok(false)
            }
        }
    }

    /// Stores the manifests and tags of an image, whose blobs are stored.
    async fn store_image(&mut self, target: &Target, image: &Found, tree: &Tree) -> Result<(), ImportError> {
        // Room for all of them or for none: a platform without its index would be listed as an image.
        let _room = take_room_for_manifests(target, image, tree).await?;
        for member in &tree.manifests {
            target.put_manifest(&image.repository, &member.media_type, &member.manifest).await?;
        }
        self.report.images += 1;
        let Some(root) = tree.manifests.last() else { return Ok(()) };
        for (tag, checked_at) in &image.tags {
            let record = TagRecord {
                digest: image.digest.clone(),
                media_type: root.media_type.clone(),
                size: root.manifest.bytes().len() as u64,
                // A time that lies ahead would outweigh the registry's word for as long.
                checked_at: (*checked_at).min(SystemTime::now()),
            };
            let (inventory, replace) = (&target.inventory, self.options.replace);
            let imported = inventory.import_tag(&image.repository, tag, &record, replace).await?;
            let name = format!("{}/{}:{tag}", target.name, image.repository);
            self.report.count_tag(imported, &name, &image.digest);
        }
        Ok(())
    }
}

/// The reason to refuse an image whose registry is not known.
pub(crate) const NO_REGISTRY: &str = "its name has no registry; name it with `--registry NAME`";

/// The reason to refuse an image of another registry than the chosen one.
pub(crate) fn other_registry(host: &str) -> String {
    format!("it belongs to the registry {host}; import it with `--registry {host}`")
}

/// The blobs of `tree` that are not in `held`.
fn missing_of(tree: &Tree, held: &HashSet<Digest>) -> HashSet<Digest> {
    let blobs = tree.blobs().into_iter().map(|blob| blob.digest);
    blobs.filter(|digest| !held.contains(digest)).collect()
}
