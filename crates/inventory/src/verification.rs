//! Whether an image can be pulled from the store alone: the record of its tag, its manifests for the chosen
//! platforms, all their blobs and, in a registry with credentials, the grants for them.
//!
//! This looks at what is there, and reads no blob. A check of the bytes would add another kind of
//! [`Missing`].

use std::fmt;

use oci::{Digest, Platform, Platforms, Reference, Repository, Tag};
use storage::{BlobStore, RecordStore};

use crate::failure::Failure;
use crate::survey::{Survey, survey};

/// The parts of a store, and what a pull from it needs.
#[derive(Clone, Copy, Debug)]
pub struct Shelf<'a> {
    /// The store of manifests and records.
    pub records: &'a dyn RecordStore,
    /// The store of blobs.
    pub blobs: &'a dyn BlobStore,
    /// Whether a repository needs a grant for each blob.
    pub needs_grants: bool,
}

/// The parts of an image that a pull would find in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// The digest of its manifest; `None`: the tag has no record.
    pub digest: Option<Digest>,
    /// The parts of the image.
    pub survey: Survey,
    /// The missing parts; none: the image is complete.
    pub missing: Vec<Missing>,
}

/// A part without which a pull fails while the upstream is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The record of the tag.
    Tag(Tag),
    /// A manifest, and the platform that an index gives it.
    Manifest(Digest, Option<Platform>),
    /// A manifest that can be read.
    ReadableManifest,
    /// A manifest for one of the chosen platforms; the image has these.
    Platform(Vec<Platform>),
    /// A blob, and its size in bytes as its manifest claims.
    Blob(Digest, Option<u64>),
    /// The registry's permission for this repository to read a held blob.
    Grant(Digest),
}

impl Missing {
    /// The kind, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tag(_) => "tag",
            Self::Manifest(..) => "manifest",
            Self::ReadableManifest => "readable_manifest",
            Self::Platform(_) => "platform",
            Self::Blob(..) => "blob",
            Self::Grant(_) => "grant",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "the tag {tag}"),
            Self::Manifest(digest, Some(platform)) => write!(f, "the manifest {digest} for {platform}"),
            Self::Manifest(digest, None) => write!(f, "the manifest {digest}"),
            Self::ReadableManifest => f.write_str("a manifest that can be read"),
            Self::Platform(offered) => {
                let offered: Vec<String> = offered.iter().map(ToString::to_string).collect();
                write!(f, "the chosen platform; the image has {}", offered.join(", "))
            }
            Self::Blob(digest, Some(size)) => write!(f, "the blob {digest} of {size} bytes"),
            Self::Blob(digest, None) => write!(f, "the blob {digest}"),
            Self::Grant(digest) => write!(f, "the registry's permission to read the blob {digest}"),
        }
    }
}

/// Verifies that an image is complete for these platforms.
///
/// # Errors
/// Failures of the store.
pub async fn verify(
    shelf: Shelf<'_>,
    repository: &Repository,
    reference: &Reference,
    platforms: &Platforms,
) -> Result<Verification, Failure> {
    let digest = match reference {
        Reference::Digest(digest) => digest.clone(),
        Reference::Tag(tag) => match shelf.records.tag(repository, tag).await? {
            Some(record) => record.digest,
            None => {
                let missing = vec![Missing::Tag(tag.clone())];
                return Ok(Verification { missing, ..Verification::default() });
            }
        },
    };
    let survey = survey(shelf.records, shelf.blobs, repository, &digest, platforms).await?;
    let lacking = survey.manifests.iter().filter(|manifest| manifest.size.is_none());
    let mut missing: Vec<Missing> = lacking
        .map(|manifest| Missing::Manifest(manifest.digest.clone(), manifest.platform.clone()))
        .collect();
    if survey.is_cut {
        missing.push(Missing::ReadableManifest);
    }
    if survey.has_no_chosen_platform() {
        missing.push(Missing::Platform(survey.offered.clone()));
    }
    for blob in &survey.blobs {
        if !blob.is_held {
            missing.push(Missing::Blob(blob.digest.clone(), blob.size));
        } else if shelf.needs_grants && !shelf.records.has_link(repository, &blob.digest).await? {
            missing.push(Missing::Grant(blob.digest.clone()));
        }
    }
    Ok(Verification { digest: Some(digest), survey, missing })
}
