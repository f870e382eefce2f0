//! Finds the image that a tag or a digest names.

use bytes::Bytes;
use oci::{Digest, Repository, Tag};
use storage::{HeldManifest, OpenBlob, StoredManifest};

use crate::contents::Contents;
use crate::failure::Failure;
use crate::images::{Images, Row, Slot};
use crate::inventory::{ImageEntry, Inventory};

/// The most manifests of a repository that are read for a subject.
const REFERRER_LOOK_COUNT_MAX: usize = 4096;

/// The longest configuration that is read for its platform, in bytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Manifests that are listed at a time.
const PAGE_COUNT: usize = 256;

/// Manifests that are attached to an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referrers {
    /// Their digests.
    pub digests: Vec<Digest>,
    /// Whether the repository has so many manifests that not all of them were looked at.
    pub is_cut: bool,
}

impl Inventory {
    /// The held manifest that a tag names.
    pub fn find_tag(&self, repository: &Repository, tag: &Tag) -> Option<ImageEntry> {
        let images = self.model.images.read();
        let row = images.row(images.of_tag(repository, tag)?)?;
        self.found(&images, row)
    }

    /// The held manifest with this digest.
    pub fn find_digest(&self, repository: &Repository, digest: &Digest) -> Option<ImageEntry> {
        let images = self.model.images.read();
        let row = images.row(images.find(repository, digest)?)?;
        self.found(&images, row)
    }

    fn found(&self, images: &Images, row: Row) -> Option<ImageEntry> {
        row.is_held.then(|| self.entry(images, row))
    }

    /// Whether the store holds the manifest in this repository.
    pub fn is_held(&self, repository: &Repository, digest: &Digest) -> bool {
        self.held_slot(repository, digest).is_some()
    }

    /// The place of the manifest, if the store holds it in this repository.
    pub(crate) fn held_slot(&self, repository: &Repository, digest: &Digest) -> Option<Slot> {
        let images = self.model.images.read();
        images.find(repository, digest).filter(|slot| images.row(*slot).is_some_and(|row| row.is_held))
    }

    /// The stored tags among [`referrers_tags`].
    pub fn referrers_tags(&self, repository: &Repository, subject: &Digest) -> Vec<Tag> {
        referrers_tags(subject).into_iter().filter(|tag| self.find_tag(repository, tag).is_some()).collect()
    }

    /// The held manifests of the repository that are attached to this one.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn held_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Referrers, Failure> {
        let (mut referrers, mut after, mut looked_count) = (Referrers::default(), None, 0);
        loop {
            let page = self.store().manifests(repository, after.as_ref(), PAGE_COUNT).await?;
            for entry in &page {
                if looked_count == REFERRER_LOOK_COUNT_MAX {
                    return Ok(Referrers { is_cut: true, ..referrers });
                }
                looked_count += 1;
                let contents = self.contents(repository, &entry.digest).await?;
                if contents.is_some_and(|contents| contents.subject.as_ref() == Some(subject)) {
                    referrers.digests.push(entry.digest.clone());
                }
            }
            match page.last() {
                Some(last) if page.len() >= PAGE_COUNT => after = Some(last.digest.clone()),
                _ => return Ok(referrers),
            }
        }
    }

    /// The contents that a stored manifest names. `None`: the store no longer has its bytes.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) async fn contents(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Contents>, Failure> {
        let read = self.read_manifest(repository, digest).await?;
        Ok(read.map(|manifest| Contents::of(&manifest.bytes)))
    }

    /// A stored manifest. `None`: the store no longer has its bytes.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) async fn read_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, Failure> {
        match self.store().manifest(repository, digest).await? {
            Some(held) => read_whole(digest, held).await,
            None => Ok(None),
        }
    }
}

/// The tags under which clients look for what is attached to this manifest: those of the referrers tag
/// schema (distribution-spec, "Referrers Tag Schema") and of signing tools.
pub fn referrers_tags(subject: &Digest) -> Vec<Tag> {
    let name = format!("{}-{}", subject.algorithm().as_str(), subject.hex());
    let endings = ["", ".sig", ".att", ".sbom"];
    endings.iter().filter_map(|ending| format!("{name}{ending}").parse().ok()).collect()
}

/// Reads a held manifest. `None`: the store no longer has its bytes.
///
/// # Errors
/// I/O errors.
pub(crate) async fn read_whole(
    digest: &Digest,
    held: HeldManifest,
) -> Result<Option<StoredManifest>, Failure> {
    let (file, media_type) = match held {
        HeldManifest::Whole(manifest) => return Ok(Some(manifest)),
        HeldManifest::File { file, media_type } => (file, media_type),
    };
    let read = file.read(0, oci::MANIFEST_BYTES_MAX + 1).await;
    let bytes = read.map_err(|source| Failure::Read { digest: digest.clone(), source })?;
    let is_right = digest.is_of_manifest(&bytes);
    Ok(is_right.then(|| StoredManifest { media_type, bytes }))
}

/// Reads the configuration of an image. `None`: it is longer than any that names a platform.
///
/// # Errors
/// I/O errors.
pub(crate) async fn read_config(digest: &Digest, blob: &OpenBlob) -> Result<Option<Bytes>, Failure> {
    if blob.size() > CONFIG_BYTES_MAX {
        return Ok(None);
    }
    let read = blob.read(0, usize::try_from(CONFIG_BYTES_MAX).expect("1 MiB fits a usize")).await;
    read.map(Some).map_err(|source| Failure::Read { digest: digest.clone(), source })
}
