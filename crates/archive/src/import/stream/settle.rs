//! Stores the images of an archive once their contents came.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use oci::{Descriptor, Digest};

use super::{Intake, Moment, refusals_of};
use crate::blocking::blocking;
use crate::content::Content;
use crate::image_index::ImageIndex;
use crate::import::{Copied, ImportError, Report, Tree, copy_blob, docker, missing_of};
use crate::listing::{Found, Refusal};
use crate::target::Target;

impl Intake<'_> {
    /// A manifest came. If an announced image begins with it, those before are complete, in an archive as
    /// wharf writes it. Another program may have put the entries into another order: what is not whole yet is
    /// stored at the end.
    pub(super) async fn begin_image(&mut self, digest: &Digest) -> Result<(), ImportError> {
        let Some(at) = self.announced.at.get(digest).copied() else { return Ok(()) };
        while self.announced.tried_count < at {
            let image = self.announced.images[self.announced.tried_count].clone();
            self.announced.tried_count += 1;
            if self.store_image(&image, Moment::Middle).await? {
                self.announced.done.insert((image.to_string(), image.digest));
            }
        }
        Ok(())
    }

    /// The archive has ended: stores the rest of its images.
    pub(super) async fn settle(mut self) -> Result<Report, ImportError> {
        let mut images = Vec::new();
        if let Some(index) = self.index.take() {
            match ImageIndex::parse(&index) {
                Ok(index) => {
                    let listing = index.listing(self.made_at);
                    images.extend(listing.images);
                    // The names of `docker save` may be in the other document only.
                    if self.docker.is_none() || !images.is_empty() {
                        self.run.report.refuse(listing.refusals);
                    }
                }
                Err(error) => {
                    let reason = format!("it is not readable: {error}");
                    self.run.report.refuse(Refusal::new("index.json", reason));
                }
            }
        } else if self.docker.is_none() {
            let reason = "the archive has no images: it has neither index.json (an OCI image layout) nor \
                          manifest.json (`docker save`)";
            return Err(ImportError::Bound(reason.to_owned()));
        }
        if let Some(document) = self.docker.take().filter(|_| images.is_empty()) {
            images = self.saved_images(&document)?;
        }
        let done = std::mem::take(&mut self.announced.done);
        for image in images {
            if !done.contains(&(image.to_string(), image.digest.clone())) {
                self.store_image(&image, Moment::End).await?;
            }
        }
        Ok(self.run.report)
    }

    /// The images of `docker save`, whose manifests are made here.
    fn saved_images(&mut self, document: &[u8]) -> Result<Vec<Found>, ImportError> {
        let documents = &mut self.documents;
        let read = docker::images(document, &self.files, self.made_at, |digest| documents.read(digest));
        self.documents.check_reads()?;
        let (saved, refusals) = match read {
            Ok(read) => read,
            Err(refusal) => (Vec::new(), refusal.into()),
        };
        self.run.report.refuse(refusals);
        let mut images = Vec::new();
        for image in saved {
            if let Some(first) = image.names.first() {
                self.documents.add(first.digest.clone(), image.manifest)?;
            }
            images.extend(image.names);
        }
        Ok(images)
    }

    /// Stores an image if it is whole. In the middle of the archive, one that is not is no failure. Returns
    /// whether it is stored.
    async fn store_image(&mut self, image: &Found, moment: Moment) -> Result<bool, ImportError> {
        let is_end = moment == Moment::End;
        let (target, image) = match self.run.place(image).await? {
            Ok(placed) => placed,
            Err(_) if !is_end => return Ok(false),
            Err(reason) => {
                self.run.report.refuse(Refusal::new(image, reason));
                return Ok(false);
            }
        };
        let read = self.read_tree(&image.digest).await?;
        self.documents.check_reads()?;
        let mut tree = match read {
            Ok(tree) if is_end || !tree.lacks_manifests => tree,
            Ok(_) => return Ok(false),
            Err(_) if !is_end => return Ok(false),
            Err(mut refusal) => {
                if let Some(reason) = self.contents.refused.get(&image.digest) {
                    refusal.reason.clone_from(reason);
                }
                self.run.report.refuse(Refusal::new(&image, refusal));
                return Ok(false);
            }
        };
        let mut held = HashSet::new();
        for blob in tree.blobs() {
            if self.obtain(&target, &image, &blob).await? {
                held.insert(blob.digest);
            }
        }
        let missing = missing_of(&tree, &held);
        let is_whole = missing.is_empty() && tree.refusals.count == 0;
        if !is_end && !is_whole {
            return Ok(false);
        }
        refusals_of(&self.contents, &missing).for_each(|refusal| self.run.report.refuse(refusal));
        self.run.report.refuse(std::mem::take(&mut tree.refusals));
        if !self.run.options.takes_incomplete && !tree.keep_whole(&missing) {
            let (count, first) = (missing.len(), missing.iter().next().map(ToString::to_string));
            let reason = format!(
                "neither the archive nor the store has {count} of its blobs, such as {}; if the archive holds a \
                 difference, import the archive before it first",
                first.unwrap_or_default()
            );
            self.run.report.refuse(Refusal::new(&image, reason));
            return Ok(false);
        }
        self.run.report.incomplete += u64::from(!missing.is_empty() || tree.lacks_manifests);
        self.run.store_image(&target, &image, &tree).await?;
        (self.say)(&image.to_string());
        Ok(true)
    }

    /// Reads the manifests of an image off the runtime's threads: hashing and parsing 64 MiB takes long.
    async fn read_tree(&mut self, root: &Digest) -> Result<Result<Tree, Refusal>, ImportError> {
        let (mut documents, root) = (std::mem::take(&mut self.documents), root.clone());
        let read = move || {
            let bytes_of = |digest: &Digest| Ok::<Option<Bytes>, Infallible>(documents.read(digest));
            let read = Tree::read(&root, bytes_of);
            Ok((documents, read))
        };
        let (documents, read) = blocking(read).await?;
        self.documents = documents;
        Ok(read)
    }

    /// Brings a blob into the image's store. Returns whether it is there.
    async fn obtain(
        &mut self,
        target: &Arc<Target>,
        image: &Found,
        blob: &Descriptor,
    ) -> Result<bool, ImportError> {
        let digest = &blob.digest;
        if target.holds(&image.repository, digest).await? {
            let is_new = self.contents.stored.insert(digest.clone(), Arc::clone(target)).is_none();
            self.run.report.held_blobs += u64::from(is_new);
            return Ok(true);
        }
        target.grant(&image.repository, digest).await?;
        let (size, copied) = match self.contents.waiting.remove(digest) {
            Some(content) => {
                let copied = copy_blob(target, digest, &content).await?;
                let size = content.size();
                // Another image may need it in another store.
                self.contents.waiting.insert(digest.clone(), content);
                (size, copied)
            }
            None => {
                let Some(content) = self.content_of(digest).await? else { return Ok(false) };
                (content.size(), copy_blob(target, digest, &content).await?)
            }
        };
        if matches!(copied, Copied::Stored(_)) {
            self.contents.stored.insert(digest.clone(), Arc::clone(target));
        }
        self.run.count(digest, size, copied)
    }

    async fn content_of(&self, digest: &Digest) -> Result<Option<Content>, ImportError> {
        if let Some(bytes) = self.documents.of.get(digest) {
            return Ok(Some(Content::Memory(bytes.clone())));
        }
        match self.contents.stored.get(digest) {
            Some(other) => Ok(other.store().open(digest).await?.map(Content::Held)),
            None => Ok(None),
        }
    }
}
