//! Surveys of an image: what has to be held so that it can be pulled without its upstream, and what is
//! missing.

use std::collections::HashSet;

use oci::{Digest, MANIFEST_BYTES_MAX, Platform, Platforms, Repository};
use serde::Deserialize;
use storage::{BlobStore, HeldManifest, RecordStore};

use crate::failure::Failure;

/// How deep indexes may name further indexes.
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
            let parts = match records.manifest(repository, &digest).await? {
                Some(held) => read(&digest, &held).await?,
                None => Parts::NotHeld,
            };
            survey.manifests.push(SurveyedManifest { digest, is_held: !matches!(parts, Parts::NotHeld) });
            match parts {
                Parts::NotHeld => {}
                Parts::Unreadable => survey.is_cut = true,
                Parts::Read(document) => {
                    survey.choose(&document, platforms, &mut seen_manifests, &mut next);
                    seen_blobs.extend(document.blobs());
                }
            }
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
        document: &Document,
        platforms: &Platforms,
        seen: &mut HashSet<Digest>,
        next: &mut Vec<Digest>,
    ) {
        for child in document.manifests.iter().flatten() {
            let Some(digest) = child.digest.as_deref().and_then(|text| text.parse::<Digest>().ok()) else {
                continue;
            };
            let platform = child.platform.as_ref().and_then(RawPlatform::read);
            // Build tools attach their records to an index as manifests for an unknown platform.
            let is_record = platform.as_ref().is_some_and(|platform| platform.os == "unknown");
            if !is_record {
                self.offered.extend(platform.clone().filter(|platform| !self.offered.contains(platform)));
            }
            if !platforms.takes(platform.as_ref()) {
                continue;
            }
            if !is_record {
                self.platforms.extend(platform.filter(|platform| !self.platforms.contains(platform)));
            }
            if seen.insert(digest.clone()) {
                next.push(digest);
            }
        }
    }
}

enum Parts {
    NotHeld,
    Unreadable,
    Read(Document),
}

async fn read(digest: &Digest, held: &HeldManifest) -> Result<Parts, Failure> {
    let document = match held {
        HeldManifest::Whole(manifest) => serde_json::from_slice(&manifest.bytes),
        HeldManifest::File { file, .. } => {
            let size = usize::try_from(file.size()).unwrap_or(usize::MAX);
            if size > MANIFEST_BYTES_MAX {
                return Ok(Parts::Unreadable);
            }
            let mut bytes = Vec::with_capacity(size);
            while bytes.len() < size {
                let read = file.read(bytes.len() as u64, size - bytes.len()).await;
                let piece = read.map_err(|source| Failure::Read { digest: digest.clone(), source })?;
                if piece.is_empty() {
                    return Ok(Parts::NotHeld);
                }
                bytes.extend_from_slice(&piece);
            }
            serde_json::from_slice(&bytes)
        }
    };
    Ok(document.map_or(Parts::Unreadable, Parts::Read))
}

/// The properties that name what a client pulls.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    config: Option<Named>,
    layers: Option<Vec<Named>>,
    /// Of an OCI artifact manifest.
    blobs: Option<Vec<Named>>,
    manifests: Option<Vec<Child>>,
    /// Of Docker's schema 1.
    fs_layers: Option<Vec<FsLayer>>,
}

impl Document {
    /// The blobs that its registry serves, each with the size that the manifest claims.
    fn blobs(&self) -> impl Iterator<Item = (Digest, Option<u64>)> {
        let described =
            self.config.iter().chain(self.layers.iter().flatten()).chain(self.blobs.iter().flatten());
        let described = described.filter(|named| named.is_handed_out()).filter_map(|named| {
            let size = named.size.as_ref().and_then(serde_json::Value::as_u64);
            Some((named.digest.as_deref()?.parse().ok()?, size))
        });
        let of_schema_1 = self.fs_layers.iter().flatten();
        described
            .chain(of_schema_1.filter_map(|layer| Some((layer.blob_sum.as_deref()?.parse().ok()?, None))))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    media_type: Option<serde_json::Value>,
    digest: Option<String>,
    size: Option<serde_json::Value>,
}

impl Named {
    /// Foreign layers, also called non-distributable, are served elsewhere.
    fn is_handed_out(&self) -> bool {
        let media_type = self.media_type.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
        !media_type.contains(".foreign.") && !media_type.contains(".nondistributable.")
    }
}

#[derive(Deserialize)]
struct Child {
    digest: Option<String>,
    platform: Option<RawPlatform>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl RawPlatform {
    fn read(&self) -> Option<Platform> {
        let (os, architecture) = (self.os.as_deref()?, self.architecture.as_deref()?);
        let is_named = !os.is_empty() && !architecture.is_empty();
        is_named.then(|| Platform::new(os, architecture, self.variant.as_deref()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FsLayer {
    blob_sum: Option<String>,
}
