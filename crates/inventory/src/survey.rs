//! Surveys of an image: what has to be held so that it can be pulled without its upstream, and what is
//! missing.

use std::collections::HashSet;

use oci::{Digest, Platform, Platforms, Repository};
use storage::{BlobStore, RecordStore};

use crate::failure::Failure;
use crate::lookup::{read_config, read_whole};
use crate::outline::{Outline, target_of_config};

/// The greatest depth of indexes that name indexes.
const DEPTH_MAX: usize = 4;

/// The most manifests and the most blobs of one image that a survey looks at.
const PART_COUNT_MAX: usize = 20_000;

/// The most platforms of one image. Public images have some dozen.
const PLATFORM_COUNT_MAX: usize = 1000;

/// The parts of an image for the chosen platforms, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The image's own manifest and those of its platforms, the outer ones first.
    pub manifests: Vec<SurveyedManifest>,
    /// Configurations and layers of the held manifests.
    pub blobs: Vec<SurveyedBlob>,
    /// The chosen platforms that the image has: those that its index names or, without an index, the one in
    /// its configuration.
    pub platforms: Vec<Platform>,
    /// All platforms that its index or its configuration names.
    pub offered: Vec<Platform>,
    /// Chosen platforms that the image does not have.
    pub unmatched: Vec<Platform>,
    /// The configuration that names the platform of an image without an index, if it is not held.
    pub unread_config: Option<Digest>,
    /// Whether a manifest cannot be read, or names more than a survey looks at.
    pub is_cut: bool,
}

/// A manifest of a surveyed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyedManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes; `None`: the repository does not hold it.
    pub size: Option<u64>,
    /// The platform that the image's index gives it.
    pub platform: Option<Platform>,
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
    /// Whether the image's platforms are known, and none of them was chosen.
    pub fn has_no_chosen_platform(&self) -> bool {
        !self.offered.is_empty() && self.platforms.is_empty() && self.manifests.len() <= 1
    }

    /// The manifests that are not held.
    pub fn missing_manifests(&self) -> impl Iterator<Item = &Digest> {
        self.manifests.iter().filter(|manifest| manifest.size.is_none()).map(|manifest| &manifest.digest)
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

    /// The bytes of all manifests and blobs, as far as they are known.
    pub fn bytes(&self) -> u64 {
        let manifests = self.manifests.iter().filter_map(|manifest| manifest.size);
        manifests.fold(self.blob_bytes(), u64::saturating_add)
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

/// Surveys the image of a repository. Opens each blob, and reads only the configuration of an image without
/// an index.
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
    let mut level = vec![(digest.clone(), None)];
    for depth in 0..=DEPTH_MAX {
        let mut next = Vec::new();
        for (digest, platform) in std::mem::take(&mut level) {
            let held = match records.manifest(repository, &digest).await? {
                Some(held) => read_whole(&digest, held).await?,
                None => None,
            };
            let size = held.as_ref().map(|manifest| manifest.bytes.len() as u64);
            survey.manifests.push(SurveyedManifest { digest, size, platform });
            let Some(manifest) = held else { continue };
            let Some(outline) = Outline::read(&manifest.bytes) else {
                survey.is_cut = true;
                continue;
            };
            survey.choose(&outline, platforms, &mut seen_manifests, &mut next);
            if depth == 0 && outline.children.is_empty() {
                survey.read_platform(blobs, &outline, platforms).await?;
            }
            let served = outline.blobs.into_iter().filter(|blob| !blob.is_elsewhere);
            seen_blobs.extend(served.map(|blob| (blob.digest, blob.size)));
            let part_count = seen_manifests.len().max(seen_blobs.len());
            if part_count > PART_COUNT_MAX || survey.offered.len() > PLATFORM_COUNT_MAX {
                survey.is_cut = true;
                break;
            }
        }
        survey.is_cut |= depth == DEPTH_MAX && !next.is_empty();
        level = next;
        if level.is_empty() || survey.is_cut {
            break;
        }
    }
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
        next: &mut Vec<(Digest, Option<Platform>)>,
    ) {
        for child in &outline.children {
            let offered = child.target.as_ref().filter(|_| !child.is_attestation);
            add(&mut self.offered, offered);
            if !platforms.takes(child.target.as_ref()) {
                continue;
            }
            add(&mut self.platforms, offered);
            if seen.insert(child.digest.clone()) {
                next.push((child.digest.clone(), offered.cloned()));
            }
        }
    }

    /// Takes the platform of an image without an index from its configuration. One that names none, such as
    /// that of an artifact, is for all platforms.
    async fn read_platform(
        &mut self,
        blobs: &dyn BlobStore,
        outline: &Outline,
        platforms: &Platforms,
    ) -> Result<(), Failure> {
        let Some(config) = outline.image_config() else { return Ok(()) };
        let Some(blob) = blobs.open(&config.digest).await? else {
            self.unread_config = Some(config.digest.clone());
            return Ok(());
        };
        let Some(bytes) = read_config(&config.digest, &blob).await? else { return Ok(()) };
        let platform = target_of_config(&bytes);
        add(&mut self.offered, platform.as_ref());
        add(&mut self.platforms, platform.as_ref().filter(|platform| platforms.takes(Some(platform))));
        Ok(())
    }
}

fn add(platforms: &mut Vec<Platform>, platform: Option<&Platform>) {
    if let Some(platform) =
        platform.filter(|it| platforms.len() <= PLATFORM_COUNT_MAX && !platforms.contains(it))
    {
        platforms.push(platform.clone());
    }
}
