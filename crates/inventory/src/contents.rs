//! The contents that a manifest names.
//!
//! The reader goes by the document's structure alone. What a manifest adds to the counts when it is stored is
//! taken off when it is removed, so both readings must agree, independent of the manifest's media type. A
//! reading that finds too much keeps a blob longer than needed; one that finds too little would remove a blob
//! in use.

use oci::{Digest, MANIFEST_BYTES_MAX};
use serde::Deserialize;

/// The contents that a manifest names, each once, in the order of their digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The manifests of an index.
    pub children: Vec<Digest>,
    /// Configuration, layers, the blobs of an artifact, the layers of a manifest of schema 1.
    pub blobs: Vec<NamedBlob>,
    /// The manifest that this one is attached to.
    pub subject: Option<Digest>,
    /// The manifest's own length in bytes.
    pub manifest_bytes: u64,
}

/// A blob as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes, as the manifest claims.
    pub size: Option<u64>,
}

impl Contents {
    /// Reads a manifest. Bytes that are no JSON object with lists where lists belong name nothing; a
    /// descriptor without a digest that wharf can verify is left out.
    pub fn of(bytes: &[u8]) -> Self {
        let manifest_bytes = bytes.len() as u64;
        Self::read(bytes).unwrap_or_else(|| Self { manifest_bytes, ..Self::default() })
    }

    /// Reads a manifest. `None`: it is no JSON object with lists where lists belong, or too long.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let manifest_bytes = bytes.len() as u64;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return None;
        }
        let document = serde_json::from_slice::<Document>(bytes).ok()?;
        let mut children: Vec<_> =
            each(document.manifests).filter_map(|named| named.digest?.parse().ok()).collect();
        children.sort_unstable();
        children.dedup();
        let of_schema_1 = each(document.fs_layers)
            .filter_map(|layer| Some(NamedBlob { digest: layer.blob_sum?.parse().ok()?, size: None }));
        let described = document.config.into_iter().chain(each(document.layers)).chain(each(document.blobs));
        let described = described.filter_map(|named| {
            Some(NamedBlob { digest: named.digest?.parse().ok()?, size: named.size.and_then(Size::bytes) })
        });
        let mut blobs: Vec<_> = described.chain(of_schema_1).collect();
        blobs.sort_unstable();
        blobs.dedup_by(|next, first| next.digest == first.digest);
        let subject = document.subject.and_then(|named| named.digest?.parse().ok());
        Some(Self { children, blobs, subject, manifest_bytes })
    }
}

fn each<T>(list: Option<Vec<T>>) -> impl Iterator<Item = T> {
    list.into_iter().flatten()
}

/// The properties that name contents, of every kind of manifest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    config: Option<Named>,
    layers: Option<Vec<Named>>,
    /// Of an OCI artifact manifest.
    blobs: Option<Vec<Named>>,
    manifests: Option<Vec<Named>>,
    /// Of Docker's schema 1.
    fs_layers: Option<Vec<FsLayer>>,
    subject: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    digest: Option<String>,
    size: Option<Size>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FsLayer {
    blob_sum: Option<String>,
}

/// A size of any shape: a wrong one does not make a descriptor useless.
#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Other(serde::de::IgnoredAny),
}

impl Size {
    fn bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Other(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
