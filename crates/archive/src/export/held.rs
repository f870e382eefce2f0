//! One image as its store holds it.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use bytes::Bytes;
use oci::{Digest, MANIFEST_BYTES_MAX, Manifest};
use serde::Deserialize;
use storage::{HeldManifest, OpenBlob};

use super::choice::Chosen;
use crate::blocking::blocking;
use crate::import::Tree;
use crate::listing::Refusal;

/// The most manifests of one image.
const MANIFEST_COUNT_MAX: usize = 20_000;

/// An image whose needed blobs are open, so that no removal takes them away.
#[derive(Debug)]
pub(super) struct Held {
    /// The manifests of which the store holds every blob.
    pub(super) tree: Tree,
    pub(super) blobs: Vec<(Digest, OpenBlob)>,
    /// The platforms that the store does not hold, or not all of.
    pub(super) left_out: Vec<Refusal>,
}

impl Held {
    /// Opens the blobs of the image that `is_needed` names.
    ///
    /// # Errors
    /// The reason why the image cannot be exported.
    pub(super) async fn open(image: &Chosen, is_needed: impl Fn(&Digest) -> bool) -> Result<Self, String> {
        let mut tree = tree(image).await?;
        let store = image.target.store();
        let (mut missing, mut opened) = (HashSet::new(), Vec::new());
        for blob in tree.blobs() {
            let found = store.open(&blob.digest).await.map_err(|error| error.to_string())?;
            match found {
                None => {
                    missing.insert(blob.digest);
                }
                Some(open) if is_needed(&blob.digest) => opened.push((blob.digest, open)),
                Some(_) => {}
            }
        }
        if let Some(refusal) = tree.refusals.named.first() {
            return Err(format!("the stored manifest {refusal}"));
        }
        let platforms = platforms(&tree);
        if !tree.keep_whole(&missing) {
            let count = missing.len();
            return Err(format!("the store lacks {count} of its blobs; run `wharf pull {image}` first"));
        }
        let kept: HashSet<_> = tree.manifests.iter().map(|member| member.manifest.digest().clone()).collect();
        let left_out = platforms.into_iter().filter(|(digest, _)| !kept.contains(digest));
        let left_out = left_out
            .map(|(digest, platform)| {
                Refusal::new(image, format!("the store does not hold its platform {platform} ({digest})"))
            })
            .collect();
        let blobs: HashSet<_> = tree.blobs().into_iter().map(|blob| blob.digest).collect();
        opened.retain(|(digest, _)| blobs.contains(digest));
        Ok(Self { tree, blobs: opened, left_out })
    }
}

/// The manifests of an image that the store holds.
///
/// # Errors
/// The reason why there are none.
pub(super) async fn tree(image: &Chosen) -> Result<Tree, String> {
    let mut documents: HashMap<Digest, Bytes> = HashMap::new();
    let mut ahead = vec![image.digest.clone()];
    while let Some(digest) = ahead.pop() {
        if documents.contains_key(&digest) {
            continue;
        }
        let found = image.target.store().manifest(&image.repository, &digest).await;
        let bytes = match found.map_err(|error| error.to_string())? {
            None => continue,
            Some(HeldManifest::Whole(manifest)) => manifest.bytes,
            Some(HeldManifest::File { file, .. }) => {
                file.read(0, MANIFEST_BYTES_MAX + 1).await.map_err(|error| error.to_string())?
            }
        };
        if let Ok(manifest) = Manifest::parse(&bytes, None) {
            ahead.extend(manifest.manifests.into_iter().map(|child| child.digest));
        }
        documents.insert(digest, bytes);
        if documents.len() > MANIFEST_COUNT_MAX {
            return Err(format!("it has more than {MANIFEST_COUNT_MAX} manifests"));
        }
    }
    let root = image.digest.clone();
    // Hashing and parsing many manifests takes long.
    let read = move || {
        let bytes_of = |digest: &Digest| Ok::<_, Infallible>(documents.get(digest).cloned());
        Ok(Tree::read(&root, bytes_of))
    };
    let read = blocking(read).await.map_err(|error| error.to_string())?;
    read.map_err(|refusal| refusal.reason)
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

/// The manifests that the image's indexes name, with their platforms. Those of no platform, such as
/// attestations, are left out.
fn platforms(tree: &Tree) -> Vec<(Digest, String)> {
    let mut platforms = Vec::new();
    for member in &tree.manifests {
        let Ok(index) = serde_json::from_slice::<Index>(member.manifest.bytes()) else { continue };
        for entry in index.manifests {
            let (Ok(digest), Some(platform)) = (entry.digest.parse(), entry.platform) else { continue };
            if platform.os != "unknown" {
                let variant = platform.variant.map(|variant| format!("/{variant}")).unwrap_or_default();
                platforms.push((digest, format!("{}/{}{variant}", platform.os, platform.architecture)));
            }
        }
    }
    platforms
}
