//! Surveys of an image: what has to be held so that it can be pulled without its upstream, and what is
//! missing.

use std::collections::HashSet;

use oci::{Digest, Platform, Platforms, Repository};
use storage::{BlobStore, RecordStore};

use crate::failure::Failure;
use crate::lookup::read_whole;
use crate::outline::Outline;

/// The greatest depth of indexes that name indexes.
const DEPTH_MAX: usize = 4;

/// The most manifests and the most blobs of one image that a survey looks at.
const PART_COUNT_MAX: usize = 20_000;

/// The parts of an image for the chosen platforms, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The image's own manifest and those of its platforms, the outer ones first.
    pub manifests: Vec<SurveyedManifest>,
    /// Configurations and layers of the held manifests.
    pub blobs: Vec<SurveyedBlob>,
    /// The chosen platforms that the image has, as its index names them; none for an image without an index.
    pub platforms: Vec<Platform>,
    /// All platforms that its index names.
    pub offered: Vec<Platform>,
    /// Chosen platforms that its index does not name.
    pub unmatched: Vec<Platform>,
    /// Whether a manifest cannot be read, or names more than a survey looks at.
    pub is_cut: bool,
}

/// A manifest of a surveyed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyedManifest {
    /// Its digest.
    pub digest: Digest,
    /// Whether the repository holds it.
    pub is_held: bool,
}

/// A blob of a surveyed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes: its own if it is held, else what its manifest claims.
    pub size: Option<u64>,
    /// Whether the store holds it.
    pub is_held: bool,
}

impl Survey {
    /// Whether the image has an index, and none of its platforms was chosen.
    pub fn has_no_chosen_platform(&self) -> bool {
        !self.offered.is_empty() && self.platforms.is_empty() && self.manifests.len() <= 1
    }

    /// The manifests that are not held.
    pub fn missing_manifests(&self) -> impl Iterator<Item = &Digest> {
        self.manifests.iter().filter(|manifest| !manifest.is_held).map(|manifest| &manifest.digest)
    }

    /// The blobs that are not held.
    pub fn missing_blobs(&self) -> impl Iterator<Item = &SurveyedBlob> {
        self.blobs.iter().filter(|blob| !blob.is_held)
    }

    /// Whether everything is held.
    pub fn is_whole(&self) -> bool {
        let is_missing = self.missing_manifests().next().is_some() || self.missing_blobs().next().is_some();
        !is_missing && !self.is_cut && !self.has_no_chosen_platform()
    }

    /// The bytes of all blobs, as far as they are known.
    pub fn blob_bytes(&self) -> u64 {
        self.blobs.iter().filter_map(|blob| blob.size).fold(0, u64::saturating_add)
    }

    /// The bytes of the missing blobs, as far as they are known.
    pub fn missing_bytes(&self) -> u64 {
        self.missing_blobs().filter_map(|blob| blob.size).fold(0, u64::saturating_add)
    }
}

/// Surveys the image of a repository. Opens each blob, and reads none.
///
/// # Errors
/// Failures of the store.
pub async fn survey(
    records: &dyn RecordStore,
    blobs: &dyn BlobStore,
    repository: &Repository,
    digest: &Digest,
    platforms: &Platforms,
) -> Result<Survey, Failure> {
    let mut survey = Survey::default();
    let mut seen_manifests = HashSet::from([digest.clone()]);
    let mut seen_blobs = HashSet::new();
    let mut level = vec![digest.clone()];
    for depth in 0..=DEPTH_MAX {
        let mut next = Vec::new();
        for digest in std::mem::take(&mut level) {
            let held = match records.manifest(repository, &digest).await? {
                Some(held) => read_whole(&digest, held).await?,
                None => None,
            };
            survey.manifests.push(SurveyedManifest { digest, is_held: held.is_some() });
            let Some(manifest) = held else { continue };
            let Some(outline) = Outline::read(&manifest.bytes) else {
                survey.is_cut = true;
                continue;
            };
            survey.choose(&outline, platforms, &mut seen_manifests, &mut next);
            let served = outline.blobs.into_iter().filter(|blob| !blob.is_elsewhere);
            seen_blobs.extend(served.map(|blob| (blob.digest, blob.size)));
        }
        survey.is_cut |= seen_manifests.len() > PART_COUNT_MAX || (depth == DEPTH_MAX && !next.is_empty());
        level = next;
        if level.is_empty() || survey.is_cut {
            break;
        }
    }
    survey.is_cut |= seen_blobs.len() > PART_COUNT_MAX;
    survey.unmatched =
        if survey.offered.is_empty() { Vec::new() } else { platforms.without(&survey.offered) };
    let mut named: Vec<_> = seen_blobs.into_iter().take(PART_COUNT_MAX).collect();
    named.sort_unstable();
    for (digest, claimed) in named {
        if survey.blobs.last().is_some_and(|last: &SurveyedBlob| last.digest == digest) {
            continue;
        }
        let held = blobs.open(&digest).await?.map(|blob| blob.size());
        survey.blobs.push(SurveyedBlob { digest, size: held.or(claimed), is_held: held.is_some() });
    }
    Ok(survey)
}

impl Survey {
    /// Adds the chosen manifests of an index to the next level.
    fn choose(
        &mut self,
        outline: &Outline,
        platforms: &Platforms,
        seen: &mut HashSet<Digest>,
        next: &mut Vec<Digest>,
    ) {
        for child in &outline.children {
            let offered = child.target.as_ref().filter(|_| !child.is_attestation);
            add(&mut self.offered, offered);
            if !platforms.takes(child.target.as_ref()) {
                continue;
            }
            add(&mut self.platforms, offered);
            if seen.insert(child.digest.clone()) {
                next.push(child.digest.clone());
            }
        }
    }
}

fn add(platforms: &mut Vec<Platform>, platform: Option<&Platform>) {
    if let Some(platform) = platform.filter(|it| !platforms.contains(it)) {
        platforms.push(platform.clone());
    }
}
