//! Copies the images of a source into a store.

mod copy;
mod tree;

use std::io;
use std::sync::Arc;

use oci::{Digest, Repository};
use policy::freshness::TagRecord;
use storage::{Store, StoreError};

use crate::blocking::blocking;
use crate::listing::{Found, Refusal};
use crate::source::Source;
use copy::Copied;
use tree::Tree;

/// The options of an import.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The hosts whose images belong into the store. An image that the source names without a host always
    /// does.
    pub hosts: Vec<String>,
    /// Whether to store a grant for each blob and repository, as registries with credentials need.
    pub grants: bool,
}

/// The outcome of an import.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Images whose manifests and tags are stored, and those of their blobs that the source has.
    pub images: u64,
    /// Those among them that lack a blob or the manifest of a platform. wharf fetches these from the
    /// upstream.
    pub incomplete: u64,
    /// Blobs copied.
    pub blobs: u64,
    /// Bytes of the blobs copied.
    pub bytes: u64,
    /// Blobs that the store already had.
    pub held_blobs: u64,
    /// Tags written.
    pub tags: u64,
    /// Tags that the store already had, or of which it knows something newer.
    pub held_tags: u64,
    /// The refused parts of the source.
    pub refusals: Vec<Refusal>,
}

/// The reasons why an import ended early. Another run continues it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be read.
    #[error("cannot read the source: {0}")]
    Source(#[from] io::Error),
    /// The store failed.
    #[error("cannot store: {0}")]
    Store(#[from] StoreError),
}

/// Copies all images of `source` into `store`. `say` gets the name of each image before it is copied.
/// Malformed parts of the source are refused one by one, and the others are imported.
///
/// # Errors
/// [`ImportError`]: the store failed, or the source cannot be listed.
pub async fn import(
    source: Arc<Source>,
    store: &dyn Store,
    options: &Options,
    mut say: impl FnMut(&str),
) -> Result<Report, ImportError> {
    let mut run = Run { source: Arc::clone(&source), store, options, report: Report::default() };
    let (parts, refusals) = blocking(move || source.parts()).await?;
    run.report.refusals.extend(refusals);
    for part in parts {
        let source = Arc::clone(&run.source);
        let what = part.as_ref().map_or_else(|| "index.json".to_owned(), ToString::to_string);
        match blocking(move || source.images(part.as_ref())).await {
            Ok(listing) => {
                run.report.refusals.extend(listing.refusals);
                for image in listing.images {
                    say(&format!("{}@{}", image.repository, image.digest));
                    run.image(&image).await?;
                }
            }
            Err(error) => run.report.refusals.push(Refusal::new(what, error)),
        }
    }
    Ok(run.report)
}

struct Run<'a> {
    source: Arc<Source>,
    store: &'a dyn Store,
    options: &'a Options,
    report: Report,
}

impl Run<'_> {
    async fn image(&mut self, image: &Found) -> Result<(), ImportError> {
        let name = format!("{}@{}", image.repository, image.digest);
        if let Some(host) = image.host.as_ref().filter(|host| !self.options.hosts.contains(host)) {
            let reason = format!("it belongs to the registry {host}; import it with `--registry {host}`");
            self.report.refusals.push(Refusal::new(name, reason));
            return Ok(());
        }
        let (source, root) = (Arc::clone(&self.source), image.digest.clone());
        let tree = match blocking(move || Ok(Tree::read(&source, &root))).await? {
            Ok(tree) => tree,
            Err(refusal) => {
                self.report.refusals.push(refusal);
                return Ok(());
            }
        };
        // Children come before the index that names them, and all before the tags.
        for (media_type, manifest) in &tree.manifests {
            if self.store.manifest(&image.repository, manifest.digest()).await?.is_none() {
                self.store.put_manifest(&image.repository, media_type, manifest).await?;
            }
        }
        let mut lacks_blobs = false;
        for digest in &tree.blobs {
            lacks_blobs |= !self.blob(&image.repository, digest).await?;
        }
        self.tags(image, &tree).await?;
        self.report.images += 1;
        self.report.incomplete += u64::from(lacks_blobs || tree.lacks_manifests);
        self.report.refusals.extend(tree.refusals);
        Ok(())
    }

    /// Returns whether the store has the blob afterwards.
    async fn blob(&mut self, repository: &Repository, digest: &Digest) -> Result<bool, ImportError> {
        if self.store.open(digest).await?.is_some() {
            self.grant(repository, digest).await?;
            self.report.held_blobs += 1;
            return Ok(true);
        }
        let (source, wanted) = (Arc::clone(&self.source), digest.clone());
        let (file, size) = match blocking(move || source.content(&wanted)).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            Err(error) => {
                self.report.refusals.push(Refusal::new(digest, error));
                return Ok(false);
            }
        };
        // A stored blob never lacks its grant.
        self.grant(repository, digest).await?;
        match copy::blob(self.store, digest, file, size).await? {
            Copied::Stored => {
                self.report.blobs += 1;
                self.report.bytes += size;
                Ok(true)
            }
            Copied::Refused(reason) => {
                self.report.refusals.push(Refusal::new(digest, reason));
                Ok(false)
            }
        }
    }

    async fn grant(&self, repository: &Repository, digest: &Digest) -> Result<(), StoreError> {
        if !self.options.grants || self.store.has_link(repository, digest).await? {
            return Ok(());
        }
        self.store.put_link(repository, digest).await
    }

    async fn tags(&mut self, image: &Found, tree: &Tree) -> Result<(), StoreError> {
        let Some((media_type, manifest)) = tree.manifests.last() else { return Ok(()) };
        for (tag, checked_at) in &image.tags {
            let held = self.store.tag(&image.repository, tag).await?;
            // An older word never replaces a newer one.
            if held.is_some_and(|held| held.digest == image.digest || held.checked_at >= *checked_at) {
                self.report.held_tags += 1;
                continue;
            }
            let record = TagRecord {
                digest: image.digest.clone(),
                media_type: media_type.clone(),
                size: manifest.bytes().len() as u64,
                checked_at: *checked_at,
            };
            self.store.put_tag(&image.repository, tag, &record).await?;
            self.report.tags += 1;
        }
        Ok(())
    }
}
